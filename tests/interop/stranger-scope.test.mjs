// A stranger's credentials reach other clients of this relay and nothing else, however he got them. Everything that the policy denies is
// allowed here, so that only the scope of the credentials keeps him from it.
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import { Allocations, sink } from './support/allocations.mjs';
import { closeAll } from './support/clients.mjs';
import { freePort } from './support/ports.mjs';
import { startServer } from './support/server.mjs';
import { ATTRIBUTE, TCP, UDP, word } from './support/stun.mjs';
import { signed, ways } from './support/strangers.mjs';
import { until } from './support/wait.mjs';

const SECRET = 'a-secret-that-the-test-knows-0123456789';
// The relay advertises the first addresses and binds the second ones, as behind NAT.
const ADVERTISED = '203.0.113.7';
const BOUND = '127.0.0.2';
const BOTH_FAMILIES = [UDP, [0x8000, word(2 << 24)]];
const FIRST_CHANNEL = 0x4000;

let server;
let sinks;
let allocations;
before(async () => {
  server = await startServer(async () => ({
    CASTWAY_TURN_ADDR: `[::]:${await freePort('::')}`,
    CASTWAY_EXTERNAL_IP: `${ADVERTISED}/${BOUND},2001:db8::7/::1`,
    CASTWAY_RELAY_IP: `${BOUND},::1`,
    CASTWAY_STATIC_AUTH_SECRET: SECRET,
    CASTWAY_ALLOWED_PEER_IP: '0.0.0.0/0,::/0',
    CASTWAY_NO_TCP_RELAY: 'false',
    CASTWAY_ICE_RATE: '100000',
    CASTWAY_MOBILITY: 'true',
    CASTWAY_NEW_PEERS: '0',
  }));
  await server.addUser('alice');
  sinks = { ours: await sink('127.0.0.1'), bound: await sink(BOUND), elsewhere: await sink('127.0.0.9'), ipv6: await sink('::1') };
  allocations = new Allocations(server);
});
after(async () => {
  for (const each of Object.values(sinks ?? {})) each.close();
  await server?.close();
});
afterEach(async () => {
  await allocations.close();
  closeAll();
});

const stranger = () => signed('clients', SECRET, 'alice');
const user = () => signed('anyone', SECRET, 'alice');

// Addresses that no permission may be installed for.
const forbiddenAddresses = () => ({
  'a public host': { address: '8.8.8.8', port: 443 },
  'a DNS server': { address: '9.9.9.9', port: 53 },
  'a public host by IPv6': { address: '2606:4700::1111', port: 53 },
  SSDP: { address: '239.255.255.250', port: 1900 },
  mDNS: { address: '224.0.0.251', port: 5353 },
  'mDNS by IPv6': { address: 'ff02::fb', port: 5353 },
  broadcast: { address: '255.255.255.255', port: 9 },
  'a neighbour': { address: '192.168.1.1', port: 80 },
  'the metadata of a cloud': { address: '169.254.169.254', port: 80 },
  'a program at 127.0.0.1': sinks.ours,
  'a program at another loopback address': sinks.elsewhere,
  'our HTTP port': { address: '127.0.0.1', port: server.httpPort },
  'our TURN port': { address: '127.0.0.1', port: server.turnPort },
  'IPv4-mapped': { ...sinks.ours, address: '::ffff:127.0.0.1' },
  'IPv4-compatible': { ...sinks.ours, address: '::127.0.0.1' },
  'IPv4-translated': { ...sinks.ours, address: '::ffff:0:127.0.0.1' },
  NAT64: { ...sinks.ours, address: '64:ff9b::127.0.0.1' },
  '6to4': { ...sinks.ours, address: '2002:7f00:1::1' },
});

// A permission has no port, and relayed addresses have these IP addresses. At other ports of them nobody is reached.
const portsOfNobody = () => ({
  'our HTTP port at the advertised address': { address: ADVERTISED, port: server.httpPort },
  'our TURN port at the advertised address': { address: ADVERTISED, port: server.turnPort },
  'a port of nobody at the advertised address': { address: ADVERTISED, port: 9 },
  'a free port of the range at the advertised address': { address: ADVERTISED, port: 60_001 },
  'port 0 at the advertised address': { address: ADVERTISED, port: 0 },
  'a program at the bound address': sinks.bound,
  'our HTTP port at the bound address': { address: BOUND, port: server.httpPort },
  'a program at [::1]': sinks.ipv6,
  'our TURN port at [::1]': { address: '::1', port: server.turnPort },
});

const outcomes = async (peers, ask) => Object.fromEntries(await Promise.all(Object.entries(peers).map(async ([name, peer], at) => [name, await ask(peer, at)])));
const all = (peers, code) => Object.fromEntries(Object.keys(peers).map((name) => [name, code]));

// Sends to every sink with permission and without, over Send indications and on channels.
function sendEverywhere(client) {
  for (const [at, peer] of Object.values(sinks).entries()) {
    client.send(peer, Buffer.from('by indication'));
    client.sendOn(FIRST_CHANNEL + at, Buffer.from('on a channel'));
  }
}

async function assertNothingArrived(client) {
  // When this request is answered, the relay has handled everything sent before.
  await client.refresh();
  for (const each of Object.values(sinks)) {
    await each.settle();
    assert.deepEqual(each.received, [], `${each.address}:${each.port}`);
  }
}

async function assertReachesNobodyElse(client) {
  const [addresses, ports] = [forbiddenAddresses(), portsOfNobody()];
  assert.deepEqual(await outcomes(addresses, (peer) => client.permit(peer)), all(addresses, 403), 'CreatePermission');
  const ofPort = Object.fromEntries(Object.entries(ports).map(([name, { port }]) => [name, port === 0 ? 0 : 403]));
  assert.deepEqual(await outcomes(ports, (peer) => client.permit(peer)), ofPort, 'CreatePermission for this machine');
  const everything = { ...addresses, ...ports };
  assert.deepEqual(await outcomes(everything, (peer, at) => client.bind(FIRST_CHANNEL + at, peer)), all(everything, 403), 'ChannelBind');
  sendEverywhere(client);
  await assertNothingArrived(client);
}

describe("a stranger's credentials", () => {
  for (const [name, way] of Object.entries(ways)) {
    test(`${name}: reach other strangers and nobody else`, async () => {
      const credentials = await way(server);
      const client = await allocations.allocated(credentials, { attributes: BOTH_FAMILIES });
      await assertReachesNobodyElse(client);
      const over = await allocations.allocated(credentials, { attributes: BOTH_FAMILIES, transport: 'tcp' });
      assert.deepEqual([await client.bind(0x4fff, over.relayed), await over.bind(0x4fff, client.relayed)], [0, 0]);
      client.sendOn(0x4fff, Buffer.from('hello'));
      assert.equal(String((await over.receive()).data), 'hello');
    });

    test(`${name}: make no TCP allocation`, async () => {
      const client = allocations.client(await way(server), { transport: 'tcp' });
      assert.equal(await client.allocate(undefined, [TCP]), 442);
    });
  }

  test('name no peer in CONNECT', async () => {
    const client = await allocations.allocated(stranger(), { transport: 'tcp' });
    const peers = forbiddenAddresses();
    for (const name of ['mDNS by IPv6', 'a public host by IPv6', 'IPv4-compatible', 'IPv4-translated', 'NAT64', '6to4']) delete peers[name];
    assert.deepEqual(await outcomes(peers, (peer) => client.connectTo(peer)), all(peers, 403));
  });

  test('name a peer and a forbidden one in one CreatePermission: neither is permitted', async () => {
    const client = await allocations.allocated(stranger());
    assert.equal(await client.permit(client.relayed, sinks.ours), 403);
    sendEverywhere(client);
    await assertNothingArrived(client);
  });
});

// Shows that the sinks, the policy and the requests of the tests above would do what the strangers are refused.
test("a user's credentials reach the sinks and make TCP allocations", async () => {
  const client = await allocations.allocated(user(), { attributes: BOTH_FAMILIES });
  for (const [at, each] of Object.values(sinks).entries()) assert.equal(await client.bind(FIRST_CHANNEL + at, each), 0, each.address);
  sendEverywhere(client);
  await client.refresh();
  for (const each of Object.values(sinks)) {
    await each.settle();
    assert.deepEqual(each.received.splice(0), ['by indication', 'on a channel'], each.address);
  }
  const stream = allocations.client(user(), { transport: 'tcp' });
  assert.equal(await stream.allocate(undefined, [TCP]), 0);
});

describe('a scope', () => {
  // Requests on an allocation that must keep the scope of its Allocate.
  const requests = {
    Refresh: (client) => client.refresh(),
    CreatePermission: (client) => client.permit(sinks.ours),
    ChannelBind: (client) => client.bind(FIRST_CHANNEL, sinks.ours),
    'a Refresh that ends it': (client) => client.refresh([[ATTRIBUTE.lifetime, word(0)]]),
  };

  for (const [first, other, own] of [[stranger, user, 403], [user, stranger, 0]]) {
    test(`of ${first.name} is not changed by the key of the same name in the other scope: 441`, async () => {
      const credentials = first();
      const client = await allocations.allocated(credentials);
      Object.assign(client, other());
      for (const [name, ask] of Object.entries(requests)) assert.equal(await ask(client), 441, name);
      assert.equal(await client.allocate(undefined, [UDP]), 441, 'Allocate');
      Object.assign(client, credentials);
      assert.deepEqual([await client.refresh(), await client.permit(sinks.ours)], [0, own]);
      for (const each of Object.values(sinks)) each.received.length = 0;
    });

    test(`of ${first.name}: a reservation is for the same name in the same scope`, async () => {
      const reserve = [UDP, [ATTRIBUTE.evenPort, Buffer.from([0x80])]];
      const { relayed, token } = await allocations.allocated(first(), { attributes: reserve });
      assert.equal(token?.length, 8);
      const claim = [UDP, [ATTRIBUTE.reservationToken, token]];
      assert.equal(await allocations.client(other()).allocate(undefined, claim), 508);
      const claimed = await allocations.allocated(first(), { attributes: claim });
      assert.deepEqual([relayed.port % 2, claimed.relayed.port], [0, relayed.port + 1]);
    });

    test(`of ${first.name}: a mobility ticket is for the same name in the same scope`, async () => {
      const mobile = await allocations.allocated(first(), { attributes: [UDP, [ATTRIBUTE.mobilityTicket, Buffer.alloc(0)]] });
      assert.ok(mobile.ticket?.length > 0);
      const ticket = [[ATTRIBUTE.mobilityTicket, mobile.ticket]];
      const thief = allocations.client(other());
      await thief.challenge();
      assert.equal(await thief.refresh(ticket), 441);
      const owner = allocations.client(first());
      await owner.challenge();
      assert.equal(await owner.refresh(ticket), 0);
      owner.relayed = mobile.relayed;
      mobile.relayed = null;
      assert.equal(await owner.permit(sinks.ours), own);
    });
  }

  test('has users of its own: the same name has a quota in each', async () => {
    const limited = await startServer({ CASTWAY_STATIC_AUTH_SECRET: SECRET, CASTWAY_USER_QUOTA: '1' });
    const own = new Allocations(limited);
    try {
      for (const each of [stranger, user]) {
        const credentials = each();
        await own.allocated(credentials);
        assert.equal(await own.client(credentials).allocate(), 486, each.name);
      }
    } finally {
      await own.close();
      await limited.close();
    }
  });

  test('has users of its own: a user who is disabled takes nothing from a stranger of that name', async () => {
    await server.addUser('bob');
    const named = (scope) => allocations.allocated(signed(scope, SECRET, 'bob'));
    const [own, others] = [await named('anyone'), await named('clients')];
    assert.equal((await server.cli(['user', 'disable', 'bob'])).code, 0);
    await until('the allocation of the user ends', () => own.refresh(), (code) => code !== 0);
    assert.equal(await others.refresh(), 0);
    assert.equal(await allocations.client(signed('clients', SECRET, 'bob')).allocate(), 0);
    assert.equal(await allocations.client(signed('anyone', SECRET, 'bob')).allocate(), 401);
    assert.equal((await fetch(`${server.url}/turn?username=bob`)).status, 200, 'GET /turn does not tell');
  });

  test("is told by the key alone: neither key verifies the other scope's password", async () => {
    const { username } = stranger();
    for (const password of ['', SECRET, username]) assert.equal(await allocations.client({ username, password }).allocate(), 401);
  });
});

describe('a user of scope clients', () => {
  test('has a password for public pages that reaches other clients and nobody else', async () => {
    const { code, stderr } = await server.cli(['user', 'add', 'page', '--scope', 'clients', '--password-stdin'], 'a-password-on-a-page\n');
    assert.equal(code, 0, stderr);
    const credentials = { username: 'page', password: 'a-password-on-a-page' };
    // The server learns of the user within a second.
    let client;
    const allocate = () => {
      client = allocations.client(credentials);
      return client.allocate(undefined, BOTH_FAMILIES);
    };
    await until('the user is known', allocate, (result) => result === 0, { pause: 500 });
    await assertReachesNobodyElse(client);
  });
});

describe('settings', () => {
  const reach = async (settings, credentials, peer) => {
    const other = await startServer({ CASTWAY_STATIC_AUTH_SECRET: SECRET, CASTWAY_ALLOWED_PEER_IP: '0.0.0.0/0', ...settings });
    const own = new Allocations(other);
    try {
      const client = await own.allocated(credentials);
      const code = await client.bind(FIRST_CHANNEL, peer);
      client.sendOn(FIRST_CHANNEL, Buffer.from('through'));
      await client.refresh();
      await peer.settle();
      return { code, received: peer.received.splice(0) };
    } finally {
      await own.close();
      await other.close();
    }
  };
  const [refused, reached] = [{ code: 403, received: [] }, { code: 0, received: ['through'] }];

  test('CASTWAY_RELAY_SCOPE=clients keeps users in, too', async () => {
    assert.deepEqual(await reach({ CASTWAY_RELAY_SCOPE: 'clients' }, user(), sinks.elsewhere), refused);
  });

  test('CASTWAY_RELAY_SCOPE=anyone lets strangers out', async () => {
    assert.deepEqual(await reach({ CASTWAY_RELAY_SCOPE: 'anyone' }, stranger(), sinks.elsewhere), reached);
  });

  test('CASTWAY_CLIENTS_PEER_IP adds a network for strangers, and no other', async () => {
    const settings = { CASTWAY_CLIENTS_PEER_IP: '127.0.0.9/32' };
    assert.deepEqual(await reach(settings, stranger(), sinks.elsewhere), reached);
    assert.deepEqual(await reach(settings, stranger(), sinks.ours), refused);
    assert.deepEqual(await reach(settings, user(), sinks.ours), reached);
  });
});
