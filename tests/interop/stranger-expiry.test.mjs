// How long a stranger's credentials count: a live allocation outlives them for a day, and no name revives them.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Allocations } from './support/allocations.mjs';
import { closeOf } from './support/sockets.mjs';
import { startServer } from './support/server.mjs';
import { seat, signed, ways } from './support/strangers.mjs';
import { verify } from './support/turn.mjs';
import { until } from './support/wait.mjs';

const SECRET = 'a-secret-that-the-test-knows-0123456789';
// The shortest lifetime of credentials.
const SHORT = { CASTWAY_TTL: '5', CASTWAY_ICE_TTL: '5' };
const LIFETIME_S = 20;
const CHANNEL = 0x4000;

async function withRelay(settings, body) {
  const server = await startServer(settings);
  const allocations = new Allocations(server);
  try {
    await body(server, allocations);
  } finally {
    closeOf([server.httpPort]);
    await allocations.close();
    await server.close();
  }
}

// Resolves when nobody can allocate with the credentials any more.
const expired = ({ server }, credentials) =>
  until('the credentials have expired', () => verify({ port: server.turnPort, ...credentials }), (result) => result === 401, { pause: 1000 });

// The codes of a Refresh, CreatePermission and ChannelBind.
const codes = async (client, peer) => [await client.refresh(), await client.permit(peer.relayed), await client.bind(CHANNEL, peer.relayed)];

async function assertExchanges(a, b) {
  for (const [from, to] of [[a, b], [b, a]]) {
    from.sendOn(CHANNEL, Buffer.from('still here'));
    assert.equal(String((await to.receive()).data), 'still here');
  }
}

describe("a stranger's live allocation", { concurrency: true }, () => {
  for (const way of ['GET /turn', 'GET /v1alpha/iceconfig', 'GET /v1alpha/turn']) {
    test(`${way}: it outlives its credentials until CASTWAY_CLIENTS_LIFETIME after its Allocate`, async () => {
      await withRelay({ ...SHORT, CASTWAY_CLIENTS_LIFETIME: String(LIFETIME_S) }, async (server, allocations) => {
        const credentials = await ways[way](server);
        const start = Date.now();
        const [a, b] = await allocations.pair(credentials);
        await expired(allocations, credentials);
        assert.ok(Date.now() - start < LIFETIME_S * 1000, 'the machine is too slow for this test');
        assert.deepEqual(await codes(a, b), [0, 0, 0]);
        assert.deepEqual(await codes(b, a), [0, 0, 0]);
        await assertExchanges(a, b);
        const refused = await until('it ends', () => a.refresh(), (code) => code !== 0, { pause: 500 });
        assert.equal(refused, 401);
        assert.ok(Date.now() - start >= LIFETIME_S * 1000, `after ${Date.now() - start} ms`);
        assert.deepEqual(await codes(a, b), [401, 401, 401]);
        // Refreshes gave the allocation no life beyond that.
        await until('both allocations end', () => server.metric('castway_relay_allocations'), (count) => count === 0);
      });
    });
  }

  test('it does not with CASTWAY_STRICT_EXPIRY=true', async () => {
    await withRelay({ ...SHORT, CASTWAY_STRICT_EXPIRY: 'true' }, async (server, allocations) => {
      const credentials = await ways['GET /turn'](server);
      const [a, b] = await allocations.pair(credentials);
      await expired(allocations, credentials);
      // The allocation counts whole seconds from its Allocate.
      await until('its requests are refused', () => a.refresh(), (code) => code === 401);
      assert.deepEqual(await codes(a, b), [401, 401, 401]);
      await until('the allocations end', () => server.metric('castway_relay_allocations'), (count) => count === 0);
    });
  });

  test('that of a seat outlives its credentials while the seat is there, and not after it is gone', async () => {
    await withRelay(SHORT, async (server, allocations) => {
      const tv = await seat(server);
      const other = await ways['GET /turn'](server);
      const [a, b] = await allocations.pair(tv, other);
      // A seat's credentials stay good, so those of somebody else show that the time has passed.
      await expired(allocations, other);
      assert.deepEqual(await codes(a, b), [0, 0, 0]);
      await assertExchanges(a, b);
      tv.socket.leave();
      assert.equal(await until('its requests are refused', () => a.refresh(), (code) => code !== 0), 401);
      assert.deepEqual(await codes(a, b), [401, 401, 401]);
    });
  });

  test('that of a user of scope clients ends when the user is disabled', async () => {
    await withRelay({}, async (server, allocations) => {
      const { code, stderr } = await server.cli(['user', 'add', 'page', '--scope', 'clients', '--password-stdin'], 'a-password-on-a-page\n');
      assert.equal(code, 0, stderr);
      const credentials = { username: 'page', password: 'a-password-on-a-page' };
      let client;
      const allocate = () => (client = allocations.client(credentials)).allocate();
      await until('the user is known', allocate, (result) => result === 0, { pause: 500 });
      assert.equal((await server.cli(['user', 'disable', 'page'])).code, 0);
      assert.equal(await until('its requests are refused', () => client.refresh(), (result) => result !== 0), 401);
    });
  });

  test('another key of the same name does not prolong it', async () => {
    await withRelay({ CASTWAY_STATIC_AUTH_SECRET: SECRET, CASTWAY_CLIENTS_LIFETIME: String(LIFETIME_S) }, async (server, allocations) => {
      // Credentials of another issuer count for 300 s longer, because its clock may differ.
      const credentials = signed('clients', SECRET, 'alice', -295);
      const client = await allocations.allocated(credentials);
      await expired(allocations, credentials);
      Object.assign(client, signed('anyone', SECRET, 'alice'));
      assert.equal(await client.refresh(), 441);
      Object.assign(client, credentials);
      assert.equal(await client.refresh(), 0);
    });
  });
});

describe('a name of digits', () => {
  const DIGITS = '1900000000';
  const now = () => Math.floor(Date.now() / 1000);

  for (const [kind, settings] of [['a generated secret', {}], ['a configured secret', { CASTWAY_STATIC_AUTH_SECRET: SECRET }]]) {
    test(`is no expiry, with ${kind}`, async () => {
      await withRelay({ ...settings, CASTWAY_TTL: '600' }, async (server, allocations) => {
        for (const name of [DIGITS, `${DIGITS}000`, `${DIGITS}:${DIGITS}`, `:${DIGITS}`, `x:${DIGITS}`]) {
          const response = await fetch(`${server.url}/turn?username=${encodeURIComponent(name)}`);
          if (response.status !== 200) {
            assert.equal(response.status, 400, name);
            continue;
          }
          const { username, password } = await response.json();
          const expiry = Number(username.slice(0, 10));
          assert.equal(username, `${expiry}:${name}`);
          assert.ok(expiry > now() && expiry <= now() + 601, username);
          assert.equal(await allocations.client({ username, password }).allocate(), 0, username);
          for (const other of [name, `${name}:`, `:${name}`, `${name}:${expiry}`, `${name}:${name}`, `${expiry}`, `${expiry + 1}:${name}`]) {
            assert.equal(await allocations.client({ username: other, password }).allocate(), 401, other);
          }
        }
      });
    });
  }

  test('does not revive expired credentials of either scope', async () => {
    await withRelay({ CASTWAY_STATIC_AUTH_SECRET: SECRET }, async (server, allocations) => {
      for (const scope of ['clients', 'anyone']) {
        for (const name of [DIGITS, `${DIGITS}000`]) {
          assert.equal(await allocations.client(signed(scope, SECRET, name, -310)).allocate(), 401, `${scope} ${name}`);
          assert.equal(await allocations.client(signed(scope, SECRET, name)).allocate(), 0, `${scope} ${name}`);
        }
      }
    });
  });
});
