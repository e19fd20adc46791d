// Offers and answers of browsers with every codec, simulcast and all candidates: they pass in every flow over every transport, and wait for
// a side that is away. Larger messages, up to a MiB, cause an error, but the connection stays.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, afterEach, before, describe, test } from 'node:test';
import WebSocket from 'ws';
import { closeAll, connect, transports, versions } from './support/clients.mjs';
import { candidate, dialects, exchange, pair } from './support/dialects.mjs';
import { LARGE, sdpOf, session } from './support/large.mjs';
import { connect as connectMulti, room as multiRoom, startOriginal } from './support/multi.mjs';
import { startServer } from './support/server.mjs';
import { until, within } from './support/wait.mjs';

const KIB = 1024;
const TOO_LARGE = /at most (64|256) KiB.*has \d+ KiB/;

let server;
before(async () => {
  server = await startServer({ CASTWAY_GRACE: '3600' });
});
after(() => server?.close());
afterEach(closeAll);

const home = { A: '/', B: '/rtc' };
const offerEvent = { A: 'CLIENT_OFFER_TO_SERVER', B: 'RTC_Client_Offer_To_Server' };
const wrap = { A: (offer) => offer, B: (offer) => ({ offer }) };

// Exchanges an offer and an answer of so many KiB, with candidates between them.
async function negotiate(tv, tvDialect, caster, casterDialect, kib, acks) {
  const [offer, answer] = [sdpOf('offer', kib), sdpOf('answer', kib)];
  const answers = [];
  const say = (peer, name, argument) => (acks ? answers.push(peer.ask(name, argument)) : peer.emit(name, argument));
  say(caster, 'RTC_Candidate_Exchange', { iceCandidate: candidate(1) });
  await dialects[casterDialect].sendOffer(caster, acks, offer);
  say(caster, 'RTC_Candidate_Exchange', { iceCandidate: candidate(2) });
  assert.deepEqual(await dialects[tvDialect].hearOffer(tv), offer);
  await dialects[tvDialect].sendAnswer(tv, acks, answer);
  say(tv, 'RTC_Candidate_Exchange', { iceCandidate: candidate(3) });
  assert.deepEqual(await dialects[casterDialect].hearAnswer(caster), answer);
  for (const mark of [1, 2]) assert.deepEqual(await tv.next('RTC_Candidate_Exchange'), { iceCandidate: candidate(mark) });
  assert.deepEqual(await caster.next('RTC_Candidate_Exchange'), { iceCandidate: candidate(3) });
  for (const answer of await Promise.all(answers)) assert.equal(answer.ok, true);
}

test('a description of browsers with everything is what these tests take for large', () => {
  const { sdp } = sdpOf('offer', 250);
  assert.equal(Buffer.byteLength(sdp), 250 * KIB);
  assert.match(sdp, /a=simulcast:send /);
  assert.match(sdp, /a=rtpmap:\d+ AV1\/90000/);
  assert.ok(JSON.stringify(sdp).length > 255 * KIB, 'its escapes make it larger on the wire');
});

for (const version of Object.keys(versions)) {
  describe(`socket.io-client ${version}`, () => {
    for (const transport of Object.keys(transports)) {
      for (const [tvDialect, casterDialect] of ['AA', 'BB', 'AB', 'BA']) {
        const acks = tvDialect === 'A';
        test(`${transport}: TV ${tvDialect}, caster ${casterDialect}, ${acks ? 'with' : 'without'} acks`, async () => {
          const tv = await connect(server, { version, transport, namespace: home[tvDialect], label: 'TV' });
          const caster = await connect(server, { version, transport, namespace: home[casterDialect], label: 'caster' });
          await pair(tv, tvDialect, caster, casterDialect, { acks });
          // The exchange begins immediately after the connection, so with an upgrade some messages are sent during it.
          for (const kib of LARGE) await negotiate(tv, tvDialect, caster, casterDialect, kib, acks);
          for (const peer of [tv, caster]) assert.deepEqual(peer.heard('CAST_ERROR'), [], peer.label);
        });
      }

      test(`${transport}: binary attachments`, async () => {
        // For version 2 over polling, engineioxide sends attachments in a form that clients can't read at any size.
        const receiving = version === '2.5' && transport === 'polling' ? 'websocket' : transport;
        const tv = await connect(server, { version, transport: receiving, label: 'TV' });
        const caster = await connect(server, { version, transport, namespace: '/rtc', label: 'caster' });
        await pair(tv, 'A', caster, 'B');
        const bytes = Buffer.from(sdpOf('offer', 250).sdp);
        caster.emit('RTC_Client_Offer_To_Server', { offer: { type: 'offer', sdp: bytes, more: [Buffer.from('x')] } });
        const heard = await tv.next('CLIENT_OFFER_TO_TV');
        assert.deepEqual([Buffer.from(heard.sdp), Buffer.from(heard.more[0])], [bytes, Buffer.from('x')]);
        caster.emit('RTC_Client_Offer_To_Server', { offer: Buffer.alloc(300 * KIB) });
        assert.match((await caster.next('CAST_ERROR')).error.message, TOO_LARGE);
        await exchange(tv, 'A', caster, 'B');
      });

      test(`${transport}: what is too large gets its error and keeps its connection`, async () => {
        const tv = await connect(server, { version, transport, label: 'TV' });
        const caster = await connect(server, { version, transport, label: 'caster' });
        await pair(tv, 'A', caster, 'A');
        for (const [event, kib] of [['CLIENT_OFFER_TO_SERVER', 258], ['CLIENT_OFFER_TO_SERVER', 1000], ['RTC_Candidate_Exchange', 66]]) {
          const payload = { type: 'offer', sdp: 'x'.repeat(kib * KIB), iceCandidate: null };
          const answer = await caster.ask(event, payload);
          assert.equal(answer.error?.code, 'payload_too_large', `${event} ${JSON.stringify(answer)}`);
          assert.match(answer.error.message, TOO_LARGE);
          assert.match(answer.error.message, new RegExp(`has ${kib} KiB`));
          caster.emit(event, { ...payload, sdp: 'x'.repeat(300 * KIB) });
          assert.equal((await caster.next('CAST_ERROR')).error.code, 'payload_too_large');
        }
        await exchange(tv, 'A', caster, 'A');
        assert.equal(tv.heard('CLIENT_OFFER_TO_TV').length, 1);
      });

      test(`${transport}: more than a MiB ends the connection of its sender alone`, async () => {
        const tv = await connect(server, { version, transport, label: 'TV' });
        const caster = await connect(server, { version, transport, label: 'caster' });
        await pair(tv, 'A', caster, 'A');
        caster.emit('CLIENT_OFFER_TO_SERVER', { type: 'offer', sdp: 'x'.repeat(1500 * KIB) });
        await until('the sender is cut off', () => !caster.socket.connected);
        await tv.settle();
        assert.ok(tv.socket.connected);
      });
    }
  });
}

for (const [tvDialect, casterDialect] of ['AA', 'BB', 'AB', 'BA']) {
  test(`an offer waits for a TV (${tvDialect}) that is away, an answer for a caster (${casterDialect}), each with its candidates`, async () => {
    const tv = await connect(server, { namespace: '/rtc', label: 'TV' });
    const caster = await connect(server, { namespace: '/rtc', label: 'caster' });
    const { code, tvToken, casterToken } = await pair(tv, tvDialect, caster, casterDialect);
    tv.drop();
    await caster.nextArgs('TV_AWAY');
    const offer = sdpOf('offer', 256);
    await dialects[casterDialect].sendOffer(caster, true, offer);
    for (let mark = 0; mark < 100; mark += 1) caster.emit('RTC_Candidate_Exchange', { iceCandidate: candidate(mark) });
    await caster.settle();
    assert.deepEqual(caster.heard('CAST_ERROR'), []);
    const back = await connect(server, { namespace: '/rtc', label: 'TV again', transport: 'polling' });
    const resume = tvDialect === 'A' ? ['TV_INIT', { resumeToken: tvToken }] : ['TV_GETINFO', { token: tvToken, code }];
    assert.equal((await back.ask(...resume)).resumed, true);
    assert.deepEqual(await dialects[tvDialect].hearOffer(back), offer);
    for (let mark = 0; mark < 100; mark += 1) assert.deepEqual(await back.next('RTC_Candidate_Exchange'), { iceCandidate: candidate(mark) });
    if (!casterToken) return;
    caster.drop();
    await back.nextArgs('CASTER_AWAY');
    const answer = sdpOf('answer', 256);
    await dialects[tvDialect].sendAnswer(back, true, answer);
    const casterBack = await connect(server, { namespace: '/rtc', label: 'caster again' });
    assert.equal((await casterBack.ask('JOIN_ROOM', code, { resumeToken: casterToken })).resumed, true);
    assert.deepEqual(await dialects.A.hearAnswer(casterBack), answer);
  });
}

test('negotiation after negotiation passes, as fast as answers come', async () => {
  const tv = await connect(server, { label: 'TV' });
  const caster = await connect(server, { label: 'caster' });
  await pair(tv, 'A', caster, 'A');
  for (let i = 0; i < 8; i += 1) await negotiate(tv, 'A', caster, 'A', 250, true);
});

test('a client that takes its time to read gets everything', async () => {
  const tv = await connect(server, { label: 'TV' });
  const caster = await connect(server, { label: 'caster' });
  await pair(tv, 'A', caster, 'A');
  const { _socket: socket } = tv.socket.io.engine.transport.ws;
  socket.pause();
  const offers = Array.from({ length: 6 }, (_, i) => sdpOf('offer', 240 + i));
  for (const offer of offers) assert.equal((await caster.ask('CLIENT_OFFER_TO_SERVER', offer)).ok, true);
  // Reads one chunk at a time.
  const pausing = () => {
    socket.pause();
    setTimeout(() => socket.resume(), 5);
  };
  socket.on('data', pausing);
  socket.resume();
  for (const offer of offers) assert.deepEqual(await tv.next('CLIENT_OFFER_TO_TV'), offer);
  socket.off('data', pausing);
  await exchange(tv, 'A', caster, 'A');
});

for (const [name, hostile] of [
  ['brackets', '['.repeat(500_000) + ']'.repeat(500_000)],
  ['empty objects', `[${'{},'.repeat(330_000)}{}]`],
  ['members', `{${Array.from({ length: 60_000 }, (_, i) => `"${i}":0`).join()}}`],
  ['escapes', `"${'\\u0000'.repeat(170_000)}"`],
  ['backslashes', `"${'\\\\'.repeat(500_000)}"`],
]) {
  test(`a MiB of ${name} is refused, and others are served meanwhile`, async () => {
    const tv = await connect(server, { label: 'TV' });
    const caster = await connect(server, { label: 'caster' });
    await pair(tv, 'A', caster, 'A');
    const attacker = await connect(server, { label: 'attacker', from: '127.0.0.9', transport: 'websocket' });
    for (const event of ['CLIENT_OFFER_TO_SERVER', 'RTC_Client_Offer_To_Server', 'RTC_Candidate_Exchange']) {
      attacker.socket.io.engine.write(`2["${event}",${hostile}]`);
    }
    await until('each is refused', () => attacker.heard('CAST_ERROR').length === 3);
    await exchange(tv, 'A', caster, 'A');
    assert.deepEqual(server.logged(/panicked/), []);
  });
}

describe('RTCMultiConnection', () => {
  for (const [version, transport] of [['2.5', 'websocket'], ['2.5', 'polling'], ['4.8', 'websocket'], ['4.8', 'polling'], ['4.8', 'upgrade']]) {
    const options = { version, transport };
    test(`relay messages and custom events, ${version} ${transport}`, async () => {
      const name = `large-${version}-${transport}`;
      const [a, b] = [await connectMulti(server, `${name}-a`, options), await connectMulti(server, `${name}-b`, options)];
      assert.deepEqual(await a.ask('open-room', multiRoom(name)), [true]);
      assert.deepEqual(await b.ask('join-room', multiRoom(name)), [true]);
      for (const kib of LARGE) {
        const message = sdpOf('offer', kib);
        a.emit('RTCMultiConnection-Message', { remoteUserId: `${name}-b`, message, sender: `${name}-a` });
        a.emit('RTCMultiConnection-Custom-Message', message);
        await b.until(`both of ${kib} KiB`, (log) => log.filter(([event]) => event.startsWith('RTCMultiConnection-')).length === 2);
        const [relayed] = b.heard('RTCMultiConnection-Message').at(-1);
        assert.deepEqual([relayed.message, relayed.sender], [message, `${name}-a`]);
        assert.deepEqual(b.heard('RTCMultiConnection-Custom-Message').at(-1), [message]);
        b.log.length = 0;
      }
      const answer = await a.ask('my-event', { sdp: 'x'.repeat(300 * KIB) });
      assert.equal(answer[0], false);
      assert.match(answer[1], TOO_LARGE);
      assert.match((await a.ask('open-room', { sessionid: 'x'.repeat(70 * KIB) }))[1], TOO_LARGE);
      b.drop();
      await a.settle();
      const offer = sdpOf('offer', 256);
      a.say(`${name}-b`, offer);
      for (let mark = 0; mark < 50; mark += 1) a.say(`${name}-b`, candidate(mark));
      await a.settle();
      const back = await connectMulti(server, `${name}-b`, options);
      await back.until('what waited', () => back.heard('RTCMultiConnection-Message').length === 51);
      assert.deepEqual(back.heard('RTCMultiConnection-Message').map(([relayed]) => relayed.message), [offer, ...Array.from({ length: 50 }, (_, mark) => candidate(mark))]);
    });
  }
});

describe('RTCMultiConnection beside its original', () => {
  for (const transport of ['websocket', 'polling']) {
    test(`relay messages of every size, and one of more than a MiB, ${transport}`, async () => {
      const original = await startOriginal();
      const relayed = async (where) => {
        const name = `beside-${transport}`;
        const [a, b] = [await connectMulti(where, `${name}-a`, { transport }), await connectMulti(where, `${name}-b`, { transport })];
        await a.ask('open-room', multiRoom(name));
        await b.ask('join-room', multiRoom(name));
        for (const kib of LARGE) a.say(`${name}-b`, sdpOf('offer', kib));
        await b.until('all', () => b.heard('RTCMultiConnection-Message').length === LARGE.length);
        a.say(`${name}-b`, 'x'.repeat(1500 * KIB));
        await a.until('the end of its connection', (log) => log.at(-1)[0] === 'disconnect');
        await b.settle();
        assert.ok(b.socket.connected);
        return b.heard('RTCMultiConnection-Message').map(([message]) => message);
      };
      try {
        assert.deepEqual(await relayed(server), await relayed(original));
      } finally {
        closeAll();
        await original.close();
      }
    });
  }
});

describe('AppRTC', () => {
  const json = async (path, body) => (await fetch(`${server.url}${path}`, { method: 'POST', body })).json();
  const open = async (name, client) => {
    const socket = new WebSocket(`${server.url.replace('http', 'ws')}/ws`);
    const messages = [];
    socket.on('message', (data) => messages.push(JSON.parse(data)));
    await once(socket, 'open');
    socket.send(JSON.stringify({ cmd: 'register', roomid: name, clientid: client }));
    return { socket, messages, say: (msg) => socket.send(JSON.stringify({ cmd: 'send', msg })) };
  };

  test('messages wait for the one who joins, and cross by HTTP and by WebSocket', async () => {
    const name = 'large-apprtc';
    const caller = (await json(`/join/${name}`)).params.client_id;
    const messages = [JSON.stringify(sdpOf('offer', 256)), ...Array.from({ length: 50 }, (_, i) => JSON.stringify(candidate(i)))];
    for (const message of messages) assert.deepEqual(await json(`/message/${name}/${caller}`, message), { result: 'SUCCESS' });
    assert.deepEqual(await json(`/message/${name}/${caller}`, JSON.stringify(sdpOf('offer', 260))), { result: 'ERROR' });
    const { params } = await json(`/join/${name}`);
    assert.deepEqual(params.messages, messages);
    const [one, two] = [await open(name, caller), await open(name, params.client_id)];
    const answer = JSON.stringify(sdpOf('answer', 256));
    two.say(answer);
    await until('the answer', () => one.messages.length);
    assert.deepEqual(one.messages, [{ msg: answer, error: '' }]);
    assert.deepEqual(await json(`/message/${name}/${caller}`, messages[0]), { result: 'SUCCESS' });
    await until('the offer', () => two.messages.length);
    assert.deepEqual(two.messages, [{ msg: messages[0], error: '' }]);
    one.say('x'.repeat(1000 * KIB));
    await until('the refusal', () => one.messages.length > 1);
    assert.equal(one.messages[1].msg, '');
    assert.match(one.messages[1].error, TOO_LARGE);
    one.say('still there');
    await until('it goes on', () => two.messages.length > 1);
    const closed = once(one.socket, 'close');
    one.say('x'.repeat(1500 * KIB));
    await within(closed, 'the end of a connection');
    assert.equal(two.socket.readyState, WebSocket.OPEN);
    two.socket.close();
  });

  test("Collider's POST", async () => {
    const name = 'large-collider';
    const one = await open(name, '1');
    const answer = JSON.stringify(sdpOf('answer', 256));
    const post = async (body) => {
      const response = await fetch(`${server.url}/${name}/2`, { method: 'POST', body });
      return [response.status, await response.text()];
    };
    assert.deepEqual(await post(answer), [200, 'OK\n']);
    await until('the answer', () => one.messages.length);
    assert.deepEqual(one.messages, [{ msg: answer, error: '' }]);
    const [status, text] = await post('x'.repeat(300 * KIB));
    assert.equal(status, 500);
    assert.match(text, /^Failed to send the message: .*at most 256 KiB.*300 KiB/);
    one.socket.close();
  });
});

test('a description of a real browser engine passes as it is', async () => {
  const tv = await connect(server, { label: 'TV' });
  const caster = await connect(server, { label: 'caster' });
  await pair(tv, 'A', caster, 'A');
  const offer = await session();
  assert.ok(offer.sdp.length > 20 * KIB, `${offer.sdp.length}`);
  caster.emit('CLIENT_OFFER_TO_SERVER', offer);
  assert.deepEqual(await tv.next('CLIENT_OFFER_TO_TV'), offer);
});
