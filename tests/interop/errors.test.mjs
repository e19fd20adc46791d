// Each error is reported by ack and by CAST_ERROR; wrong guesses are throttled.
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import { closeAll, connect } from './support/clients.mjs';
import { CODE, dialects, exchange, pair, sdp } from './support/dialects.mjs';
import { startServer } from './support/server.mjs';
import { until } from './support/wait.mjs';

let server;
before(async () => {
  server = await startServer();
});
after(() => server?.close());
afterEach(closeAll);

const NOBODY = '000000';

function assertError(error, code) {
  assert.equal(error?.code, code, JSON.stringify(error));
  assert.ok(typeof error.message === 'string' && error.message.length > 5, 'a message for people');
}

// Causes the same error twice: once with a callback, once without.
async function both(peer, code, event, ...args) {
  const answer = await peer.ask(event, ...args);
  assert.equal(answer.ok, false, JSON.stringify(answer));
  assertError(answer.error, code);
  peer.emit(event, ...args);
  const report = await peer.next('CAST_ERROR');
  assert.equal(report.event, event);
  assertError(report.error, code);
  return answer.error;
}

const joined = async () => {
  const tv = await connect(server, { label: 'TV' });
  const caster = await connect(server, { label: 'caster' });
  await pair(tv, 'A', caster, 'A');
  return { tv, caster };
};

test('unknown_code', async () => {
  await both(await connect(server), 'unknown_code', 'JOIN_ROOM', NOBODY);
});

test('unknown_code in dialect B: CONNECT_TO_TV_FAILED is sent as well', async () => {
  const caster = await connect(server, { namespace: '/rtc' });
  const answer = await caster.ask('CONNECT_TO_TV', { username: 'x', projCode: NOBODY });
  assertError(answer.error, 'unknown_code');
  const withAck = await caster.next('CONNECT_TO_TV_FAILED');
  assert.equal(typeof withAck.msg, 'string');
  caster.emit('CONNECT_TO_TV', { username: 'x', projCode: NOBODY });
  assert.ok((await caster.next('CONNECT_TO_TV_FAILED')).msg);
});

test('malformed_payload: a code that is none', async () => {
  const caster = await connect(server);
  for (const args of [[], [null], [17.5], [['ABCDEF']], [{}], [true], ['']]) await both(caster, 'malformed_payload', 'JOIN_ROOM', ...args);
  for (const args of [[], [null], [['ABCDEF']], [{ username: 'x' }], [{ projCode: null }]]) {
    const answer = await caster.ask('CONNECT_TO_TV', ...args);
    assertError(answer.error, 'malformed_payload');
  }
});

test('malformed_payload: signals without a payload', async () => {
  const { tv, caster } = await joined();
  await both(caster, 'malformed_payload', 'CLIENT_OFFER_TO_SERVER');
  await both(caster, 'malformed_payload', 'RTC_Candidate_Exchange', {});
  await both(tv, 'malformed_payload', 'TV_ANSWER_TO_SERVER');
  await both(caster, 'malformed_payload', 'RTC_Client_Offer_To_Server', {});
  await exchange(tv, 'A', caster, 'A');
});

test('payload_too_large: over 256 KiB of a description, over 64 of anything else, and what is just under passes', async () => {
  const { tv, caster } = await joined();
  const big = (kib) => ({ type: 'offer', sdp: 'x'.repeat(kib * 1024) });
  await both(caster, 'payload_too_large', 'CLIENT_OFFER_TO_SERVER', big(258));
  await both(caster, 'payload_too_large', 'RTC_Candidate_Exchange', { iceCandidate: big(66) });
  const fits = big(256);
  caster.emit('CLIENT_OFFER_TO_SERVER', fits);
  assert.deepEqual(await tv.next('CLIENT_OFFER_TO_TV'), fits);
  assert.equal(tv.heard('CLIENT_OFFER_TO_TV').length, 1);
});

test('not_in_room', async () => {
  const peer = await connect(server);
  await both(peer, 'not_in_room', 'CLIENT_OFFER_TO_SERVER', sdp('offer', 1));
  await both(peer, 'not_in_room', 'TV_ANSWER_TO_SERVER', sdp('answer', 1));
  await both(peer, 'not_in_room', 'RTC_Candidate_Exchange', { iceCandidate: { candidate: '' } });
  await both(peer, 'not_in_room', 'LEAVE_ROOM');
});

test('wrong_role', async () => {
  const { tv, caster } = await joined();
  await both(tv, 'wrong_role', 'CLIENT_OFFER_TO_SERVER', sdp('offer', 1));
  await both(caster, 'wrong_role', 'TV_ANSWER_TO_SERVER', sdp('answer', 1));
  await both(tv, 'wrong_role', 'RTC_Client_Offer_To_Server', { offer: sdp('offer', 1) });
  await both(caster, 'wrong_role', 'RTC_TV_Answer_To_Server', { answer: sdp('answer', 1) });
  await exchange(tv, 'A', caster, 'A');
});

test('room_full: where the setting forbids to take over', async () => {
  const strict = await startServer({ CASTWAY_TAKEOVER: 'false' });
  try {
    const tv = await connect(strict, { label: 'TV' });
    const caster = await connect(strict, { label: 'caster' });
    const { code } = await pair(tv, 'A', caster, 'A');
    const second = await connect(strict, { label: 'second caster' });
    await both(second, 'room_full', 'JOIN_ROOM', code);
    second.emit('CONNECT_TO_TV', { username: 'x', projCode: code });
    assert.ok((await second.next('CONNECT_TO_TV_FAILED')).msg);
    await exchange(tv, 'A', caster, 'A');
    caster.leave();
    await dialects.A.hearCasterGone(tv, null, 'left');
    await dialects.A.join(second, true, code);
  } finally {
    closeAll();
    await strict.close();
  }
});

test('no more TVs than the setting allows: the next one waits, and hears no error', async () => {
  const small = await startServer({ CASTWAY_MAX_ROOMS: '2' });
  try {
    const tvs = [await connect(small), await connect(small), await connect(small)];
    for (const tv of tvs.slice(0, 2)) assert.equal((await tv.ask('TV_INIT')).ok, true);
    const asked = tvs[2].ask('TV_INIT');
    await until('it waits', () => small.metric('castway_waiting_tvs'), (count) => count === 1);
    tvs[0].leave();
    assert.match((await asked).code, CODE);
    assert.deepEqual(tvs[2].heard('CAST_ERROR'), []);
  } finally {
    closeAll();
    await small.close();
  }
});

describe('wrong guesses', () => {
  test('are throttled per address, and the address of others is not', async () => {
    const guarded = await startServer();
    try {
      const tv = await connect(guarded, { label: 'TV' });
      const { code } = await dialects.A.register(tv, false);
      const from = '127.0.0.2';
      const guesser = await connect(guarded, { label: 'guesser', from });
      let error;
      let guesses = 0;
      while (error?.code !== 'too_many_attempts' && guesses < 60) {
        guesses += 1;
        const wrong = `${code.slice(0, 5)}${code[5] === '0' ? '1' : '0'}`;
        error = (await guesser.ask('JOIN_ROOM', wrong)).error;
        if (error.code !== 'too_many_attempts') assertError(error, 'unknown_code');
      }
      assertError(error, 'too_many_attempts');
      assert.ok(guesses > 3, `a person may mistype: blocked at guess ${guesses}`);
      assert.ok(error.retryAfter > 0 && error.retryAfter <= 3600, `retryAfter ${error.retryAfter}`);
      const report = await both(guesser, 'too_many_attempts', 'JOIN_ROOM', NOBODY);
      assert.ok(report.retryAfter > 0);
      guesser.emit('CONNECT_TO_TV', { username: 'x', projCode: NOBODY });
      assert.ok((await guesser.next('CONNECT_TO_TV_FAILED')).msg);

      assert.equal((await guesser.ask('JOIN_ROOM', code)).error?.code, 'too_many_attempts', 'the right code is no way out');
      const again = await connect(guarded, { namespace: '/rtc', label: 'same address', from });
      assert.equal((await again.ask('JOIN_ROOM', code)).error?.code, 'too_many_attempts', 'nor is a new connection');
      assert.equal((await guesser.ask('TV_INIT')).ok, true, 'a TV at that address still gets its code');
      const neighbour = await connect(guarded, { label: 'neighbour' });
      await dialects.A.join(neighbour, true, code);
    } finally {
      closeAll();
      await guarded.close();
    }
  });

  test('by a caster with a resume token for that code are not counted', async () => {
    const guarded = await startServer();
    try {
      const tv = await connect(guarded, { label: 'TV' });
      const caster = await connect(guarded, { label: 'caster' });
      const { code, casterToken } = await pair(tv, 'A', caster, 'A');
      tv.leave();
      await caster.nextArgs('TV_LEFT');
      for (let i = 0; i < 40; i += 1) {
        const answer = await caster.ask('JOIN_ROOM', code, { resumeToken: casterToken });
        assertError(answer.error, 'unknown_code');
      }
      assert.equal((await caster.ask('JOIN_ROOM', NOBODY, { resumeToken: casterToken })).error.code, 'unknown_code');
    } finally {
      closeAll();
      await guarded.close();
    }
  });
});
