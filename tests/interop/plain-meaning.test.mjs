// Front ends that mix the dialects: the server understands their messages if these have only one possible meaning, and each receiver gets
// the form of its own dialect. Messages that match a dialect stay unchanged.
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import { closeAll, connect, versions } from './support/clients.mjs';
import { candidate, dialects, pair, sdp } from './support/dialects.mjs';
import { startServer } from './support/server.mjs';

let server;
before(async () => {
  server = await startServer({ CASTWAY_WRONG_CODES: '1000' });
});
after(() => server?.close());
afterEach(closeAll);

const HEARD = {
  offer: { A: 'CLIENT_OFFER_TO_TV', B: 'RTC_Client_Offer_To_TV' },
  answer: { A: 'TV_ANSWER_TO_CLIENT', B: 'RTC_TV_Answer_To_Client' },
};
const SENT = {
  offer: { A: 'CLIENT_OFFER_TO_SERVER', B: 'RTC_Client_Offer_To_Server' },
  answer: { A: 'TV_ANSWER_TO_SERVER', B: 'RTC_TV_Answer_To_Server' },
};

const cast = async (version, tvDialect, casterDialect) => {
  const tv = await connect(server, { version, namespace: '/rtc', label: 'TV' });
  const caster = await connect(server, { version, label: 'caster' });
  await pair(tv, tvDialect, caster, casterDialect);
  return { tv, caster };
};

for (const version of ['2.5', '4.8']) {
  describe(`socket.io-client ${version}`, () => {
    for (const [tvDialect, casterDialect] of ['AA', 'BB', 'AB', 'BA']) {
      test(`candidates: TV ${tvDialect}, caster ${casterDialect}`, async () => {
        const { tv, caster } = await cast(version, tvDialect, casterDialect);
        caster.emit(SENT.offer[casterDialect], casterDialect === 'A' ? sdp('offer', 1) : { offer: sdp('offer', 1) });
        await tv.next(HEARD.offer[tvDialect]);
        const own = candidate(1);
        const last = { candidate: '', sdpMid: '0', sdpMLineIndex: 0 };
        const forms = [
          [[{ iceCandidate: own }], { iceCandidate: own }],
          [[{ iceCandidate: own, from: 'me' }], { iceCandidate: own, from: 'me' }],
          [[own], { iceCandidate: own }],
          [[{ ...own, usernameFragment: 'u' }], { iceCandidate: { ...own, usernameFragment: 'u' } }],
          [[{ candidate: own }], { iceCandidate: own }],
          [[{ type: 'candidate', candidate: own }], { iceCandidate: own }],
          [[last], { iceCandidate: last }],
          [[{ candidate: null }], { iceCandidate: null }],
          [[{ iceCandidate: null }], { iceCandidate: null }],
          [[null], { iceCandidate: null }],
          [[], { iceCandidate: null }],
          [[JSON.stringify({ iceCandidate: own })], JSON.stringify({ iceCandidate: own })],
        ];
        for (const [from, to] of [[caster, tv], [tv, caster]]) {
          for (const [args, heard] of forms) {
            from.emit('RTC_Candidate_Exchange', ...args);
            assert.deepEqual(await to.next('RTC_Candidate_Exchange'), heard, JSON.stringify(args));
          }
          assert.deepEqual(from.heard('CAST_ERROR'), []);
        }
      });

      test(`offers and answers: TV ${tvDialect}, caster ${casterDialect}`, async () => {
        const { tv, caster } = await cast(version, tvDialect, casterDialect);
        for (const [kind, from, to, receiver] of [['offer', caster, tv, tvDialect], ['answer', tv, caster, casterDialect]]) {
          const own = sdp(kind, 7);
          const asReceiver = receiver === 'A' ? own : { [kind]: own };
          for (const sent of [{ [kind]: own }, own, own.sdp, { sdp: own.sdp }, { sdp: own }, { description: own }]) {
            from.emit(SENT[kind].B, sent);
            assert.deepEqual(await to.next(HEARD[kind][receiver]), asReceiver, `B ${JSON.stringify(sent)}`);
          }
          for (const sent of [{ [kind]: own }, { sdp: own }, { description: own, more: 1 }]) {
            from.emit(SENT[kind].A, sent);
            assert.deepEqual(await to.next(HEARD[kind][receiver]), receiver === 'A' ? sent : asReceiver, `A ${JSON.stringify(sent)}`);
          }
          // Dialect A's payload is opaque, so dialect B receives it wrapped and unchanged.
          for (const sent of [own, own.sdp, JSON.stringify(own), { anything: [1] }]) {
            from.emit(SENT[kind].A, sent);
            assert.deepEqual(await to.next(HEARD[kind][receiver]), receiver === 'A' ? sent : { [kind]: sent }, `A ${JSON.stringify(sent)}`);
          }
          from.emit(SENT[kind].B, JSON.stringify({ [kind]: own }));
          assert.equal(await to.next(HEARD[kind][receiver]), JSON.stringify({ [kind]: own }), 'JSON in a string is for the receiver to read');
          assert.deepEqual(from.heard('CAST_ERROR'), []);
        }
      });
    }

    test('codes, by whatever name', async () => {
      const tv = await connect(server, { version });
      const { code } = await dialects.A.register(tv, false);
      for (const argument of [code, { code }, { roomId: code }, { room: code }, { projCode: code }, { roomId: code.toLowerCase(), username: 'Ada' }]) {
        const caster = await connect(server, { version, namespace: '/rtc' });
        assert.equal((await caster.ask('JOIN_ROOM', argument)).code, code, JSON.stringify(argument));
        assert.equal((await caster.ask('CONNECT_TO_TV', argument)).code, code, JSON.stringify(argument));
        await caster.nextArgs('CONNECT_TO_TV_SUCCESS');
      }
    });

    test('a TV of dialect B that has nothing to say about itself', async () => {
      for (const args of [[], [null], [{}]]) {
        const tv = await connect(server, { version, namespace: '/rtc' });
        tv.emit('TV_GETINFO', ...args);
        assert.match((await tv.next('TV_INFO_FEEDBACK')).projCode, /^[A-Z0-8]{6}$/);
      }
    });

    test('what is not plain is refused, with what is expected', async () => {
      const { tv, caster } = await cast(version, 'B', 'B');
      const cases = [
        [caster, 'RTC_Candidate_Exchange', { sdpMid: '0' }, /iceCandidate/],
        [caster, 'RTC_Candidate_Exchange', { candidate: 7 }, /iceCandidate/],
        [caster, 'RTC_Candidate_Exchange', 'candidate', /iceCandidate/],
        [caster, 'RTC_Client_Offer_To_Server', sdp('answer', 1), /\{offer: \{type: "offer", sdp\}\}/],
        [caster, 'RTC_Client_Offer_To_Server', 'an offer', /\{offer: /],
        [tv, 'RTC_TV_Answer_To_Server', sdp('offer', 1), /\{answer: \{type: "answer", sdp\}\}/],
        [caster, 'JOIN_ROOM', { number: 1 }, /the code/],
        [caster, 'CONNECT_TO_TV', { username: 'x' }, /\{username, projCode\}/],
      ];
      for (const [peer, event, argument, expected] of cases) {
        const answer = await peer.ask(event, argument);
        assert.equal(answer.error?.code, 'malformed_payload', `${event} ${JSON.stringify(argument)}`);
        assert.match(answer.error.message, expected);
      }
    });
  });
}
