// Strangers behind NAT and the hosts around the server: a public host, a name server, a neighbour, and everybody who hears SSDP or mDNS. The
// server's own firewall counts what it would send them. It must run within ./enter.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { after, before, describe, test } from 'node:test';
import { Allocations } from '../interop/support/allocations.mjs';
import { signed } from '../interop/support/strangers.mjs';
import { build, demolish, openOnly, serve, SERVER, strayDatagrams } from './networks.mjs';

const SECRET = 'a-secret-that-the-test-knows-0123456789';
const CHANNEL = 0x4000;
const HOSTS = {
  'a public host': { address: '12.0.0.9', port: 443 },
  'a name server': { address: '12.0.0.53', port: 53 },
  'a neighbour': { address: '11.0.0.20', port: 9 },
  'a router of a home': { address: '11.0.0.11', port: 9 },
  SSDP: { address: '239.255.255.250', port: 1900 },
  mDNS: { address: '224.0.0.251', port: 5353 },
};

let server;
let allocations;
before(async () => {
  build();
  execFileSync('ip', ['route', 'add', '224.0.0.0/4', 'dev', 'wan']);
  server = await serve({ CASTWAY_STATIC_AUTH_SECRET: SECRET, CASTWAY_TURN_ACCESS: undefined, CASTWAY_ALLOWED_PEER_IP: '0.0.0.0/0' });
  openOnly({ tcp: 8080, udp: 3478 });
  allocations = new Allocations(server);
});
after(async () => {
  await allocations?.close();
  await server?.close();
  demolish();
});

// Names every host in all ways, and sends to it in all ways. Resolves to the codes, and to how many datagrams left the server.
async function reach(scope) {
  const client = await allocations.allocated(signed(scope, SECRET, 'alice'), { host: SERVER, local: SERVER });
  const before = strayDatagrams();
  const codes = {};
  for (const [at, [name, host]] of Object.entries(HOSTS).entries()) {
    codes[name] = [await client.permit(host), await client.bind(CHANNEL + at, host)];
    client.send(host, Buffer.from('by indication'));
    client.sendOn(CHANNEL + at, Buffer.from('on a channel'));
  }
  // When this is answered, the relay has handled everything before.
  assert.equal(await client.refresh(), 0);
  return { codes, sent: strayDatagrams() - before };
}

const all = (codes) => Object.fromEntries(Object.keys(HOSTS).map((name) => [name, codes]));

describe('the hosts around the server', () => {
  test('get nothing from a stranger', async () => {
    assert.deepEqual(await reach('clients'), { codes: all([403, 403]), sent: 0 });
  });

  // Shows that nothing else keeps the datagrams in.
  test('are reached by a user', async () => {
    const { codes, sent } = await reach('anyone');
    assert.deepEqual(codes, all([0, 0]));
    assert.ok(sent >= 2 * Object.keys(HOSTS).length - 2, `${sent} datagrams`);
  });
});
