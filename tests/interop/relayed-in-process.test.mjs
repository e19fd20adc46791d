// A relayed address of scope clients is a number without a socket, and packets between relayed addresses of one server stay in its process.
import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { after, afterEach, before, describe, test } from 'node:test';
import { Allocations, total } from './support/allocations.mjs';
import { startServer } from './support/server.mjs';
import { signed } from './support/strangers.mjs';
import { until } from './support/wait.mjs';

const SECRET = 'a-secret-that-the-test-knows-0123456789';
const ADVERTISED = '203.0.113.7';
const BOUND = '127.0.0.2';
const CHANNEL = 0x4000;
const TRANSPORTS = ['udp', 'tcp', 'tls'];
const settings = {
  CASTWAY_STATIC_AUTH_SECRET: SECRET,
  CASTWAY_EXTERNAL_IP: `${ADVERTISED}/${BOUND}`,
  CASTWAY_RELAY_IP: BOUND,
  CASTWAY_RELAY_THREADS: '4',
  CASTWAY_MAX_BPS: '0',
  CASTWAY_CLIENTS_BPS: '0',
};
const scopes = {
  clients: (name = 'stranger') => signed('clients', SECRET, name),
  anyone: (name = 'alice') => signed('anyone', SECRET, name),
};

let server;
let allocations;
before(async () => {
  server = await startServer(settings);
  allocations = new Allocations(server);
});
after(() => server?.close());
afterEach(() => allocations.close());

const allocate = (count, scope) => Promise.all(Array.from({ length: count }, (_, n) => allocations.allocated(scope(`n${n}`))));
const descriptors = (pid) => readdirSync(`/proc/${pid}/fd`).length;
// The ports of UDP that a socket of this machine is bound to.
const boundPorts = () => ['udp', 'udp6'].flatMap((file) => [...readFileSync(`/proc/net/${file}`, 'utf8').matchAll(/^\s*\d+: [0-9A-F]+:([0-9A-F]{4})/gm)].map(([, port]) => parseInt(port, 16)));

describe('the relayed address of a stranger', () => {
  const ALLOCATIONS = 200;

  test('is the advertised address with a number that is not in the range and no port of ours', async () => {
    const clients = await allocate(ALLOCATIONS, scopes.clients);
    const ports = clients.map(({ relayed }) => relayed.port);
    assert.deepEqual([...new Set(clients.map(({ relayed }) => relayed.address))], [ADVERTISED]);
    assert.equal(new Set(ports).size, ALLOCATIONS);
    assert.deepEqual(ports.filter((port) => port < 1024 || port > 49_151), []);
    const ours = Object.entries(server.settings).filter(([name]) => name.endsWith('_ADDR')).map(([, address]) => Number(address.split(':').at(-1)));
    assert.deepEqual(ports.filter((port) => ours.includes(port)), []);
  });

  test('keeps clear of a range below 49152', async () => {
    const other = await startServer({ ...settings, CASTWAY_MIN_PORT: '2000', CASTWAY_MAX_PORT: '48000' });
    const own = new Allocations(other);
    try {
      const clients = await Promise.all(Array.from({ length: ALLOCATIONS }, (_, n) => own.allocated(scopes.clients(`n${n}`))));
      assert.deepEqual(clients.map(({ relayed }) => relayed.port).filter((port) => port < 1024 || (port >= 2000 && port <= 48_000)), []);
    } finally {
      await own.close();
      await other.close();
    }
  });

  test('takes no descriptor and no socket, unlike that of a user', async () => {
    const start = descriptors(server.pid);
    const clients = await allocate(ALLOCATIONS, scopes.clients);
    const withStrangers = descriptors(server.pid);
    const bound = boundPorts();
    // Other tests may have a port of the same number at another address.
    assert.ok(clients.filter(({ relayed }) => bound.includes(relayed.port)).length < ALLOCATIONS / 10);
    assert.ok(withStrangers - start < 10, `${withStrangers - start} descriptors for ${ALLOCATIONS} allocations`);
    const users = await allocate(50, scopes.anyone);
    // Connections of other tests may end in between.
    assert.ok(descriptors(server.pid) - withStrangers >= 40, 'a user takes a descriptor');
    const now = boundPorts();
    assert.deepEqual(users.filter(({ relayed }) => !now.includes(relayed.port)), []);
  });

  test('is not spoken for by a program of this machine with the same port', async () => {
    const [client, user] = await allocations.pair(scopes.clients(), scopes.anyone());
    const program = createSocket('udp4');
    try {
      program.bind(client.relayed.port, BOUND);
      await once(program, 'listening');
      assert.equal(await user.permit({ address: BOUND, port: 0 }), 0);
      const before = await total(server, 'castway_relay_drops_total');
      program.send('forged', user.relayed.port, BOUND);
      await until('the packet is dropped', async () => (await total(server, 'castway_relay_drops_total')) > before);
      client.sendOn(CHANNEL, Buffer.from('genuine'));
      assert.equal(String((await user.receive()).data), 'genuine');
    } finally {
      program.close();
    }
  });
});

// Sends numbered payloads of every size, and no more than the window before the first of them has arrived, so that no buffer overflows.
async function stream(from, to, count, window = 24) {
  const heard = [];
  const payload = (n) => Buffer.alloc(4 + ((n * 97) % 1200), n & 0xff);
  for (let sent = 0; heard.length < count; ) {
    for (; sent < count && sent - heard.length < window; sent += 1) {
      const bytes = payload(sent);
      bytes.writeUInt32BE(sent);
      from.sendOn(CHANNEL, bytes);
    }
    const { data, from: source } = await to.receive();
    assert.deepEqual(source, from.relayed);
    const n = data.readUInt32BE(0);
    const expected = payload(n);
    expected.writeUInt32BE(n);
    assert.ok(data.equals(expected), `payload ${n} is another one`);
    heard.push(n);
  }
  assert.deepEqual(heard, Array.from({ length: count }, (_, n) => n));
}

describe('packets between two clients arrive unchanged and in order', () => {
  const pairings = Object.keys(scopes).flatMap((first) => Object.keys(scopes).map((second) => [first, second]));
  for (const [first, second] of pairings) {
    for (const one of TRANSPORTS) {
      for (const other of TRANSPORTS) {
        test(`${first} over ${one.toUpperCase()} and ${second} over ${other.toUpperCase()}`, async () => {
          const a = await allocations.allocated(scopes[first]('one'), { transport: one });
          const b = await allocations.allocated(scopes[second]('other'), { transport: other });
          assert.deepEqual([await a.bind(CHANNEL, b.relayed), await b.bind(CHANNEL, a.relayed)], [0, 0]);
          await Promise.all([stream(a, b, 200), stream(b, a, 200)]);
        });
      }
    }
  }

  test('with many pairs at a time, on all shards', async () => {
    const pairs = await Promise.all(Array.from({ length: 24 }, (_, n) => allocations.pair(scopes.clients(`a${n}`), scopes.clients(`b${n}`), { transport: TRANSPORTS[n % 3] })));
    await Promise.all(pairs.flatMap(([a, b]) => [stream(a, b, 200, 8), stream(b, a, 200, 8)]));
    assert.equal(await total(server, 'castway_relay_drops_total', 'reason="not_contacted"'), 0);
  });
});

describe('a packet to a client that has not sent to its sender', () => {
  for (const [first, second] of [['clients', 'clients'], ['anyone', 'clients'], ['clients', 'anyone']]) {
    test(`from ${first} to ${second}: is dropped, and the next one arrives once the client has sent`, async () => {
      const [a, b] = [await allocations.allocated(scopes[first]('one')), await allocations.allocated(scopes[second]('other'))];
      assert.deepEqual([await a.permit(b.relayed), await b.permit(a.relayed)], [0, 0]);
      const dropped = () => total(server, 'castway_relay_drops_total', 'reason="not_contacted"');
      const before = await dropped();
      a.send(b.relayed, Buffer.from('check of a'));
      await until('it is dropped', async () => (await dropped()) === before + 1);
      // As ICE's agents do: each sends checks of its own, and sends them again.
      b.send(a.relayed, Buffer.from('check of b'));
      assert.equal(String((await a.receive()).data), 'check of b');
      a.send(b.relayed, Buffer.from('check of a, again'));
      assert.equal(String((await b.receive()).data), 'check of a, again');
      assert.equal(await dropped(), before + 1);
    });
  }
});
