// A server in a container, on a bridge with a private address: one TCP port and 3478/UDP are published, no range is, and nobody has told it
// an external address. Casts between homes behind symmetric NAT work.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { ownAuthority } from '../interop/support/authority.mjs';
import { run } from '../interop/support/process.mjs';
import { assertUclient } from '../interop/support/relaying.mjs';
import { startServer } from '../interop/support/server.mjs';
import { relayBothWays } from '../interop/support/turn.mjs';
import { cast, PAYLOADS, relayed } from './casts.mjs';
import { blockUdp, build, contain, CONTAINER, demolish, SERVER, unblock } from './networks.mjs';

const TCP_PORT = 8443;
const UDP_PORT = 3478;
const origin = `https://${SERVER}:${TCP_PORT}`;

let server;
let authority;
before(async () => {
  build();
  contain({ tcp: TCP_PORT, udp: UDP_PORT });
  authority = ownAuthority([`IP:${SERVER}`]);
  const unset = ['TURN_ADDR', 'TURNS_ADDR', 'HTTPS_ADDR', 'EXTERNAL_IP', 'RELAY_IP', 'MAX_PORT', 'CREDENTIALS_RATE'].map((name) => [`CASTWAY_${name}`, undefined]);
  server = await startServer({
    ...Object.fromEntries(unset),
    ...authority.settings,
    TEST_NAMESPACE: 'container',
    CASTWAY_HTTP_ADDR: `${CONTAINER}:8080`,
    CASTWAY_RELAY_THREADS: '4',
    CASTWAY_METRICS_ALLOW: '172.17.0.1',
  });
});
after(async () => {
  await server?.close();
  authority?.close();
  demolish();
});

const curl = (home, url) => run('ip', ['netns', 'exec', home, 'curl', '-sS', '--max-time', '20', '--cacert', authority.ca, '-w', ' %{http_code}', url]);

async function granted(home) {
  const { output } = await curl(home, `${origin}/turn?username=alice`);
  return JSON.parse(output.replace(/ 200$/, ''));
}

describe('a container with two published ports', () => {
  test('is reached at them, and at no other port', async () => {
    assert.match((await curl('home1', `${origin}/healthz`)).output, / 200$/);
    for (const port of [8080, 3478, 5349]) {
      const { output } = await run('ip', ['netns', 'exec', 'home1', 'curl', '-s', '--connect-timeout', '2', '-o', '/dev/null', '-w', '%{time_connect}', `http://${SERVER}:${port}/`]);
      assert.equal(Number(output), 0, `${port}`);
    }
  });

  test('names the address that the client used for the relay', async () => {
    const { uris } = await granted('home2');
    for (const uri of [`turn:${SERVER}:${UDP_PORT}?transport=udp`, `turns:${SERVER}:${TCP_PORT}?transport=tcp`]) assert.ok(uris.includes(uri), uris.join(' '));
  });

  test('relays a cast over UDP', async () => {
    const before = await relayed(server);
    const { pair } = await cast(origin, ['turn'], authority.ca);
    assert.deepEqual([pair?.local.type, pair?.remote.type], ['relay', 'relay'], JSON.stringify(pair));
    const now = await relayed(server);
    assert.ok(now.udp - before.udp > 2 * PAYLOADS, `${now.udp - before.udp} bytes were relayed over UDP`);
  });

  test('relays a cast of clients that also use STUN, as pages do', async () => {
    const { pair } = await cast(origin, [], authority.ca);
    assert.deepEqual([pair?.local.type, pair?.remote.type], ['relay', 'relay'], JSON.stringify(pair));
  });

  test('relays a cast over TLS where UDP is blocked', async () => {
    const before = await relayed(server);
    blockUdp();
    try {
      const { pair } = await cast(origin, ['turns'], authority.ca);
      assert.deepEqual([pair?.local.type, pair?.remote.type], ['relay', 'relay'], JSON.stringify(pair));
    } finally {
      unblock();
    }
    const now = await relayed(server);
    assert.ok(now.tls - before.tls > 2 * PAYLOADS, `${now.tls - before.tls} bytes were relayed over TLS`);
    assert.equal(now.udp, before.udp);
  });

  test('relays for clients on its own machine, which the bridge translates', async () => {
    const { username, password } = await granted('home1');
    for (const local of [SERVER, '172.17.0.1']) {
      assert.equal(await relayBothWays({ host: SERVER, port: UDP_PORT, local, username, password }), 'relayed', local);
    }
  });

  test('relays for clients in the container itself', async () => {
    await assertUclient(UDP_PORT, [], await granted('home1'), { host: SERVER, within: ['ip', 'netns', 'exec', 'container'] });
  });
});
