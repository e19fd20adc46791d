// A school: 300 clients start at the same time behind one IPv4 address, or in one IPv6 /64, with the default settings. All of them get in
// within 10 s by their own timers; how long it took on this machine is printed, and not asserted.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { run } from '../interop/support/process.mjs';
import { build, demolish, serve, SERVER } from './networks.mjs';

const script = fileURLToPath(new URL('pupils.mjs', import.meta.url));
const PUPILS = 300;
const SERVER_6 = '2a01:4f8:0:1::1';
const NETWORK_6 = '2a01:4f8:0:2';
const sh = (command) => execFileSync('sh', ['-euc', command], { stdio: ['ignore', 'pipe', 'inherit'], encoding: 'utf8' });
const everybody = Array.from({ length: PUPILS }, (_, i) => i);

before(() => {
  build();
  // A whole class behind one address has more connections than the default table of a small machine holds.
  sh('ip netns exec router1 sh -c "echo 65536 > /proc/sys/net/netfilter/nf_conntrack_max" 2>/dev/null || true');
  sh(`
    sysctl -qw net.ipv6.conf.wan.accept_dad=0 && ip -6 addr add ${SERVER_6}/64 dev wan nodad
    ip netns exec router1 sysctl -qw net.ipv6.conf.all.forwarding=1
    ip -n router1 addr add 2a01:4f8:0:1::11/64 dev wan nodad; ip -n router1 addr add ${NETWORK_6}::1/64 dev lan nodad
    ip -6 route add ${NETWORK_6}::/64 via 2a01:4f8:0:1::11
    ip -n home1 -6 addr add ${NETWORK_6}::2/64 dev eth0 nodad; ip -n home1 -6 route add default via ${NETWORK_6}::1`);
  const addresses = everybody.map((i) => `addr add ${NETWORK_6}::${(0x1000 + i).toString(16)}/64 dev eth0 nodad`).join('\n');
  execFileSync('ip', ['-n', 'home1', '-6', '-batch', '-'], { input: addresses });
});
after(demolish);

// Every setting that limits clients has its default.
const unset = ['CREDENTIALS_RATE', 'TURN_ACCESS'].map((name) => [`CASTWAY_${name}`, undefined]);
const settings = (host) => ({
  ...Object.fromEntries(unset),
  CASTWAY_HTTP_ADDR: `${host.includes(':') ? `[${host}]` : host}:8080`,
  CASTWAY_HTTPS_ADDR: `${host.includes(':') ? `[${host}]` : host}:8443`,
  CASTWAY_TURNS_ADDR: `${host.includes(':') ? `[${host}]` : host}:5349`,
  CASTWAY_TURN_ADDR: `${host.includes(':') ? `[${host}]` : host}:3478`,
  CASTWAY_EXTERNAL_IP: host,
  CASTWAY_RELAY_IP: host,
  CASTWAY_METRICS_ALLOW: host,
});

// Starts the pupils in home 1, at a server that has never seen them. Resolves to what they print.
async function lesson(context, work, host = SERVER) {
  const server = await serve(settings(host));
  try {
    const asked = JSON.stringify({ url: server.url, host, port: 3478, tlsPort: 5349, count: PUPILS, ...work });
    const { code, output } = await run('ip', ['netns', 'exec', 'home1', process.execPath, script, asked]);
    assert.equal(code, 0, output);
    const { again = 0, ...found } = JSON.parse(output.trim().split('\n').at(-1));
    context.diagnostic(JSON.stringify({ again, ...found }));
    for (const reason of ['displaced', 'limit']) {
      assert.equal(await server.metric(`castway_relay_closed_connections_total{reason="${reason}"}`), 0, reason);
    }
    return found;
  } finally {
    await server.close();
  }
}

function assertAllUseTheRelay({ allocated, inTime, pairs, failures }) {
  assert.deepEqual({ allocated, inTime, pairs, failures }, { allocated: PUPILS, inTime: PUPILS, pairs: PUPILS / 2, failures: {} });
}

describe(`${PUPILS} clients behind one IPv4 address`, () => {
  test('each fetch credentials of their own and relay, a third each over UDP, TCP and TLS', async (context) => {
    const { fetched, refused, ...found } = await lesson(context, { what: 'turn' });
    assert.deepEqual({ fetched, refused }, { fetched: PUPILS, refused: {} });
    assertAllUseTheRelay(found);
  });

  test('each allocate over UDP, TCP and TLS at the same time, as browsers do', async (context) => {
    const { fetched, refused, ...found } = await lesson(context, { what: 'turn', all: true });
    assert.deepEqual({ fetched, refused }, { fetched: PUPILS, refused: {} });
    assertAllUseTheRelay(found);
  });

  test('cast: 150 casters to 150 TVs', async (context) => {
    const { tvs, casters, refused, ...found } = await lesson(context, { what: 'casts' });
    assert.deepEqual({ tvs, casters, refused }, { tvs: PUPILS / 2, casters: PUPILS / 2, refused: {} });
    assertAllUseTheRelay(found);
  });

  test('fetch from both addresses of the ICE service', async (context) => {
    assert.deepEqual(await lesson(context, { what: 'ice' }), { iceconfig: PUPILS, turn: PUPILS, refused: {} });
  });

  test("call each other with AppRTC's clients", async (context) => {
    assert.deepEqual(await lesson(context, { what: 'calls' }), { joined: PUPILS, calls: PUPILS / 2, refused: {} });
  });

  test('join one room of RTCMultiConnection', async (context) => {
    assert.deepEqual(await lesson(context, { what: 'lesson' }), { joined: PUPILS, refused: {} });
  });

  test('load the page with several connections each', async (context) => {
    const { loaded, files, refused } = await lesson(context, { what: 'pages' });
    assert.deepEqual({ loaded, refused }, { loaded: PUPILS, refused: {} });
    assert.ok(files > 1, `${files} files`);
  });
});

test(`${PUPILS} clients in one IPv6 /64 fetch credentials and relay`, async (context) => {
  const locals = everybody.map((i) => `${NETWORK_6}::${(0x1000 + i).toString(16)}`);
  const { fetched, refused, ...found } = await lesson(context, { what: 'turn', locals }, SERVER_6);
  assert.deepEqual({ fetched, refused }, { fetched: PUPILS, refused: {} });
  assertAllUseTheRelay(found);
});

