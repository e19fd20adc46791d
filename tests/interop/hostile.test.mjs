// One client sends malformed input, while a pair beside it keeps exchanging messages and the server keeps answering.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect as connectTcp } from 'node:net';
import { after, afterEach, before, test } from 'node:test';
import WebSocket from 'ws';
import { closeAll, connect, versions } from './support/clients.mjs';
import { dialects, exchange, pair } from './support/dialects.mjs';
import { inRounds } from './support/rounds.mjs';
import { startServer } from './support/server.mjs';
import { TIMEOUT_MS, until } from './support/wait.mjs';

// The server counts wrong codes by address, and the pair has another address.
const ATTACKER = '127.0.0.2';
// The pause between two rounds of the pair, in ms. A client may send 512 KiB a second and 4 MiB in a burst; without a pause the pair would
// exceed this within seconds. Each client sends 11 events of less than 200 bytes in a round, which makes 110 kB a second.
const PAUSE_OF_THE_PAIR_MS = 20;

let server;
let tv;
let caster;
let mark = 0;
before(async () => {
  server = await startServer();
});
after(() => server?.close());

// The pair must survive each attack; the server is checked afterwards.
async function withPair(attack) {
  tv = await connect(server, { label: 'TV' });
  caster = await connect(server, { namespace: '/rtc', label: 'caster' });
  await pair(tv, 'A', caster, 'B');
  const refused = [tv.refusal(), caster.refusal()];
  const round = () => Promise.race([exchange(tv, 'A', caster, 'B', { mark: (mark += 1), candidates: 10 }), ...refused]);
  await inRounds({ 'the pair': round }, attack(), PAUSE_OF_THE_PAIR_MS);
  const healthy = await fetch(`${server.url}/healthz`);
  assert.equal(healthy.status, 200);
  assert.ok(server.running);
  const answer = await (await connect(server, { label: 'newcomer' })).ask('TV_INIT');
  assert.equal(answer.ok, true);
  assert.deepEqual(server.logged(/panicked/), []);
}

afterEach(closeAll);

const CLIENT_EVENTS = [
  'TV_INIT', 'JOIN_ROOM', 'CLIENT_OFFER_TO_SERVER', 'TV_ANSWER_TO_SERVER', 'RTC_Candidate_Exchange', 'LEAVE_ROOM', 'CONFIG', 'TV_REGISTER',
  'VERIFY_FEEDBACK', 'TV_GETINFO', 'CONNECT_TO_TV', 'RTC_Client_Offer_To_Server', 'RTC_TV_Answer_To_Server',
];

function nested(depth) {
  let value = 'bottom';
  for (let i = 0; i < depth; i += 1) value = i % 2 ? [value] : { deeper: value };
  return value;
}

const circus = () => [
  [], [null], [undefined, undefined], [0], [-1e308], [''], ['\u0000\ud83d'], [[]], [[[]], {}], [{}], [true, false],
  [nested(100)], [nested(1000)], [Buffer.from([0, 1, 2, 255])], [{ iceCandidate: Buffer.alloc(100) }], [{ offer: Buffer.alloc(10) }],
  ['x'.repeat(1000)], Array.from({ length: 50 }, (_, i) => i), [{ __proto__: null, constructor: 1, toString: null }],
  [{ code: nested(50), resumeToken: [] }], [{ username: 'x'.repeat(5000), projCode: 'y'.repeat(5000) }],
];

for (const version of Object.keys(versions)) {
  test(`every event with every kind of argument: ${version}`, () =>
    withPair(async () => {
      for (const namespace of ['/', '/rtc']) {
        for (const event of CLIENT_EVENTS) {
          const peer = await connect(server, { version, namespace, from: ATTACKER, label: `attacker with ${event}` });
          for (const args of circus()) {
            peer.emit(event, ...args);
            peer.socket.emit(event, ...args, () => {});
          }
          await once(peer.socket, 'disconnect', { signal: AbortSignal.timeout(50) }).catch(() => {});
          peer.leave();
        }
      }
    }));
}

test('the same from inside a room', () =>
  withPair(async () => {
    const otherTv = await connect(server, { from: '127.0.0.3', label: 'attacking TV' });
    const otherCaster = await connect(server, { from: '127.0.0.3', label: 'attacking caster' });
    await pair(otherTv, 'A', otherCaster, 'A');
    for (const peer of [otherTv, otherCaster]) {
      for (const event of ['CLIENT_OFFER_TO_SERVER', 'TV_ANSWER_TO_SERVER', 'RTC_Candidate_Exchange', 'RTC_Client_Offer_To_Server', 'RTC_TV_Answer_To_Server']) {
        for (const args of circus()) peer.emit(event, ...args);
      }
    }
    await otherTv.settle();
    await otherCaster.settle();
    otherCaster.leave();
    await dialects.A.hearCasterGone(otherTv, null, 'left');
  }));

test('unknown and reserved event names', () =>
  withPair(async () => {
    const peer = await connect(server, { version: '2.5', from: ATTACKER });
    for (const name of ['NO_SUCH_EVENT', '', '__proto__', 'constructor', 'x'.repeat(10_000), 'TV_INIT_OK', 'message', 'CASTER_JOINED']) {
      peer.emit(name, 'x');
    }
    await peer.settle();
    const reserved = await connect(server, { from: ATTACKER });
    for (const name of ['connect', 'disconnect', 'disconnecting', 'connect_error', 'error']) reserved.socket.io.engine.write(`2["${name}","x"]`);
    await tv.settle();
  }));

for (const transport of ['websocket', 'polling']) {
  test(`1 MiB in one event: ${transport}`, () =>
    withPair(async () => {
      for (const payload of ['x'.repeat(1 << 20), Buffer.alloc(1 << 20), { offer: 'x'.repeat(1 << 20) }]) {
        const peer = await connect(server, { transport, from: ATTACKER, label: 'heavy' });
        peer.emit('CLIENT_OFFER_TO_SERVER', payload);
        await until('the heavy client is refused or closed', () => peer.heard('CAST_ERROR').length > 0 || !peer.socket.connected);
        peer.leave();
      }
    }));
}

const raw = async (eio = 4) => {
  const socket = new WebSocket(`${server.url.replace('http', 'ws')}/socket.io/?EIO=${eio}&transport=websocket`, { localAddress: ATTACKER });
  socket.on('error', () => {});
  await once(socket, 'open');
  return socket;
};

for (const eio of [3, 4]) {
  test(`broken frames on a raw WebSocket, EIO=${eio}`, () =>
    withPair(async () => {
      const frames = [
        '', '4', '40', '42', '42[', '42{}', '42[]', '42[1]', '42[null]', '42["TV_INIT"', '42["TV_INIT",]', '42/rtc,["TV_INIT"]', '42/nowhere,["x"]',
        '4299999999999999999999["TV_INIT"]', '43', '430[]', '439999999["x"]', '44', '45', '451-["TV_INIT",{"_placeholder":true,"num":0}]',
        '45999999999999-["TV_INIT"]', '451-["TV_INIT",{"_placeholder":true,"num":99}]', '46', '47', '49', '40/rtc,{"a":', '41', '5', '6', '1', '2probe', '3', '9', 'abc',
        '\u0000', '40/' + 'x'.repeat(5000), '42["' + '['.repeat(20_000), '42["TV_INIT",' + '['.repeat(5000) + ']'.repeat(5000) + ']',
        Buffer.alloc(0), Buffer.from([4]), Buffer.from([0xff, 0xfe, 0x00]), Buffer.alloc(200_000, 0x42),
      ];
      for (const frame of frames) {
        for (const connectFirst of [true, false]) {
          const socket = await raw(eio);
          if (connectFirst) socket.send('40');
          socket.send(frame);
          socket.send('42["TV_INIT"]');
          await once(socket, 'close', { signal: AbortSignal.timeout(15) }).catch(() => {});
          socket.terminate();
        }
      }
    }));
}

test('broken HTTP beside Socket.IO', () =>
  withPair(async () => {
    const paths = ['?EIO=4', '?EIO=4&transport=polling&sid=nonsense', '?EIO=99&transport=polling', '?transport=polling', '?EIO=4&transport=carrier-pigeon', '?EIO=4&transport=websocket'];
    for (const path of paths) {
      for (const method of ['GET', 'POST', 'PUT', 'DELETE']) {
        const response = await fetch(`${server.url}/socket.io/${path}`, { method, body: method === 'GET' ? undefined : '4garbage\u001e4', signal: AbortSignal.timeout(TIMEOUT_MS) });
        await response.arrayBuffer();
        assert.ok(response.status < 500, `${method} ${path}: ${response.status}`);
        if (path.includes('nonsense')) assert.ok(response.status >= 400, `${method} ${path}: ${response.status}`);
      }
    }
    for (const text of ['garbage\r\n\r\n', 'GET / HTTP/9.9\r\n\r\n', `GET /${'x'.repeat(100_000)} HTTP/1.1\r\n\r\n`, '\u0016\u0003\u0001', 'POST /turn HTTP/1.1\r\nContent-Length: -1\r\n\r\n']) {
      const socket = connectTcp(Number(server.httpAddr.split(':')[1]), '127.0.0.1');
      socket.on('error', () => {});
      await once(socket, 'connect');
      socket.write(text);
      await once(socket, 'close', { signal: AbortSignal.timeout(100) }).catch(() => {});
      socket.destroy();
    }
  }));

test('a polling session with an open request that goes away, and one that never polls', () =>
  withPair(async () => {
    for (let i = 0; i < 10; i += 1) {
      const opening = await (await fetch(`${server.url}/socket.io/?EIO=4&transport=polling`)).text();
      const { sid } = JSON.parse(opening.slice(1));
      await fetch(`${server.url}/socket.io/?EIO=4&transport=polling&sid=${sid}`, { method: 'POST', body: '40' });
      if (i % 2) await fetch(`${server.url}/socket.io/?EIO=4&transport=polling&sid=${sid}`, { method: 'POST', body: '42["TV_INIT"]' });
      await fetch(`${server.url}/socket.io/?EIO=4&transport=polling&sid=${sid}`, { signal: AbortSignal.timeout(2) }).catch(() => {});
    }
  }));

test('a client that floods is held back or cut off, and its neighbours are not', () =>
  withPair(async () => {
    const peer = await connect(server, { from: ATTACKER, label: 'flood' });
    for (let i = 0; i < 20_000; i += 1) peer.emit('CONFIG', {});
    await once(peer.socket, 'disconnect', { signal: AbortSignal.timeout(3000) }).catch(() => {});
    const { code } = await dialects.A.register(await connect(server, { label: 'TV beside a flood' }), true);
    assert.ok(code);
  }));
