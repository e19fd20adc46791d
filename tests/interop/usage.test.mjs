// What users relay: counted once and to the byte, kept over restarts and crashes, and bounded by a quota of the month.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { Allocations } from './support/allocations.mjs';
import { ask } from './support/check.mjs';
import { startServer, withServer } from './support/server.mjs';
import { signed } from './support/strangers.mjs';
import { until } from './support/wait.mjs';

const SECRET = 'a-secret-that-the-test-knows-0123456789';
const API_KEY = 'an-api-key-that-the-test-knows-0123456789';
const ALICE = { username: 'alice', password: 'alice-password-1' };
const BOB = { username: 'bob', password: 'bob-password-1' };
const CHANNEL = 0x4000;
// A server writes once a minute.
const WRITE_LIMIT_MS = 100_000;

const sum = (sizes) => sizes.reduce((total, size) => total + size, 0);

// The bytes of each name in the newest period, by `castway usage`.
async function usage(server, ...args) {
  const { code, stdout, stderr } = await server.cli(['usage', '--json', ...args]);
  assert.equal(code, 0, stderr);
  return Object.fromEntries(JSON.parse(stdout).map(({ name, bytes }) => [name, bytes]));
}

// What is in the database, whatever the running server has in memory: there is no server with a copy of the folder.
async function written(server) {
  const folder = mkdtempSync(join(tmpdir(), 'castway-test-'));
  try {
    cpSync(server.dataDir, folder, { recursive: true, filter: (path) => !path.endsWith('.sock') });
    const { code, stdout } = await server.cli(['usage', '--json', '--data-dir', folder]);
    return code === 0 ? Object.fromEntries(JSON.parse(stdout).map(({ name, bytes }) => [name, bytes])) : null;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

// Without the row of all others, where the server's tests of itself are.
function named(bytes) {
  const { '': others, ...rest } = bytes;
  return Object.fromEntries(Object.entries(rest).sort());
}

const counted = (server, expected) => until(`usage is ${JSON.stringify(expected)}`, () => usage(server), (seen) => JSON.stringify(named(seen)) === JSON.stringify(named(expected)));

// Sends payloads both ways on channels, waits for each, and returns their bytes.
async function exchange(a, b, sizes) {
  for (const size of sizes) {
    for (const [from, to] of [[a, b], [b, a]]) {
      const payload = randomBytes(size);
      from.sendOn(CHANNEL, payload);
      assert.ok((await to.receive()).data.equals(payload));
    }
  }
  return 2 * sum(sizes);
}

// Exchanges payloads with a plain peer, and returns their bytes.
async function exchangeWithPeer(client, sizes) {
  const peer = createSocket('udp4');
  peer.on('message', (data, { address, port }) => peer.send(data, port, address));
  peer.bind(0, '127.0.0.1');
  await once(peer, 'listening');
  try {
    assert.equal(await client.permit(peer.address()), 0);
    for (const size of sizes) {
      client.send(peer.address(), randomBytes(size));
      assert.equal((await client.receive()).data.length, size);
    }
  } finally {
    peer.close();
  }
  return 2 * sum(sizes);
}

async function withAllocations(server, body) {
  const allocations = new Allocations(server);
  try {
    await body(allocations);
  } finally {
    await allocations.close();
  }
}

test('every payload counts once for each user, over each transport and between shards, and after a restart', async () => {
  await withServer({ CASTWAY_RELAY_THREADS: '2', CASTWAY_ALLOWED_PEER_IP: '127.0.0.1' }, async (server) => {
    await server.addUser(ALICE.username, ALICE.password);
    await server.addUser(BOB.username, BOB.password);
    let [ofAlice, ofBob] = [0, 0];
    await withAllocations(server, async (allocations) => {
      for (const [one, other] of [['udp', 'udp'], ['udp', 'tcp'], ['tcp', 'tls'], ['tls', 'udp']]) {
        // Several pairs, so that some of them have their ends on two shards.
        for (let pair = 0; pair < 4; pair += 1) {
          const a = await allocations.allocated(ALICE, { transport: one });
          const b = await allocations.allocated(BOB, { transport: other });
          assert.deepEqual([await a.bind(CHANNEL, b.relayed), await b.bind(CHANNEL, a.relayed)], [0, 0]);
          const bytes = await exchange(a, b, [1, 1200, 1472, 30_000]);
          ofAlice += bytes;
          ofBob += bytes;
        }
        const alone = await allocations.allocated(ALICE, { transport: one });
        // Without a permission nothing is relayed, and so nothing counts. It is dropped before what follows is relayed.
        alone.send({ address: '127.0.0.1', port: 9 }, randomBytes(1000));
        ofAlice += await exchangeWithPeer(alone, [1, 1200, 9000]);
      }
    });
    await counted(server, { alice: ofAlice, bob: ofBob });
    assert.deepEqual(await usage(server, 'bob', '--months'), { bob: ofBob });
    assert.equal((await server.stop()).code, 0);
    assert.deepEqual(named(await usage(server)), { alice: ofAlice, bob: ofBob }, 'without a server');
    await server.start();
    assert.deepEqual(named(await usage(server)), { alice: ofAlice, bob: ofBob });
    const { rows } = await ask(server, { ask: 'usage' });
    assert.equal(rows.find(({ name }) => name === 'alice').month, ofAlice);
    const shown = await server.cli(['usage']);
    assert.match(shown.stdout, /^PERIOD {6}NAME +SCOPE +RELAYED\n\d{4}-\d\d-\d\d {2}alice +anyone +\d/);
    assert.ok(shown.stdout.split('\n').every((line) => line.length <= 80));
  });
});

test('names that another issuer signs count by the part that the rule takes, and strangers together', async () => {
  await withServer({ CASTWAY_STATIC_AUTH_SECRET: SECRET, CASTWAY_USAGE_NAME: 'before:-' }, async (server) => {
    let [ofAcme, ofOthers] = [0, 0];
    await withAllocations(server, async (allocations) => {
      const acme = await allocations.pair(signed('anyone', SECRET, 'acme-7f3a'), signed('anyone', SECRET, 'acme-91bc'));
      ofAcme += 2 * (await exchange(...acme, [100, 1200]));
      const stranger = await (await fetch(`${server.url}/turn?username=acme-7f3a`)).json();
      ofOthers += 2 * (await exchange(...(await allocations.pair(stranger)), [10]));
    });
    await counted(server, { acme: ofAcme });
    await until('strangers count', () => usage(server), (seen) => seen[''] >= ofOthers);
    assert.match((await server.cli(['usage'])).stdout, /\(all others\)/);
  });
});

describe('a quota', () => {
  const turn = (server, init, query = 'username=alice') => fetch(`${server.url}/turn?${query}`, init);
  const basic = { headers: { authorization: `Basic ${btoa(`${ALICE.username}:${ALICE.password}`)}` } };
  const withKey = { headers: { authorization: `Bearer ${API_KEY}` } };

  test('ends the allocations, refuses others, says so to the user and to keys alone, and can be raised', async () => {
    await withServer({ CASTWAY_API_KEYS: API_KEY }, async (server) => {
      await server.addUser(ALICE.username, ALICE.password);
      const set = await server.cli(['user', 'quota', 'alice', '100K']);
      assert.match(set.stdout, /^alice may relay 100kB in a month\./);
      assert.match((await server.cli(['user', 'quota', 'nobody', '1G'])).stderr, /there is no user "nobody"/);
      await withAllocations(server, async (allocations) => {
        const [a, b] = await allocations.pair(ALICE);
        const [bystander] = await allocations.pair(await (await turn(server, {})).json());
        await exchange(a, b, [30_000]);
        await until('both allocations end', async () => [await a.refresh(), await b.refresh()], (codes) => codes.every((code) => code === 437));
        assert.equal(await bystander.refresh(), 0, 'a stranger who calls himself alice is another user');
        const again = allocations.client(ALICE);
        assert.equal(await again.allocate(), 486);
        await until('the reasons are logged', () => /a user has used up the quota of this month.*user="alice" bytes=120000 quota=100000/.test(server.log) && /relay refused .*user="alice" code=486 reason="the user has used up this month's quota of bytes/.test(server.log));

        for (const proof of [basic, withKey]) {
          const refused = await turn(server, proof);
          assert.equal(refused.status, 403);
          const { error, message } = await refused.json();
          assert.equal(error, 'QuotaReached');
          assert.match(message, /120000 of 100000 bytes/);
        }
        const [stranger, other] = [await turn(server, {}), await turn(server, {}, 'username=carol')];
        assert.deepEqual([stranger.status, other.status], [200, 200]);
        assert.deepEqual(Object.keys(await stranger.json()), Object.keys(await other.json()), 'strangers learn nothing of the user');

        assert.match((await server.cli(['user', 'quota', 'alice'])).stdout, /has relayed 120kB of 100kB in this month/, 'before anything is written');
        await server.restart();
        assert.equal(await allocations.client(ALICE).allocate(), 486, 'after a restart');
        assert.equal(server.logged(/a user has used up the quota of this month/).length, 1, 'it is told once');

        assert.equal((await server.cli(['user', 'quota', 'alice', 'none'])).code, 0);
        await until('alice may allocate', () => allocations.client(ALICE).allocate(), (code) => code === 0);
        assert.equal((await turn(server, basic)).status, 200);
      });
    });
  });

  test('is used up by nobody who only takes the name, though strangers get scope anyone', async () => {
    await withServer({ CASTWAY_STATIC_AUTH_SECRET: SECRET, CASTWAY_TURN_ACCESS: 'open' }, async (server) => {
      await server.addUser(ALICE.username, ALICE.password);
      assert.equal((await server.cli(['user', 'quota', 'alice', '1K'])).code, 0);
      await withAllocations(server, async (allocations) => {
        const credentials = await (await turn(server, {}, 'username=alice')).json();
        const [a, b] = await allocations.pair(credentials);
        await exchange(a, b, [1200, 1200]);
        await counted(server, {});
        assert.equal(await allocations.client(ALICE).allocate(), 0);
      });
    });
  });

  test('of a name that a key or another issuer signs', async () => {
    await withServer({ CASTWAY_STATIC_AUTH_SECRET: SECRET, CASTWAY_USAGE_NAME: 'before:-' }, async (server) => {
      assert.equal((await server.cli(['user', 'quota', 'acme', '1K', '--scope', 'anyone'])).code, 0);
      const refused = await server.cli(['user', 'quota', 'acme-1', '1K', '--scope', 'anyone']);
      assert.equal(refused.code, 1);
      assert.match(refused.stderr, /what "acme-1" relays counts under the name "acme"/);
      await withAllocations(server, async (allocations) => {
        const [a, b] = await allocations.pair(signed('anyone', SECRET, 'acme-1'), signed('anyone', SECRET, 'acme-2'));
        await exchange(a, b, [1200]);
        await until('both allocations end', async () => [await a.refresh(), await b.refresh()], (codes) => codes.every((code) => code === 437));
        assert.equal(await allocations.client(signed('anyone', SECRET, 'acme-3')).allocate(), 486);
        assert.equal(await allocations.client(signed('anyone', SECRET, 'other-1')).allocate(), 0);
      });
    });
  });
});

test('an API key reads what was relayed, and nobody else', async () => {
  await withServer({ CASTWAY_API_KEYS: API_KEY }, async (server) => {
    await server.addUser(ALICE.username, ALICE.password);
    await withAllocations(server, async (allocations) => {
      const bytes = 2 * (await exchange(...(await allocations.pair(ALICE)), [1000]));
      await counted(server, { alice: bytes });
      const read = (query, headers = { authorization: `Bearer ${API_KEY}` }) => fetch(`${server.url}/api/usage${query}`, { headers });
      const { rows } = await (await read('?months=1&user=alice')).json();
      assert.deepEqual(rows, [{ period: new Date().toISOString().slice(0, 7), scope: 'anyone', name: 'alice', bytes }]);
      const all = (await (await read('')).json()).rows;
      assert.deepEqual(all.filter(({ name }) => name), [{ ...rows[0], period: new Date().toISOString().slice(0, 10) }]);
      assert.deepEqual((await (await read('?user=bob')).json()).rows, []);
      for (const months of ['', '0', 'false']) assert.deepEqual((await (await read(`?months=${months}`)).json()).rows, all);
      const wrong = await read('?months=x');
      assert.equal(wrong.status, 400);
      assert.match((await wrong.json()).detail, /^The parameter months must be 1 or true/);
      for (const headers of [{}, { authorization: 'Bearer wrong' }, { authorization: `Basic ${btoa('alice:alice-password-1')}` }]) {
        assert.equal((await read('', headers)).status, 401);
      }
      assert.equal((await read(`?key=${API_KEY}`, {})).status, 401, 'a key in a query ends up in logs');
    });
  });
});

test('a crash loses what was relayed since the last write, and never counts twice', async () => {
  const server = await startServer({});
  try {
    await server.addUser(ALICE.username, ALICE.password);
    let total = 0;
    await withAllocations(server, async (allocations) => {
      const [a, b] = await allocations.pair(ALICE);
      const before = 2 * (await exchange(a, b, [1200, 30_000]));
      await until('the first bytes are written', () => written(server), (seen) => seen?.alice === before, { limit: WRITE_LIMIT_MS, pause: 1000 });
      const after = 2 * (await exchange(a, b, [1000]));
      await counted(server, { alice: before + after });
      await server.stop('SIGKILL');
      const kept = (await usage(server)).alice;
      assert.ok(kept === before || kept === before + after, `${kept} of ${before} and ${after}`);
      await server.start();
      assert.deepEqual(named(await usage(server)), { alice: kept });
      const [c, d] = await allocations.pair(ALICE);
      const more = 2 * (await exchange(c, d, [500]));
      await counted(server, { alice: kept + more });
      total = kept + more;
    });
    assert.equal((await server.stop()).code, 0);
    assert.deepEqual(named(await usage(server)), { alice: total });
  } finally {
    await server.close();
  }
});
