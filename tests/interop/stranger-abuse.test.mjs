// What one stranger, or many from one address, can't take from others: bandwidth, places, and the quiet of a running cast.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Allocations, total } from './support/allocations.mjs';
import { freePort } from './support/ports.mjs';
import { startServer } from './support/server.mjs';
import { signed } from './support/strangers.mjs';
import { until } from './support/wait.mjs';

const SECRET = 'a-secret-that-the-test-knows-0123456789';
const CHANNEL = 0x4000;
const PACKET_BYTES = 1000;
const packet = (text) => Buffer.from(text.padEnd(PACKET_BYTES));
const stranger = (name = 'stranger') => signed('clients', SECRET, name);
const user = (name = 'alice') => signed('anyone', SECRET, name);

async function withRelay(settings, body) {
  const server = await startServer({ CASTWAY_STATIC_AUTH_SECRET: SECRET, ...(typeof settings === 'function' ? await settings() : settings) });
  const allocations = new Allocations(server);
  try {
    await body(server, allocations);
  } finally {
    await allocations.close();
    await server.close();
  }
}

// Has `from` send `count` packets to `to`, and resolves to those that arrive there, when the relay has handled all.
async function exchange(from, to, count) {
  to.taken();
  for (let i = 0; i < count; i += 1) from.sendOn(CHANNEL, packet(`${i}`));
  await until(`${count} packets`, () => to.received >= count, Boolean, { limit: 20_000 }).catch(() => {});
  return to.taken();
}

describe('a running cast', () => {
  const ATTACKERS = 12;
  // An attacker stays within its own limit, and all of them together send much more to each victim than the victim's limit.
  const MAX_BPS = 100_000;
  const SPRAYED = 40;

  for (const [who, scope] of [['strangers', stranger], ['users', user]]) {
    test(`${who} who are no part of it deliver nothing to it, and take nothing of its bandwidth`, async () => {
      await withRelay({ CASTWAY_MAX_BPS: String(MAX_BPS), CASTWAY_RELAY_THREADS: '4' }, async (server, allocations) => {
        const [tv, caster] = await allocations.pair(stranger('tv'), stranger('caster'));
        const attackers = await Promise.all(Array.from({ length: ATTACKERS }, (_, n) => allocations.allocated(scope(`attacker${n}`), { local: `127.0.5.${1 + n}` })));
        const before = { drops: await total(server, 'castway_relay_drops_total', 'reason="not_contacted"'), received: [tv.received, caster.received] };
        for (const attacker of attackers) {
          assert.equal(await attacker.permit(tv.relayed), 0);
          assert.deepEqual([await attacker.bind(CHANNEL, tv.relayed), await attacker.bind(CHANNEL + 1, caster.relayed)], [0, 0]);
          for (let i = 0; i < SPRAYED / 2; i += 1) {
            for (const victim of [tv, caster]) attacker.send(victim.relayed, packet('sprayed'));
            attacker.sendOn(CHANNEL, packet('sprayed'));
            attacker.sendOn(CHANNEL + 1, packet('sprayed'));
            // When this is answered, the relay has handled the packets: no buffer overflows.
            if (i % 10 === 9) await attacker.refresh();
          }
        }
        const drops = (await total(server, 'castway_relay_drops_total', 'reason="not_contacted"')) - before.drops;
        assert.equal(drops, ATTACKERS * SPRAYED * 2, 'dropped packets that nobody asked for');
        assert.deepEqual([tv.received, caster.received], before.received);
        // The whole burst of the victims' own limit is there.
        for (const [from, to] of [[tv, caster], [caster, tv]]) {
          const heard = (await exchange(from, to, 80)).map(({ data }) => Number(data));
          assert.deepEqual(heard, Array.from({ length: 80 }, (_, i) => i));
        }
      });
    });
  }

  test('an attacker that a cast has named does not keep the place of its former owner', async () => {
    await withRelay({}, async (server, allocations) => {
      const [tv, caster] = await allocations.pair(stranger('tv'), stranger('caster'));
      const { relayed } = caster;
      await caster.free();
      // The TV still sends to the port of the caster, which belongs to nobody now.
      tv.sendOn(CHANNEL, packet('to nobody'));
      await tv.refresh();
      assert.equal(await tv.bind(CHANNEL, relayed), 403);
      assert.equal(await total(server, 'castway_relay_drops_total', 'reason="denied_peer"'), 1);
    });
  });
});

// Sends from each client until `end`, `perSecond` bytes each.
async function flood(clients, perSecond, end) {
  const PAUSE_MS = 10;
  const start = Date.now();
  for (let sent = 0; Date.now() < end; await sleep(PAUSE_MS)) {
    const due = ((Date.now() - start) / 1000) * perSecond / PACKET_BYTES;
    for (; sent < due; sent += 1) for (const client of clients) client.sendOn(CHANNEL, packet(`${sent}`));
  }
}

const FLOOD_MS = 4000;

// Floods from the first client of each pair. Resolves to the bytes that arrived at each second one, and the seconds that this took.
async function floodPairs(pairs, perSecond) {
  const before = pairs.map(([, to]) => to.received);
  const start = Date.now();
  await flood(pairs.map(([from]) => from), perSecond, start + FLOOD_MS);
  for (const pair of pairs) for (const client of pair) await client.refresh();
  const took = (Date.now() - start) / 1000;
  return { arrived: pairs.map(([, to], at) => (to.received - before[at]) * PACKET_BYTES), took };
}

const sum = (numbers) => numbers.reduce((all, number) => all + number, 0);

function assertShare(arrived, rate, took) {
  const most = rate * (1 + took);
  assert.ok(arrived <= most, `${arrived} bytes arrived, and ${most} may`);
  assert.ok(arrived >= rate * (took / 2), `only ${arrived} bytes arrived in ${took} s at ${rate} bytes a second`);
}

describe('bandwidth', { concurrency: 2 }, () => {
  test('two strangers carry no more than the share of an allocation, each way', async () => {
    const rate = 100_000;
    await withRelay({ CASTWAY_MAX_BPS: String(rate), CASTWAY_CLIENTS_BPS: '0' }, async (server, allocations) => {
      const [a, b] = await allocations.pair(stranger());
      const { arrived, took } = await floodPairs([[a, b], [b, a]], 4 * rate);
      for (const bytes of arrived) assertShare(bytes, rate, took);
      assert.ok((await total(server, 'castway_relay_drops_total', 'reason="bandwidth"')) > 0);
    });
  });

  // Sends payloads of this size from a to b until the server has dropped some. Resolves to the bytes that arrived, and to the seconds.
  async function exceed(server, a, b, size, most) {
    const drops = () => total(server, 'castway_relay_drops_total', 'reason="bandwidth"');
    const [start, before, payload] = [Date.now(), b.received, Buffer.alloc(size)];
    for (let sent = 0; (await drops()) < 200; ) {
      assert.ok(sent < most, 'no packet was dropped');
      // When these requests are answered, the relay has handled the packets: no buffer overflows.
      for (let i = 0; i < 25; i += 1, sent += 1) a.sendOn(CHANNEL, payload);
      await a.refresh();
      await b.refresh();
    }
    return { packets: b.received - before, took: (Date.now() - start) / 1000 };
  }

  test('empty packets are not free: each one counts as at least 64 bytes', async () => {
    const rate = 20_000;
    // A burst is at least the largest packet.
    const burst = 65_535;
    await withRelay({ CASTWAY_MAX_BPS: String(rate), CASTWAY_CLIENTS_BPS: '0' }, async (server, allocations) => {
      const [a, b] = await allocations.pair(stranger());
      const { packets, took } = await exceed(server, a, b, 0, 100_000);
      assert.ok(packets > 0 && packets * 64 <= burst + rate * took, `${packets} packets in ${took} s`);
    });
  });

  test('by default that is 50 Mbit/s', async () => {
    const rate = 50_000_000 / 8;
    await withRelay({}, async (server, allocations) => {
      const [a, b] = await allocations.pair(stranger('a'), stranger('b'), { transport: 'tcp' });
      const { packets, took } = await exceed(server, a, b, 8000, 100_000);
      const bytes = packets * 8000;
      assert.ok(bytes <= rate * (1 + took), `${bytes} bytes in ${took} s`);
      assert.ok(bytes >= rate / 2, `${bytes} bytes in ${took} s`);
    });
  });

  test('all strangers together carry no more than theirs, and users carry theirs meanwhile', async () => {
    const rate = 200_000;
    await withRelay({ CASTWAY_MAX_BPS: String(rate), CASTWAY_CLIENTS_BPS: String(rate) }, async (server, allocations) => {
      const strangers = await Promise.all([1, 2, 3, 4].map((n) => allocations.pair(stranger(`s${n}`), stranger(`t${n}`), { local: `127.0.6.${n}` })));
      const users = await allocations.pair(user('alice'), user('bob'));
      const [{ arrived, took }, byUsers] = await Promise.all([floodPairs(strangers, rate), floodPairs([users], rate / 4)]);
      assertShare(sum(arrived), rate, took);
      const [bytes] = byUsers.arrived;
      assert.ok(bytes >= 0.95 * (rate / 4) * (FLOOD_MS / 1000), `${bytes} bytes of users arrived`);
    });
  });

  test("many pairs of one address don't starve the cast of another", async () => {
    const rate = 200_000;
    await withRelay({ CASTWAY_CLIENTS_BPS: String(rate) }, async (server, allocations) => {
      const attackers = await Promise.all(Array.from({ length: 10 }, (_, n) => allocations.pair(stranger(`a${n}`), stranger(`b${n}`), { local: '127.0.6.9' })));
      const victims = await allocations.pair(stranger('tv'), stranger('caster'), { local: '127.0.6.10' });
      const [attack, cast] = await Promise.all([floodPairs(attackers, rate / 4), floodPairs([victims], rate / 5)]);
      assertShare(sum(attack.arrived) + cast.arrived[0], rate, Math.max(attack.took, cast.took));
      const wanted = (rate / 5) * (FLOOD_MS / 1000);
      assert.ok(cast.arrived[0] >= 0.95 * wanted, `${cast.arrived[0]} bytes of ${wanted} of the cast arrived; of the attackers ${sum(attack.arrived)}`);
    });
  });
});

describe('places', { concurrency: 3 }, () => {
  test('an address has a bound, an IPv6 /64 a fifth of it, and neither counts for users or for others', async () => {
    const settings = async () => ({
      CASTWAY_TURN_ADDR: `[::]:${await freePort('::')}`,
      CASTWAY_EXTERNAL_IP: '127.0.0.1,::1',
      CASTWAY_RELAY_IP: '127.0.0.1,::1',
      CASTWAY_CLIENTS_ALLOCATIONS: '10',
    });
    await withRelay(settings, async (server, allocations) => {
      for (const [host, local, most] of [['127.0.0.1', '127.0.7.1', 10], ['::1', '::1', 2]]) {
        const clients = await Promise.all(Array.from({ length: most }, (_, n) => allocations.allocated(stranger(`s${n}`), { host, local })));
        const next = () => allocations.client(stranger('one more'), { host, local });
        assert.equal(await next().allocate(), 486, local);
        assert.equal(await allocations.client(user(), { host, local }).allocate(), 0, `a user at ${local}`);
        await clients[0].free();
        assert.equal(await next().allocate(), 0, `after one of ${local} has ended`);
        assert.equal(await next().allocate(), 486, local);
      }
      assert.equal(await allocations.client(stranger(), { local: '127.0.7.2' }).allocate(), 0);
    });
  });

  test('near the capacity the address that holds most yields first, its latest allocation first, and users are let in', async () => {
    await withRelay({ CASTWAY_TOTAL_QUOTA: '20' }, async (server, allocations) => {
      const allocate = async (name, local, scope = stranger) => {
        const client = allocations.client(scope(name), { local });
        return { client, code: await client.allocate() };
      };
      const attackers = [];
      for (let code = 0; code === 0; ) {
        const last = await allocate(`a${attackers.length}`, '127.0.8.1');
        code = last.code;
        if (code === 0) attackers.push(last.client);
        else assert.equal(code, 508);
      }
      assert.ok(attackers.length >= 16 && attackers.length <= 17, `${attackers.length} of 20 places`);
      // A cast and a user, each of whom would find no place behind the attacker.
      for (const [name, local, scope] of [['tv', '127.0.8.2'], ['caster', '127.0.8.2'], ['x', '127.0.8.3'], ['y', '127.0.8.3'], ['alice', '127.0.8.4', user], ['bob', '127.0.8.4', user]]) {
        assert.equal((await allocate(name, local, scope)).code, 0, name);
      }
      assert.ok((await server.metric('castway_relay_allocations')) <= 20);
      assert.equal(await attackers[0].refresh(), 0, 'the oldest allocation');
      assert.equal(await attackers.at(-1).refresh(), 437, 'the latest allocation');
      assert.equal((await allocate('again', '127.0.8.1')).code, 508);
    });
  });

  test('below it nobody is refused', async () => {
    await withRelay({ CASTWAY_TOTAL_QUOTA: '200' }, async (server, allocations) => {
      // Over UDP, one address gets only ten challenges a second.
      for (let n = 1; n <= 150; n += 1) {
        await allocations.allocated(stranger(`pupil${n}`), { local: '127.0.8.9', transport: 'tcp' });
        // The server's test of itself holds another one for a moment.
        assert.ok((await server.metric('castway_relay_allocations')) >= n, 'a shard counts an allocation before it answers');
      }
      await until('these are all', () => server.metric('castway_relay_allocations'), (count) => count === 150);
    });
  });
});
