// The memory that a connection keeps after a large message: little after receiving one, and a bounded total after sending them.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Agent, request } from 'node:http';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { closeAll, connect } from './support/clients.mjs';
import { dialects, exchange, pair } from './support/dialects.mjs';
import { sdpOf } from './support/large.mjs';
import { frame, frameHead, rawWebSocket } from './support/raw.mjs';
import { residentMib } from './support/resident.mjs';
import { inRounds } from './support/rounds.mjs';
import { startServer } from './support/server.mjs';
import { until } from './support/wait.mjs';

const KIB = 1024;
const MIB = 1024 * KIB;
// Almost the largest message that the server reads.
const LARGE = 'x'.repeat(1.1 * MIB);
// Memory of 200 clients themselves, and memory that the allocator has not returned.
const MAX_GROWTH_MIB = 64;

let server;
// Each test has a server of its own, because memory left by another test would be reused and hide the growth.
beforeEach(async () => {
  server = await startServer({ CASTWAY_CALL_RATE: '100000' });
});
afterEach(async () => {
  closeAll();
  await server?.close();
});

// Runs an attack beside a pair that exchanges messages all the time; resolves to the attack's result. While the attack's connections are
// still open, the server's memory must return to at most `growth` MiB above the start. Freed memory is returned within ten seconds.
async function holdsLittle(t, growth, attack) {
  const tv = await connect(server, { label: 'honest TV' });
  const caster = await connect(server, { namespace: '/rtc', label: 'honest caster' });
  await pair(tv, 'A', caster, 'B');
  await exchange(tv, 'A', caster, 'B');
  const start = residentMib(server.pid);
  let mark = 0;
  const round = () => exchange(tv, 'A', caster, 'B', { mark: (mark += 1), candidates: 2 });
  const more = () => residentMib(server.pid) - start;
  const attacked = await inRounds({ 'the pair': round }, (async () => {
    const result = await attack();
    t.diagnostic(`${start.toFixed(0)} MiB before, ${more().toFixed(0)} more after it`);
    const left = await until('memory is given back', more, (mib) => mib < growth, { pause: 500 });
    t.diagnostic(`${left.toFixed(0)} MiB more in the end`);
    return result;
  })(), 100);
  await until('nothing is unfinished', () => server.metric('castway_unfinished_bytes'), (bytes) => bytes === 0);
  assert.deepEqual(server.logged(/panicked/), []);
  return attacked;
}

// Runs `act` `count` times, at most `atOnce` at the same time. Their unfinished bytes together stay below the server's total bound.
async function inTurn(count, act, atOnce = 10) {
  const results = [];
  let next = 0;
  await Promise.all(Array.from({ length: atOnce }, async () => {
    while (next < count) {
      const at = next++;
      results[at] = await act(at);
    }
  }));
  return results;
}

const address = (at) => `127.0.${Math.floor(at / 50) + 2}.${(at % 50) + 1}`;

describe('of 200 clients that have sent 1.1 MiB each, little stays', () => {
  // The server answers the last event after it has read those before it.
  const ways = {
    'an event': [frame(`42["no event of ours","${LARGE}"]`)],
    'an event with an attachment': [frame('451-["no event of ours",{"_placeholder":true,"num":0}]'), frame(LARGE, { opcode: 2 })],
    'a refused offer': [frame(`42["CLIENT_OFFER_TO_SERVER",{"type":"offer","sdp":"${LARGE}"}]`)],
    'an event in two frames': [frame('42["no event of ours","', { fin: false }), frame(`${LARGE}"]`, { opcode: 0 })],
  };
  for (const [what, frames] of Object.entries(ways)) {
    for (const eio of [3, 4]) {
      // For Engine.IO 3, one of these cases is enough.
      if (eio === 3 && what !== 'an event') continue;
      test(`${what}, Engine.IO ${eio}`, async (t) => {
        const open = await holdsLittle(t, MAX_GROWTH_MIB, () => inTurn(200, async (at) => {
          const raw = await rawWebSocket(server, `/socket.io/?EIO=${eio}&transport=websocket`, address(at));
          // Clients may send nothing before the namespace is connected.
          if (eio === 4) await raw.send(frame('40'));
          await raw.until(/40(\{"sid"|$)/);
          await raw.send(Buffer.concat([...frames, frame('427["CONFIG",{}]')]));
          await raw.until(/437\[/);
          const alive = setInterval(() => raw.send(frame(eio === 3 ? '2' : '3')), 5000);
          raw.gone.then(() => clearInterval(alive));
          return raw;
        }));
        assert.ok(open.every((raw) => !raw.closed));
        await Promise.all(open.map((raw) => raw.drop()));
      });
    }
  }

  test('a message to Collider that is too large', async (t) => {
    const open = await holdsLittle(t, MAX_GROWTH_MIB, () => inTurn(200, async (at) => {
      const raw = await rawWebSocket(server, '/ws', address(at));
      const register = JSON.stringify({ cmd: 'register', roomid: `kept-${at}`, clientid: 'a' });
      await raw.send(Buffer.concat([frame(register), frame(JSON.stringify({ cmd: 'send', msg: LARGE }))]));
      await raw.until(/payload too large/);
      return raw;
    }));
    assert.ok(open.every((raw) => !raw.closed));
    await Promise.all(open.map((raw) => raw.drop()));
  });

  test('a body, over connections that are kept', async (t) => {
    const agents = await holdsLittle(t, MAX_GROWTH_MIB, () => inTurn(200, async (at) => {
      const agent = new Agent({ keepAlive: true, maxSockets: 1, localAddress: address(at) });
      const post = request(`${server.url}/kept-bodies/${at}`, { method: 'POST', agent, headers: { 'Content-Type': 'text/plain' } });
      post.end(LARGE.slice(0, MIB));
      const [response] = await once(post, 'response');
      response.resume();
      await once(response, 'end');
      return agent;
    }));
    agents.forEach((agent) => agent.destroy());
  });
});

describe('a frame that nobody may send is refused before it has come', () => {
  for (const path of ['/ws', '/socket.io/?EIO=3&transport=websocket', '/socket.io/?EIO=4&transport=websocket']) {
    for (const [what, head, bytes] of [
      ['a ping of 1.1 MiB', frameHead(LARGE.length, { opcode: 9 }), 8 * KIB],
      ['a compressed frame', Buffer.concat([Buffer.from([0xc1]), frameHead(LARGE.length).subarray(1)]), 8 * KIB],
      ['a frame of 1.25 MiB', frameHead(1.25 * MIB), 0],
      ['a frame of 2⁶³ bytes', (() => {
        const head = frameHead(LARGE.length);
        head.writeBigUInt64BE(1n << 63n, 2);
        return head;
      })(), 0],
    ]) {
      test(`${what}, ${path}`, async () => {
        const late = () => server.metric('castway_ended_messages_total{reason="late"}');
        const before = await late();
        const raw = await rawWebSocket(server, path);
        if (path.includes('EIO=4')) {
          await raw.send(frame('40'));
          await raw.until(/40\{"sid"/);
        }
        await raw.send(Buffer.concat([head, Buffer.alloc(bytes, 'x')]));
        await raw.end();
        assert.equal(await late(), before, 'it was waited for');
      });
    }
  }
});

describe('of many clients that were sent 255 KiB each, 24 MiB stay', () => {
  const CLIENTS = 400;
  // 24 MiB of counted buffers, 16 KiB more for each of these connections, and the memory of the clients themselves.
  const MAX_GROWTH_OF_CROWD_MIB = 84;
  const within = (t, attack) => holdsLittle(t, MAX_GROWTH_OF_CROWD_MIB, async () => {
    const before = await server.metric('castway_ended_buffers_total');
    await attack();
    assert.ok((await server.metric('castway_kept_buffer_bytes')) <= 24 * MIB);
    const ended = (await server.metric('castway_ended_buffers_total')) - before;
    assert.ok(ended > CLIENTS / 2 && ended < CLIENTS - 60, `${ended} were ended`);
    return ended;
  });

  test('offers to TVs: those that keep most end, the oldest first, and come back', async (t) => {
    const offer = sdpOf('offer', 255);
    let tvs;
    const small = await connect(server, { label: 'TV with a usual offer', from: '127.0.9.1' });
    const usual = await connect(server, { label: 'caster with a usual offer', from: '127.0.9.1' });
    const { code } = await pair(small, 'A', usual, 'A');
    await dialects.A.sendOffer(usual, true, sdpOf('offer', 20));
    await small.next('CLIENT_OFFER_TO_TV');
    const ended = await within(t, async () => {
      tvs = await inTurn(CLIENTS, async (at) => {
        const from = address(at);
        const tv = await connect(server, { label: `TV ${at}`, from });
        const { code, token } = await dialects.A.register(tv, true);
        const caster = await connect(server, { label: `caster ${at}`, from });
        await dialects.A.join(caster, true, code);
        await dialects.A.sendOffer(caster, true, offer);
        assert.deepEqual(await tv.next('CLIENT_OFFER_TO_TV'), offer);
        caster.leave();
        return { tv, code, token, from };
      });
    });
    const gone = () => tvs.filter(({ tv }) => !tv.socket.connected);
    await until('those that were ended know it', () => gone().length, (count) => count === ended);
    assert.ok(small.socket.connected && usual.socket.connected);
    assert.equal((await small.ask('TV_INIT')).code, code);
    const [{ code: kept, token, from }] = gone();
    const again = await connect(server, { label: 'a TV again', from });
    assert.equal((await again.ask('TV_INIT', { resumeToken: token })).code, kept);
    tvs.forEach(({ tv }) => tv.leave());
    for (const client of [again, small, usual]) client.leave();
    await until('nothing is kept', () => server.metric('castway_kept_buffer_bytes'), (bytes) => bytes === 0);
  });

  test('messages to clients of Collider', async (t) => {
    const message = 'y'.repeat(255 * KIB);
    let open;
    const ended = await within(t, async () => {
      open = await inTurn(CLIENTS, async (at) => {
        const raw = await rawWebSocket(server, '/ws', address(at));
        await raw.send(frame(JSON.stringify({ cmd: 'register', roomid: `sent-${at}`, clientid: 'a' })));
        await until('it is delivered', async () => {
          if (raw.heard.length > 255 * KIB) return true;
          const { status } = await fetch(`${server.url}/sent-${at}/b`, { method: 'POST', body: message });
          assert.equal(status, 200);
          return raw.until(/y"/).then(() => true, () => true);
        });
        raw.heard = Buffer.alloc(0);
        return raw;
      });
    });
    await until('those that were ended know it', () => open.filter((raw) => raw.closed).length, (count) => count === ended);
    await Promise.all(open.map((raw) => raw.drop()));
    await until('nothing is kept', () => server.metric('castway_kept_buffer_bytes'), (bytes) => bytes === 0);
  });
});
