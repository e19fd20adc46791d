// Which client receives which events, and in which order.
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import { closeAll, connect, transports, versions } from './support/clients.mjs';
import { candidate, dialects, exchange, hearCandidate, pair, sdp, sendCandidate } from './support/dialects.mjs';
import { startServer } from './support/server.mjs';

let server;
before(async () => {
  server = await startServer();
});
after(() => server?.close());
afterEach(closeAll);

const SIGNALS = ['CLIENT_OFFER_TO_TV', 'TV_ANSWER_TO_CLIENT', 'RTC_Client_Offer_To_TV', 'RTC_TV_Answer_To_Client', 'RTC_Candidate_Exchange'];
const signals = (peer) => peer.log.filter(([event]) => SIGNALS.includes(event));

test('a bystander and another room hear nothing of a cast', async () => {
  const tv = await connect(server, { label: 'TV' });
  const caster = await connect(server, { label: 'caster' });
  const bystander = await connect(server, { namespace: '/rtc', label: 'bystander' });
  const otherTv = await connect(server, { label: 'other TV' });
  const otherCaster = await connect(server, { label: 'other caster' });
  await pair(otherTv, 'A', otherCaster, 'A');
  await pair(tv, 'A', caster, 'A');
  await exchange(tv, 'A', caster, 'A');
  for (const peer of [bystander, otherTv, otherCaster]) {
    await peer.settle();
    assert.deepEqual(signals(peer), [], peer.label);
  }
});

test('nobody hears their own signals', async () => {
  const tv = await connect(server);
  const caster = await connect(server);
  await pair(tv, 'A', caster, 'A');
  await exchange(tv, 'A', caster, 'A', { candidates: 3 });
  await tv.settle();
  await caster.settle();
  assert.equal(signals(tv).length, 4, 'one offer and three candidates');
  assert.equal(signals(caster).length, 4, 'one answer and three candidates');
});

for (const [first, second] of ['AA', 'AB', 'BA', 'BB']) {
  test(`a second caster (${second}) takes over from the first (${first})`, async () => {
    const tv = await connect(server, { label: 'TV' });
    const old = await connect(server, { label: 'first caster' });
    const fresh = await connect(server, { namespace: '/rtc', label: 'second caster' });
    const { code } = await pair(tv, 'A', old, first, { username: 'first' });
    await exchange(tv, 'A', old, first, { mark: 1 });
    const before = signals(old).length;

    await dialects[second].join(fresh, false, code, 'second');
    await old.nextArgs('CAST_TAKEN_OVER');
    if (first === 'B') await old.nextArgs('TV_OFFLINE');
    await dialects.A.hearCasterGone(tv, 'first', 'taken_over');
    await dialects.A.hearJoin(tv, 'second');

    await exchange(tv, 'A', fresh, second, { mark: 2 });
    const late = await old.ask('CLIENT_OFFER_TO_SERVER', sdp('offer', 3));
    assert.equal(late.ok, false);
    assert.equal(late.error.code, 'not_in_room');
    assert.equal((await old.ask('RTC_Candidate_Exchange', { iceCandidate: candidate(9) })).ok, false);
    await tv.settle();
    assert.equal(signals(old).length, before, 'the first caster hears nothing of the second one');
    assert.equal(tv.heard('CLIENT_OFFER_TO_TV').length, 2);
    old.leave();
    await fresh.settle();
    await exchange(tv, 'A', fresh, second, { mark: 4 });
  });
}

for (const [tvDialect, casterDialect] of ['AA', 'BB', 'AB', 'BA']) {
  test(`candidates before the offer arrive after it, in order: TV ${tvDialect}, caster ${casterDialect}`, async () => {
    const tv = await connect(server, { namespace: '/rtc', label: 'TV' });
    const caster = await connect(server, { namespace: '/rtc', label: 'caster' });
    await pair(tv, tvDialect, caster, casterDialect);
    for (let i = 0; i < 20; i += 1) await sendCandidate(caster, false, i);
    await caster.settle();
    await tv.settle();
    assert.deepEqual(signals(tv), [], 'nothing before the offer');
    await dialects[casterDialect].sendOffer(caster, false, sdp('offer', 5));
    await sendCandidate(caster, false, 20);
    assert.deepEqual(await dialects[tvDialect].hearOffer(tv), sdp('offer', 5));
    for (let i = 0; i <= 20; i += 1) await hearCandidate(tv, i);
    assert.notEqual(signals(tv)[0][0], 'RTC_Candidate_Exchange', 'the offer came first');
  });
}

test('candidates of the TV before its answer arrive in order, and none is lost', async () => {
  const tv = await connect(server);
  const caster = await connect(server);
  await pair(tv, 'A', caster, 'A');
  caster.emit('CLIENT_OFFER_TO_SERVER', sdp('offer', 1));
  await tv.next('CLIENT_OFFER_TO_TV');
  for (let i = 0; i < 20; i += 1) await sendCandidate(tv, false, i);
  tv.emit('TV_ANSWER_TO_SERVER', sdp('answer', 1));
  await caster.next('TV_ANSWER_TO_CLIENT');
  for (let i = 0; i < 20; i += 1) await hearCandidate(caster, i);
});

test('a new offer in the same cast is delivered, too', async () => {
  const tv = await connect(server);
  const caster = await connect(server);
  await pair(tv, 'A', caster, 'A');
  await exchange(tv, 'A', caster, 'A', { mark: 1 });
  await exchange(tv, 'A', caster, 'A', { mark: 2 });
});

test('the end-of-candidates signals of browsers pass', async () => {
  const tv = await connect(server);
  const caster = await connect(server);
  await pair(tv, 'A', caster, 'A');
  await exchange(tv, 'A', caster, 'A', { candidates: 0 });
  const empty = { candidate: '', sdpMid: '0', sdpMLineIndex: 0 };
  for (const iceCandidate of [empty, null]) {
    caster.emit('RTC_Candidate_Exchange', { iceCandidate });
    assert.deepEqual(await tv.next('RTC_Candidate_Exchange'), { iceCandidate });
  }
});

describe('200 candidates in a burst keep their order', () => {
  for (const version of Object.keys(versions)) {
    for (const transport of Object.keys(transports)) {
      test(`${version} ${transport}`, async () => {
        const tv = await connect(server, { version, transport, label: 'TV' });
        const caster = await connect(server, { version, transport, label: 'caster' });
        await pair(tv, 'A', caster, 'A');
        caster.emit('CLIENT_OFFER_TO_SERVER', sdp('offer', 1));
        await tv.next('CLIENT_OFFER_TO_TV');
        tv.emit('TV_ANSWER_TO_SERVER', sdp('answer', 1));
        for (let i = 0; i < 200; i += 1) caster.emit('RTC_Candidate_Exchange', { iceCandidate: candidate(i) });
        for (let i = 0; i < 200; i += 1) tv.emit('RTC_Candidate_Exchange', { iceCandidate: candidate(1000 + i) });
        for (let i = 0; i < 200; i += 1) {
          await hearCandidate(tv, i);
          await hearCandidate(caster, 1000 + i);
        }
        assert.equal(tv.heard('RTC_Candidate_Exchange').length, 200);
        assert.equal(caster.heard('RTC_Candidate_Exchange').length, 200);
      });
    }
  }
});

test('what is forwarded is the same to the byte, with unknown members and big strings', async () => {
  const tv = await connect(server, { version: '2.5' });
  const caster = await connect(server);
  await pair(tv, 'A', caster, 'A');
  const offer = { type: 'offer', sdp: `v=0\r\n${'a=x:ü漢😀"\\\n'.repeat(1500)}`, extra: { nested: [1, 2.5, null, true, -0.25] } };
  caster.emit('CLIENT_OFFER_TO_SERVER', offer);
  assert.deepEqual(await tv.next('CLIENT_OFFER_TO_TV'), offer);
});

test('an offer that is a bare string is forwarded as it is', async () => {
  const tv = await connect(server);
  const caster = await connect(server);
  await pair(tv, 'A', caster, 'A');
  caster.emit('CLIENT_OFFER_TO_SERVER', 'v=0 as text');
  assert.equal(await tv.next('CLIENT_OFFER_TO_TV'), 'v=0 as text');
});
