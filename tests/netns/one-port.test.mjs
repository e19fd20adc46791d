// A server whose firewall opens one TCP port and 3478/UDP, and homes behind symmetric NAT: casts, calls and RTCMultiConnection work with
// every browser, over every transport, and no relayed address needs a port.
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import { assertMagenta, assertPicture, inState, joinCall, openPage, openSource, shownCode, statistics, until } from '../e2e/support/browser.mjs';
import { act, assertReceives, makeSession, openSession } from '../e2e/support/multi.mjs';
import { assertOldPicture, oldVersions } from '../e2e/support/old-chromium.mjs';
import { ownAuthority } from '../interop/support/authority.mjs';
import { Browsers, only } from './browsers.mjs';
import { relayed } from './casts.mjs';
import { build, demolish, name, openOnly, serve, SERVER, strayDatagrams } from './networks.mjs';

const DOMAIN = 'cast.castway.test';
const ORIGIN = `https://${DOMAIN}`;
const secure = { url: ORIGIN };
const TCP_PORT = 443;
const UDP_PORT = 3478;

let server;
let authority;
let browsers;
let mark;
// The Chromium of each home.
let homes;
before(async () => {
  build();
  name(DOMAIN);
  authority = ownAuthority([`DNS:${DOMAIN}`]);
  // Four shards, so that most pairs of clients are on two of them.
  server = await serve({ ...authority.settings, CASTWAY_HTTPS_ADDR: `${SERVER}:${TCP_PORT}`, CASTWAY_TURNS_ADDR: `${SERVER}:5349`, CASTWAY_RELAY_THREADS: '4', CASTWAY_ICE_RATE: '1000' });
  openOnly({ tcp: TCP_PORT, udp: UDP_PORT });
  browsers = new Browsers(authority.ca);
  homes = { home1: await browsers.chromium('home1'), home2: await browsers.chromium('home2') };
  await openSource(homes.home2);
  mark = browsers.mark;
});
after(async () => {
  await browsers?.close();
  await server?.close();
  authority?.close();
  demolish();
});
afterEach(async () => {
  await browsers.closeSince(mark);
  const contexts = [...homes.home1.contexts(), ...homes.home2.contexts().slice(1)];
  for (const context of contexts) await context.close();
  assert.equal(strayDatagrams(), 0, 'datagrams from other ports than 3478');
});

// Asserts that packets of `body` were relayed over these transports and no other. A payload between two clients counts for the transport of
// its receiver, and the sender of a picture receives only reports.
async function assertRelayedOver(transports, body) {
  const before = await relayed(server);
  await body();
  const now = await relayed(server);
  const used = Object.keys(now).filter((transport) => now[transport] - before[transport] > 1000);
  assert.deepEqual(used, Object.keys(now).filter((transport) => transports.includes(transport)), JSON.stringify({ before, now }));
}

const relayOnly = async (page) => {
  const { local, remote } = await until('a pair is selected', () => statistics(page), ({ local: type }) => Boolean(type));
  assert.deepEqual([local, remote], ['relay', 'relay']);
};

const script = (transport) => ({ content: only(transport) });

async function chromiumTv(transport) {
  const page = await openPage(homes.home1, `${ORIGIN}/tv`, { script: script(transport) });
  const code = await shownCode(page);
  await inState(page, 'waiting');
  return { page, code };
}

async function chromiumCaster(code, transport) {
  const page = await openPage(homes.home2, `${ORIGIN}/cast`, { script: script(transport) });
  await page.locator('#code-input').fill(code);
  await page.locator('#start').click();
  await inState(page, 'sharing');
  return page;
}

const bodyState = () => `${document.body.dataset.state} ${document.body.dataset.online}`;
// The transports of both ends. A run of all tests takes `few` of them; `tests/run matrix` takes all, with every browser.
const MATRIX = process.env.CASTWAY_TEST_MATRIX === 'true';
const PAIRS = [['udp', 'udp'], ['tcp', 'tcp'], ['tls', 'tls'], ['udp', 'tls'], ['tls', 'udp'], ['tcp', 'udp']];
const pairs = (few, all = PAIRS) => (MATRIX ? all : few);
const versions = MATRIX ? oldVersions : [oldVersions[0], oldVersions.at(-1)];

describe('a cast between Chromium and Chromium', () => {
  for (const [tvOver, casterOver] of pairs([['udp', 'udp'], ['tls', 'udp'], ['tcp', 'tls']])) {
    test(`with the TV on ${tvOver.toUpperCase()} and the caster on ${casterOver.toUpperCase()}`, async () => {
      await assertRelayedOver([tvOver, casterOver], async () => {
        const { page: tv, code } = await chromiumTv(tvOver);
        const caster = await chromiumCaster(code, casterOver);
        await inState(tv, 'playing');
        await assertPicture(tv);
        await assertMagenta(tv);
        for (const page of [tv, caster]) await relayOnly(page);
      });
    });
  }
});

describe('a cast to Firefox', () => {
  for (const [tvOver, casterOver] of pairs([['udp', 'tls']])) {
    test(`with the TV on ${tvOver.toUpperCase()} and the caster on ${casterOver.toUpperCase()}`, async () => {
      await assertRelayedOver([tvOver, casterOver], async () => {
        const tv = await browsers.firefox('home1', `${ORIGIN}/tv`, only(tvOver));
        const code = await until('a code', () => tv.evaluate(() => document.body.dataset.online === 'true' && document.getElementById('code')?.dataset.code), (text) => /^[A-Z0-9]{6}$/.test(text || ''));
        await chromiumCaster(code, casterOver);
        await until('the TV plays', () => tv.evaluate(bodyState), (state) => state === 'playing true');
        await assertPicture(tv);
      });
    });
  }
});

describe('a cast to old engines', () => {
  for (const version of versions) {
    for (const [tvOver, casterOver] of pairs([['udp', 'tls']], [['udp', 'tls'], ['tcp', 'udp'], ['tls', 'udp']])) {
      test(`Chromium ${version} on ${tvOver.toUpperCase()}, and the caster on ${casterOver.toUpperCase()}`, async () => {
        await assertRelayedOver([tvOver, casterOver], async () => {
          const { page, version: product } = await browsers.old(version, 'home1', `${ORIGIN}/tv`, only(tvOver));
          assert.match(product, new RegExp(`Chrome/${version}\\.`));
          const code = await until('a code', () => page.evaluate("document.body && document.body.dataset.online === 'true' && document.getElementById('code').getAttribute('data-code')"), (text) => /^[A-Z0-9]{6}$/.test(text || ''));
          await chromiumCaster(code, casterOver);
          await until('the TV plays', () => page.evaluate('document.body.dataset.state'), (state) => state === 'playing');
          await assertOldPicture(page);
        });
      });
    }
  }
});

describe('a call', () => {
  let room = 0;
  const enter = async (home, over) => {
    const page = await openPage(homes[home], `${ORIGIN}/r/one-port-${room}`, { permissions: ['camera', 'microphone'], script: script(over) });
    await joinCall(page);
    return page;
  };

  for (const [one, other] of pairs([['tls', 'udp']])) {
    test(`between Chromium on ${one.toUpperCase()} and Chromium on ${other.toUpperCase()}`, async () => {
      room += 1;
      await assertRelayedOver([one, other], async () => {
        const first = await enter('home1', one);
        await inState(first, 'waiting');
        const second = await enter('home2', other);
        for (const page of [first, second]) await inState(page, 'talking');
        await Promise.all([first, second].map((page) => assertPicture(page, 3)));
        for (const page of [first, second]) await relayOnly(page);
      });
    });

    test(`between Firefox on ${one.toUpperCase()} and Chromium on ${other.toUpperCase()}`, async () => {
      room += 1;
      await assertRelayedOver([one, other], async () => {
        const first = await browsers.firefox('home1', `${ORIGIN}/r/one-port-${room}`, only(one));
        // The button waits for the preview.
        await until('Firefox may join', () => first.evaluate(() => !document.getElementById('join').disabled));
        await first.click('#join');
        await until('Firefox waits', () => first.evaluate(bodyState), (state) => state === 'waiting true');
        const second = await enter('home2', other);
        await inState(second, 'talking');
        await until('Firefox talks', () => first.evaluate(bodyState), (state) => state === 'talking true');
        await Promise.all([first, second].map((page) => assertPicture(page, 3)));
      });
    });
  }
});

// Our call page needs unified plan, which older engines do not have.
describe('a call between old engines', () => {
  test('of Chromium 79, on UDP and on TLS', async () => {
    await assertRelayedOver(['udp', 'tls'], async () => {
      const enter = async (home, over) => {
        const { page } = await browsers.old('79', home, `${ORIGIN}/r/old-engines`, only(over));
        // The button does nothing before the page's script has run.
        const join = "document.body && document.body.dataset.state === 'lobby' && document.getElementById('join').click(), document.body && document.body.dataset.state";
        await until('the page joins', () => page.evaluate(join), (state) => Boolean(state) && state !== 'lobby');
        return page;
      };
      // What a page shows besides its state tells why it stays there.
      const shown = (page) => page.evaluate("document.body.dataset.state + ' ' + document.body.dataset.online + ' ' + document.getElementById('status-text').textContent");
      const areIn = (pages, state) => until(`all are ${state}`, () => Promise.all(pages.map(shown)), (seen) => seen.every((each) => each.split(' ')[0] === state));
      const first = await enter('home1', 'udp');
      await areIn([first], 'waiting');
      const pages = [first, await enter('home2', 'tls')];
      await areIn(pages, 'talking');
      for (const page of pages) await assertOldPicture(page);
    });
  });
});

describe('RTCMultiConnection', () => {
  const kind = { library: '3.7', version: '4.8', session: { audio: true, video: true } };
  for (const [one, other] of pairs([['udp', 'tls']])) {
    test(`between Chromium on ${one.toUpperCase()} and Chromium on ${other.toUpperCase()}`, async () => {
      await assertRelayedOver([one, other], async () => {
        const [first, second] = [await openSession(homes.home1, secure, { ...kind, script: script(one) }), await openSession(homes.home2, secure, { ...kind, script: script(other) })];
        const room = `one-port-${one}-${other}`;
        assert.deepEqual((await act(first, 'open', room)).slice(0, 2), [true, room]);
        assert.deepEqual((await act(second, 'join', room)).slice(0, 2), [true, room]);
        for (const page of [first, second]) await assertReceives(page, 1);
      });
    });
  }

  const FRAMES_OF_PEERS = `(async () => {
    let frames = 0;
    for (const id of window.connection.getAllParticipants()) {
      const { peer } = window.connection.peers[id];
      (await peer.getStats()).forEach((report) => {
        if (report.type === 'inbound-rtp' && (report.kind || report.mediaType) === 'video') frames += report.framesDecoded || 0;
      });
    }
    return frames;
  })()`;
  const answered = (name, room) => `new Promise((resolve) => window.connection.${name}('${room}', (joined) => resolve(joined)))`;

  for (const [one, other] of pairs([['tcp', 'udp']])) {
    test(`between Firefox on ${one.toUpperCase()} and Chromium on ${other.toUpperCase()}`, async () => {
      await assertRelayedOver([one, other], async () => {
        const first = await browsers.firefox('home1', `${ORIGIN}/healthz`, only(one));
        await makeSession((text) => first.run(text), kind);
        const second = await openSession(homes.home2, secure, { ...kind, script: script(other) });
        const room = `firefox-${one}-${other}`;
        assert.equal(await first.run(answered('open', room)), true);
        assert.deepEqual((await act(second, 'join', room)).slice(0, 2), [true, room]);
        await assertReceives(second, 1);
        await assertOldPicture({ evaluate: (expression) => first.run(expression) }, FRAMES_OF_PEERS);
      });
    });
  }

  // In Chromium 64 the library gathers no candidates, with any server.
  for (const version of versions.filter((each) => each !== '64')) {
    test(`between two of Chromium ${version}, on UDP and on TLS`, async () => {
      await assertRelayedOver(['udp', 'tls'], async () => {
        const room = `old-${version}`;
        const enter = async (home, over, method) => {
          const { page } = await browsers.old(version, home, `${ORIGIN}/healthz`, only(over));
          await until('the page is there', () => page.evaluate(`location.origin === '${ORIGIN}' && Boolean(document.body)`));
          await makeSession((text) => page.evaluate(text), kind);
          assert.equal(await page.evaluate(answered(method, room)), true);
          return page;
        };
        const pages = [await enter('home1', 'udp', 'open'), await enter('home2', 'tls', 'join')];
        for (const page of pages) await assertOldPicture(page, FRAMES_OF_PEERS);
      });
    });
  }
});
