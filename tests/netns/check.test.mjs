// /check across NATs: the relayed ports are tested from outside, also where the firewall lets answers in, and two homes test each other.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { after, before, test } from 'node:test';
import { openPage, until } from '../e2e/support/browser.mjs';
import { ownAuthority } from '../interop/support/authority.mjs';
import { ask } from '../interop/support/check.mjs';
import { Browsers } from './browsers.mjs';
import { build, demolish, serve, SERVER } from './networks.mjs';

const CHECK_TIMEOUT_MS = 60_000;
// The homes' routers are neighbours of the server here, which the relay denies otherwise.
const SETTINGS = { CASTWAY_API_KEYS: 'a-key-of-a-front-end', CASTWAY_ALLOWED_PEER_IP: '11.0.0.0/24' };

let browsers;
before(() => {
  build();
  browsers = new Browsers(ownAuthority().ca);
});
after(async () => {
  await browsers.close();
  demolish();
});

const nft = (rules) => execFileSync('nft', ['-f', '-'], { input: rules });

// Runs in the page.
const seen = () => ({
  state: document.body.dataset.state,
  paths: Object.fromEntries([...document.querySelectorAll('[data-path]')].map((row) => [row.dataset.path, row.dataset.state])),
  links: Object.fromEntries([...document.querySelectorAll('[data-link]')].map((row) => [row.dataset.link, row.dataset.state])),
  notice: document.querySelector('#notice-hint').textContent,
  verdict: document.querySelector('#verdict').getAttribute('data-verdict'),
});

const done = (page, links = 0) =>
  until('the check is done', () => page.evaluate(seen), (now) => now.state === 'done' && now.verdict !== null && Object.keys(now.links).length === links, CHECK_TIMEOUT_MS);

async function check(server) {
  const mark = browsers.mark;
  const { key } = await ask(server, { ask: 'check_key' });
  const page = await openPage(await browsers.chromium('home1'), `${server.url}/check?k=${key}`);
  await page.locator('#start-check').click();
  const result = await done(page);
  await browsers.closeSince(mark);
  const { checks } = await ask(server, { ask: 'checks' });
  return { ...result, range: checks[0]?.result.report.range };
}

async function withServer(settings, body) {
  const server = await serve(settings);
  try {
    await body(server);
  } finally {
    await server.close();
  }
}

test('open relayed ports are found open, and closed ones closed', () =>
  withServer(SETTINGS, async (server) => {
    const open = await check(server);
    assert.deepEqual([open.paths.udp, open.paths.range, open.verdict], ['ok', 'ok', 'fine'], JSON.stringify(open));
    assert.ok(open.range.arrived > 0);

    // As the firewalls of clouds do, it lets in what belongs to a packet that was sent before.
    nft('table inet server {\n chain input { type filter hook input priority filter; ct state established accept; udp dport 49152-65535 drop; }\n}\n');
    try {
      const closed = await check(server);
      assert.deepEqual([closed.paths.udp, closed.paths.range, closed.verdict], ['ok', 'failed', 'range_closed'], JSON.stringify(closed));
    } finally {
      nft('delete table inet server\n');
    }
  }));

const script = `JSON.stringify((${seen})())`;
const others = {
  Firefox: (url) => browsers.firefox('home1', url),
  'Chromium 67': async (url) => (await browsers.old(67, 'home1', url)).page,
};
for (const [name, open] of Object.entries(others)) {
  test(`${name} tests the relayed ports, too`, () =>
    withServer(SETTINGS, async (server) => {
      const close = '\ntable inet server {\n chain input { type filter hook input priority filter; ct state established accept; udp dport 49152-65535 drop; }\n}\n';
      for (const [rules, range, verdict] of [['', 'ok', 'fine'], [close, 'failed', 'range_closed']]) {
        const mark = browsers.mark;
        const { key } = await ask(server, { ask: 'check_key' });
        if (rules) nft(rules);
        try {
          const page = await open(`${server.url}/check?k=${key}`);
          const run = (expression) => (page.run ? page.run(expression) : page.evaluate(expression));
          await until('the page is there', () => run("(document.getElementById('start-check') || { disabled: true }).disabled"), (disabled) => disabled === false);
          await run("void document.getElementById('start-check').click()");
          const result = await until('the check is done', async () => JSON.parse(await run(script)), (now) => now.state === 'done' && now.verdict !== null, CHECK_TIMEOUT_MS);
          assert.deepEqual([result.paths.udp, result.paths.range, result.verdict], ['ok', range, verdict], JSON.stringify(result));
        } finally {
          if (rules) nft('delete table inet server\n');
          await browsers.closeSince(mark);
        }
      }
    }));
}

test('an address that the relay denies is not tested, and nobody is blamed', () =>
  withServer({ CASTWAY_API_KEYS: 'a-key-of-a-front-end' }, async (server) => {
    const denied = await check(server);
    assert.deepEqual([denied.paths.udp, denied.paths.range], ['ok', 'untested']);
    assert.ok(['fine', 'not_tested'].includes(denied.verdict), denied.verdict);
  }));

test('two homes behind symmetric NATs reach each other over the relay alone', () =>
  withServer({}, async (server) => {
    const { key } = await ask(server, { ask: 'check_key' });
    const first = await openPage(await browsers.chromium('home1'), `http://${SERVER}:8080/check?k=${key}`);
    await first.locator('#start-check').click();
    await done(first);
    const digits = await until('digits', () => first.locator('#digits').textContent(), (text) => /^\d{4}$/.test(text));
    const second = await openPage(await browsers.chromium('home2'), `http://${SERVER}:8080/check?d=${digits}`);
    await second.locator('#join-check').click();
    const { links, verdict } = await done(first, 4);
    assert.deepEqual(links, { direct: 'failed', 'relay-udp': 'ok', 'relay-tcp': 'ok', 'relay-tls': 'untested' });
    assert.equal(verdict, 'fine');
  }));
