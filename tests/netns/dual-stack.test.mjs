// Casts between a home with IPv4 alone and a home with IPv6 alone, over the relay of a server that has both, and over one that has IPv6
// alone. The server has Castway's own addresses. It must run within ./enter.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { after, afterEach, before, describe, test } from 'node:test';
import { assertPicture, inState, openPage, openSource, shownCode, statistics, until } from '../e2e/support/browser.mjs';
import { ownAuthority } from '../interop/support/authority.mjs';
import { startServer } from '../interop/support/server.mjs';
import { Browsers } from './browsers.mjs';
import { addHost, forgetNames, nameAll } from './networks.mjs';

const DOMAIN = 'cast.castway.test';
const ORIGIN = `https://${DOMAIN}:8443`;
const FOUR = '11.0.0.1';
const SIX = '2a01:4f8:1:1::1';

const run = (command) => execFileSync('sh', ['-euc', command], { stdio: ['ignore', 'pipe', 'inherit'], encoding: 'utf8' });

// The homes, and the address that each one has.
const HOMES = { four: ['11.0.0.4/24'], six: ['2a01:4f8:1:1::6/64'], six2: ['2a01:4f8:1:1::7/64'], four2: ['11.0.0.7/24'] };
function build() {
  if (!process.env.CASTWAY_NETNS) throw new Error('run it with tests/run netns, or within tests/netns/enter');
  run(`ip link add wan type bridge; ip addr add ${FOUR}/24 dev wan; ip -6 addr add ${SIX}/64 dev wan nodad; ip link set wan up`);
  for (const [home, addresses] of Object.entries(HOMES)) {
    run(`
      ${addHost(home)}
      ip link add port-${home} master wan type veth peer name eth0 netns ${home}; ip link set port-${home} up
      ip -n ${home} link set lo up; ip -n ${home} link set eth0 up`);
    for (const address of addresses) {
      const six = address.includes(':');
      run(`ip -n ${home} addr add ${address} dev eth0 ${six ? 'nodad' : ''}; ip -n ${home} ${six ? '-6' : ''} route add default via ${six ? SIX : FOUR}`);
    }
  }
  nameAll({ [DOMAIN]: [FOUR, SIX] });
}

let server;
let authority;
let browsers;
let homes;
before(async () => {
  build();
  authority = ownAuthority([`DNS:${DOMAIN}`]);
  const own = ['HTTP_ADDR', 'HTTPS_ADDR', 'TURNS_ADDR', 'TURN_ADDR', 'EXTERNAL_IP', 'RELAY_IP'].map((name) => [`CASTWAY_${name}`, undefined]);
  server = await startServer({ ...Object.fromEntries(own), ...authority.settings, CASTWAY_TURN_ACCESS: 'open' });
  browsers = new Browsers(authority.ca);
  homes = {};
  for (const home of Object.keys(HOMES)) homes[home] = await browsers.chromium(home);
});
after(async () => {
  await browsers?.close();
  await server?.close();
  authority?.close();
  run(`${Object.keys(HOMES).map((home) => `ip netns del ${home}`).join(';')}; ip link del wan`);
  forgetNames();
});
afterEach(async () => {
  for (const browser of Object.values(homes)) for (const context of browser.contexts()) await context.close();
});

async function chromiumTv(home) {
  const tv = await openPage(homes[home], `${ORIGIN}/tv?ice=relay`);
  const code = await shownCode(tv);
  await inState(tv, 'waiting');
  return [tv, code];
}

// A cast over the relay to a TV from a home, with a picture that moves. Resolves to the relayed addresses of both sides.
async function cast(tv, code, casterHome) {
  await openSource(homes[casterHome]);
  const caster = await openPage(homes[casterHome], `${ORIGIN}/cast?ice=relay`);
  await caster.locator('#code-input').fill(code);
  await caster.locator('#start').click();
  await inState(caster, 'sharing');
  await assertPicture(tv);
  const relayed = [];
  for (const page of [tv, caster]) {
    const { local, remote, address } = await until('a pair is selected', () => statistics(page), ({ local: type }) => Boolean(type));
    assert.deepEqual([local, remote], ['relay', 'relay']);
    relayed.push(address.replace(/:\d+$/, '').replace(/^\[|\]$/g, ''));
  }
  return relayed;
}

describe('on a server with both families', () => {
  for (const [tv, caster] of [['six', 'four'], ['four', 'six'], ['six', 'six2'], ['four', 'four2']]) {
    test(`a cast from ${caster} to ${tv}`, async () => {
      // Chromium names no family, so both sides have the default one, whichever way they have come.
      assert.deepEqual(await cast(...(await chromiumTv(tv)), caster), [FOUR, FOUR]);
    });
  }
});

test('a cast to Firefox over IPv6 from Chromium over IPv4', async () => {
  const mark = browsers.mark;
  try {
    const tv = await browsers.firefox('six', `${ORIGIN}/tv?ice=relay`);
    const code = await until('a code', () => tv.evaluate(() => document.body.dataset.online === 'true' && document.getElementById('code')?.dataset.code), (text) => /^[A-Z0-9]{6}$/.test(text || ''));
    await cast(tv, code, 'four');
  } finally {
    await browsers.closeSince(mark);
  }
});

describe('on a server with IPv6 alone', () => {
  before(async () => {
    nameAll({ [DOMAIN]: SIX });
    run(`ip addr del ${FOUR}/24 dev wan`);
    await server.restart();
  });

  test('a cast', async () => {
    assert.deepEqual(await cast(...(await chromiumTv('six')), 'six2'), [SIX, SIX]);
  });
});
