// The operator's own server decides who may be a TV, a caster or a caller (CASTWAY_AUTHORIZE_URL). What a client sends until the answer is
// there is handled afterwards, in order.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { afterEach, test } from 'node:test';
import { blocks } from '../documents/documents.mjs';
import { accepted, refused } from './support/answers.mjs';
import { Channel } from './support/apprtc.mjs';
import { Operator } from './support/authorizer.mjs';
import { closeAll, connect } from './support/clients.mjs';
import { candidate, dialects, exchange, sdp } from './support/dialects.mjs';
import { withServer } from './support/server.mjs';
import { until } from './support/wait.mjs';

afterEach(closeAll);

async function withOperator(settings, body) {
  const operator = await Operator.start();
  try {
    await withServer({ ...operator.settings, ...settings }, (server) => body(server, operator));
  } finally {
    operator.close();
  }
}

const clients = async (server) => Number((await (await fetch(`${server.url}/metrics`)).text()).match(/^castway_clients (\d+)/m)[1]);

const openTv = async (server) => {
  const tv = await connect(server, { label: 'TV' });
  return { tv, ...accepted(await tv.ask('TV_INIT', { name: 'Kitchen' })) };
};

test('the operator’s server hears who asks for which seat, in both dialects, and a refusal has its sentence', () =>
  withOperator({}, async (server, operator) => {
    for (const [version, namespace, dialect] of [['2.5', '/', 'A'], ['4.8', '/', 'B'], ['2.5', '/rtc', 'B'], ['4.8', '/rtc', 'A']]) {
      operator.asked = [];
      operator.decide = () => ({ allow: true });
      const tv = await connect(server, { version, namespace, label: 'TV' });
      const { code } = await dialects[dialect].register(tv, false);
      assert.equal(operator.of('tv').length, 1);
      const caster = await connect(server, { version, namespace, label: 'caster' });
      operator.decide = ({ token }) => (token === 'good' ? { allow: true } : { allow: false, reason: 'Only employees.' });
      const join = (auth) => (dialect === 'A' ? caster.ask('JOIN_ROOM', code, { username: 'Ada', auth }) : caster.ask('CONNECT_TO_TV', { projCode: code, username: 'Ada', auth }));
      const { message, reason } = refused(await join({ token: 'bad' }), 'refused');
      const documented = JSON.parse(blocks('docs/operate.md').find(({ text }) => text.includes('"kind"')).text);
      assert.deepEqual(Object.keys(operator.of('caster').at(-1)).sort(), Object.keys(documented).sort());
      assert.deepEqual([message, reason], ['Only employees.', 'Only employees.']);
      refused(await join(), 'refused');
      // Without a sentence of the operator, front ends have one of their own.
      operator.decide = () => ({ allow: false });
      assert.equal('reason' in refused(await join({ token: 'bad' }), 'refused'), false);
      if (dialect === 'B') {
        const failed = [];
        while (failed.length < 3) failed.push(await caster.next('CONNECT_TO_TV_FAILED'));
        assert.deepEqual(failed.map(({ msg, code: why }) => [msg, why]), ['Only employees.', 'Only employees.', '管理员不允许此操作'].map((msg) => [msg, 'refused']));
      }
      operator.decide = ({ token }) => ({ allow: token === 'good' });
      refused(await caster.ask('RTC_Candidate_Exchange', { iceCandidate: candidate(1) }), 'not_in_room');
      assert.deepEqual(operator.of('caster').map(({ token }) => token ?? null), ['bad', null, 'bad']);
      accepted(await join({ token: 'good' }));
      const { kind, code: asked, name, user, address } = operator.asked.at(-1);
      assert.deepEqual([kind, asked, name, user ?? null, address], ['caster', code, 'Ada', null, '127.0.0.1']);
      await dialects[dialect].hearJoin(tv, 'Ada');
      await exchange(tv, dialect, caster, dialect);
      tv.leave();
    }
  }));

test('100 signals that a caster sends at once arrive in order after the answer, and none after a refusal', () =>
  withOperator({}, async (server, operator) => {
    const { tv, code } = await openTv(server);
    operator.hold('caster');
    const send = (caster) => {
      const joined = caster.ask('JOIN_ROOM', code);
      const acks = [caster.ask('CLIENT_OFFER_TO_SERVER', sdp('offer', 1))];
      for (let i = 0; i < 99; i += 1) acks.push(caster.ask('RTC_Candidate_Exchange', { iceCandidate: candidate(i) }));
      return { joined, acks };
    };
    const first = await connect(server, { label: 'first' });
    const sent = send(first);
    await operator.release({ allow: false });
    refused(await sent.joined, 'refused');
    for (const ack of await Promise.all(sent.acks)) refused(ack, 'not_in_room');
    assert.deepEqual(tv.heard('CLIENT_OFFER_TO_TV'), []);

    const second = await connect(server, { label: 'second' });
    const again = send(second);
    await operator.release({ allow: true });
    accepted(await again.joined);
    (await Promise.all(again.acks)).forEach(accepted);
    await until('all signals', () => tv.heard('RTC_Candidate_Exchange').length === 99);
    const signals = tv.log.filter(([name]) => /OFFER|Candidate/.test(name));
    assert.deepEqual(signals, [['CLIENT_OFFER_TO_TV', sdp('offer', 1)], ...Array.from({ length: 99 }, (_, i) => ['RTC_Candidate_Exchange', { iceCandidate: candidate(i) }])]);
  }));

test('a client that leaves, asks again, sends too much or is gone while it waits', () =>
  withOperator({}, async (server, operator) => {
    const { tv, code } = await openTv(server);
    operator.hold('caster');
    const caster = await connect(server, { label: 'caster' });
    let joined = caster.ask('JOIN_ROOM', code);
    let candidates = caster.ask('RTC_Candidate_Exchange', { iceCandidate: candidate(1) });
    await until('the question', () => operator.of('caster').length === 1);
    accepted(await caster.ask('LEAVE_ROOM'));
    refused(await joined, 'left');
    refused(await candidates, 'not_in_room');
    await operator.release({ allow: true });

    // So do the entries that wait behind the first one, whether they were refused or let in otherwise.
    for (const joins of [2, 3]) {
      const asked = operator.of('caster').length;
      const given = Array.from({ length: joins }, () => caster.ask('JOIN_ROOM', code));
      candidates = caster.ask('RTC_Candidate_Exchange', { iceCandidate: candidate(1) });
      await until('the question', () => operator.of('caster').length === asked + 1);
      const left = caster.ask('LEAVE_ROOM');
      const after = caster.ask('RTC_Candidate_Exchange', { iceCandidate: candidate(2) });
      for (const answer of await Promise.all(given)) refused(answer, 'left');
      refused(await candidates, 'not_in_room');
      accepted(await left);
      refused(await after, 'not_in_room');
      assert.equal(operator.of('caster').length, asked + 1, 'only the first one was asked about');
      await operator.release({ allow: true });
      refused(await caster.ask('LEAVE_ROOM'), 'not_in_room');
    }

    // A second entry waits behind the first one, and what follows behind both.
    joined = caster.ask('JOIN_ROOM', code, { username: 'one' });
    const second = caster.ask('JOIN_ROOM', 'AAAAAA');
    candidates = caster.ask('RTC_Candidate_Exchange', { iceCandidate: candidate(2) });
    await operator.release({ allow: true });
    accepted(await joined);
    refused(await second, 'unknown_code');
    accepted(await candidates);
    caster.leave();
    await tv.next('CASTER_LEFT');

    // 256 KiB wait at most, and a client that is still sending hears why.
    for (let n = 0; n < 10; n += 1) {
      const flood = await connect(server, { label: 'flood' });
      flood.emit('JOIN_ROOM', code, { username: `flood ${n}` });
      const gone = once(flood.socket, 'disconnect');
      await until('its question', () => operator.of('caster').some(({ name }) => name === `flood ${n}`));
      for (let i = 0; i < 40; i += 1) flood.emit('CAST_REPORT', { x: 'x'.repeat(7000) });
      await gone;
      assert.equal(flood.heard('CAST_ERROR').at(-1)?.error.code, 'too_much_waiting');
      await operator.release({ allow: true });
    }

    // Whoever is gone, without a word or with one, gets no seat.
    for (const end of ['drop', 'leave']) {
      const quitter = await connect(server, { label: end });
      quitter.emit('JOIN_ROOM', code, { username: end });
      await until('the question', () => operator.of('caster').some(({ name }) => name === end));
      const before = await clients(server);
      quitter[end]();
      await until('the server has seen it go', async () => (await clients(server)) < before);
      await operator.release({ allow: true });
    }
    const last = await connect(server, { label: 'last' });
    const lastJoined = last.ask('JOIN_ROOM', code, { username: 'last' });
    await operator.release({ allow: true });
    accepted(await lastJoined);
    await until('the last one is heard', () => tv.heard('CASTER_JOINED').some(({ username }) => username === 'last'));
    assert.deepEqual(tv.heard('CASTER_JOINED').map(({ username }) => username), ['one', 'last']);
  }));

test('a TV that leaves gives up all its entries, and the seat that it had', () =>
  withOperator({}, async (server, operator) => {
    const seats = async () => Number((await (await fetch(`${server.url}/metrics`)).text()).match(/^castway_tvs (\d+)/m)[1]);
    operator.hold('tv');
    const tv = await connect(server, { label: 'TV' });
    for (const opens of [2, 3]) {
      const asked = operator.of('tv').length;
      const given = Array.from({ length: opens }, () => tv.ask('TV_INIT', { name: 'Kitchen' }));
      await until('the question', () => operator.of('tv').length > asked);
      const left = tv.ask('LEAVE_ROOM');
      for (const answer of await Promise.all(given)) refused(answer, 'left');
      accepted(await left);
      await operator.release({ allow: true });
      refused(await tv.ask('LEAVE_ROOM'), 'not_in_room');
    }
    const opened = tv.ask('TV_INIT', { name: 'Kitchen' });
    await operator.release({ allow: true });
    const { code } = accepted(await opened);
    const caster = await connect(server, { label: 'caster' });
    accepted(await caster.ask('CHECK_CODE', code));
    const given = [tv.ask('TV_INIT', { name: 'Kitchen', userRoom: 'ABCDEF' }), tv.ask('TV_INIT', { name: 'Kitchen', code: 'ABCDEG' })];
    accepted(await tv.ask('LEAVE_ROOM'));
    for (const answer of await Promise.all(given)) assert.ok(answer.ok || answer.error.code === 'left', JSON.stringify(answer));
    refused(await caster.ask('CHECK_CODE', code), 'unknown_code');
    assert.equal(await seats(), 0);
  }));

test('the TV leaves, or another caster comes, before the answer', () =>
  withOperator({ CASTWAY_TAKEOVER: 'false' }, async (server, operator) => {
    const { tv, code } = await openTv(server);
    operator.hold('caster');
    const [one, two] = [await connect(server, { label: 'one' }), await connect(server, { label: 'two' })];
    const joins = [one.ask('JOIN_ROOM', code, { username: 'one' }), two.ask('JOIN_ROOM', code, { username: 'two' })];
    await until('both questions', () => operator.of('caster').length === 2);
    await operator.release({ allow: true });
    const answers = await Promise.all(joins);
    assert.deepEqual(answers.map(({ ok, error }) => (ok ? 'ok' : error.code)).sort(), ['ok', 'room_full']);
    (answers[0].ok ? one : two).leave();
    await tv.next('CASTER_LEFT');
    const three = await connect(server, { label: 'three' });
    const late = three.ask('JOIN_ROOM', code, { username: 'three' });
    await until('its question', () => operator.of('caster').length === 3);
    tv.leave();
    const watcher = await connect(server, { label: 'watcher' });
    await until('the TV is gone', async () => !(await watcher.ask('CHECK_CODE', code)).ok);
    await operator.release({ allow: true });
    refused(await late, 'unknown_code');
  }));

test('wrong codes and checks cost the operator’s server nothing, and a seat that is resumed isn’t asked about again', () =>
  withOperator({}, async (server, operator) => {
    const { tv, code, resumeToken } = await openTv(server);
    const caster = await connect(server, { label: 'caster' });
    refused(await caster.ask('JOIN_ROOM', 'AAAAAA'), 'unknown_code');
    refused(await caster.ask('JOIN_ROOM', 'no code'), 'unknown_code');
    assert.equal(accepted(await caster.ask('CHECK_CODE', code)).signIn, undefined);
    assert.deepEqual(operator.of('caster'), []);
    const joined = accepted(await caster.ask('JOIN_ROOM', code));
    accepted(await caster.ask('JOIN_ROOM', code));
    accepted(await tv.ask('TV_INIT', { name: 'Hall' }));
    operator.decide = () => ({ allow: false });
    caster.drop();
    await tv.next('CASTER_AWAY');
    const back = await connect(server, { label: 'back' });
    assert.equal(accepted(await back.ask('JOIN_ROOM', code, { resumeToken: joined.resumeToken })).resumed, true);
    tv.drop();
    await back.next('TV_AWAY');
    const tvBack = await connect(server, { label: 'TV again' });
    assert.equal(accepted(await tvBack.ask('TV_INIT', { resumeToken })).code, code);
    assert.deepEqual([operator.of('tv').length, operator.of('caster').length], [1, 1]);

    // A token of a seat that is not held any more asks like everybody else.
    accepted(await back.ask('LEAVE_ROOM'));
    refused(await back.ask('JOIN_ROOM', code, { resumeToken: joined.resumeToken }), 'refused');
    accepted(await tvBack.ask('LEAVE_ROOM'));
    refused(await tvBack.ask('TV_INIT', { resumeToken }), 'refused');
  }));

test('without an answer nobody gets in, and TVs come back later', () =>
  withOperator({}, async (server, operator) => {
    const { code } = await openTv(server);
    const caster = await connect(server, { label: 'caster' });
    for (const wrong of [500, 302, 204, {}, { allow: 'yes' }, [true]]) {
      operator.decide = () => wrong;
      const answer = await caster.ask('JOIN_ROOM', code, { username: JSON.stringify(wrong) });
      assert.equal(answer.ok, false, `${JSON.stringify(wrong)} is no yes: ${JSON.stringify(operator.asked.at(-1))}`);
      const error = refused(answer, 'unavailable');
      assert.ok(error.retryAfter > 0);
      // The server waits a moment before it asks a server again that does not answer.
      operator.decide = () => ({ allow: true });
      await until('questions are asked again', async () => (await caster.ask('JOIN_ROOM', code)).ok);
      accepted(await caster.ask('LEAVE_ROOM'));
    }
    operator.decide = () => new Promise(() => {});
    refused(await caster.ask('JOIN_ROOM', code), 'unavailable');
    operator.http.closeAllConnections();
    const tv = await connect(server, { label: 'TV B' });
    operator.http.close();
    tv.emit('TV_GETINFO', {});
    const { cmd, code: why } = await tv.next('TV_COMMAND');
    assert.deepEqual([cmd, why], ['error', 'unavailable']);
    await tv.settle();
    assert.equal(tv.socket.connected, true);
  }));

test('users sign in first, and the operator’s server hears who they are but not their token', () =>
  withOperator({ CASTWAY_CAST_ACCESS: 'users' }, async (server, operator) => {
    await server.addUser('alice');
    const { code } = await openTv(server);
    const caster = await connect(server, { label: 'caster' });
    refused(await caster.ask('JOIN_ROOM', code, { auth: { token: 'theirs' } }), 'sign_in_required');
    const signedIn = await fetch(`${server.url}/api/sign-in`, { method: 'POST', body: JSON.stringify({ name: 'alice', password: 'alice-password-1' }) });
    const { token } = await signedIn.json();
    assert.deepEqual(operator.of('caster'), []);
    operator.hold('caster');
    for (const auth of [{ token }, { name: 'alice', password: 'alice-password-1', token: 'theirs' }]) {
      const joined = caster.ask('JOIN_ROOM', code, { auth, username: 'Ada' });
      await operator.release({ allow: true });
      accepted(await joined);
      accepted(await caster.ask('LEAVE_ROOM'));
    }
    assert.deepEqual(operator.of('caster').map(({ user, name, token: shown }) => [user, name, shown ?? null]), [['alice', 'Ada', null], ['alice', 'Ada', 'theirs']]);

    // Who is disabled while the answer is awaited does not get in.
    const joined = caster.ask('JOIN_ROOM', code, { auth: { token }, username: 'late' });
    await until('the question', () => operator.of('caster').length === 3);
    const known = server.knownUsers;
    assert.equal((await server.cli(['user', 'disable', 'alice'])).code, 0);
    await until('alice is disabled', async () => (await fetch(`${server.url}/api/sign-in`, { method: 'POST', body: JSON.stringify({ name: 'alice', password: 'alice-password-1' }) })).status === 401);
    assert.ok(known >= 1);
    await operator.release({ allow: true });
    const late = await joined;
    assert.ok(['sign_in_required', 'unavailable'].includes(late.error?.code), JSON.stringify(late));
  }));

test('a call is joined after the answer only, and Collider serves nobody who has not joined', () =>
  withOperator({}, async (server, operator) => {
    const join = (room, { query = '', ...headers } = {}) => fetch(`${server.url}/join/${room}${query}`, { method: 'POST', headers });
    operator.decide = ({ token }) => (token?.startsWith('good') ? { allow: true } : { allow: false, reason: 'Only employees.' });
    const first = await join('room');
    assert.equal(first.status, 403);
    const { result, error } = await first.json();
    assert.deepEqual([result, error], ['ERROR', { code: 'refused', message: 'Only employees.', reason: 'Only employees.' }]);
    const joined = await (await join('room', { query: '?token=good' })).json();
    assert.equal(joined.result, 'SUCCESS');
    const peer = await (await join('room', { Authorization: 'Bearer good too', 'User-Agent': 'a phone' })).json();
    assert.equal(peer.result, 'SUCCESS');
    const { kind, room, token, userAgent } = operator.asked.at(-1);
    assert.deepEqual([kind, room, token, userAgent], ['call', 'room', 'good too', 'a phone']);
    assert.ok(!server.log.includes('token=good'));

    const collider = `ws://127.0.0.1:${server.httpPort}/ws`;
    const stranger = await Channel.open(collider, { origin: server.url });
    stranger.register('room', '12345678');
    assert.match((await stranger.next()).error, /has not joined the room/);
    assert.equal((await fetch(`${server.url}/room/12345678`, { method: 'POST', body: 'x' })).status, 500);
    assert.equal((await fetch(`${server.url}/another/12345678`, { method: 'POST', body: 'x' })).status, 500);
    const [one, two] = [await Channel.open(collider, { origin: server.url }), await Channel.open(collider, { origin: server.url })];
    one.register('room', joined.params.client_id);
    two.register('room', peer.params.client_id);
    one.send('hello');
    assert.equal(await two.message(), 'hello');
    for (const socket of [one, two, stranger]) socket.socket.close();

    // A caller that hangs up while it waits has no seat. It may take the server a moment to see that.
    operator.hold('call');
    let rounds = 0;
    await until('a caller that hung up is given up', async () => {
      const [abort, name, asked] = [new AbortController(), `given-up-${(rounds += 1)}`, operator.of('call').length];
      const hung = fetch(`${server.url}/join/${name}`, { method: 'POST', signal: abort.signal }).catch(() => null);
      await until('the question', () => operator.of('call').length > asked);
      abort.abort();
      await hung;
      for (let i = 0; i < 5; i += 1) await fetch(`${server.url}/healthz`);
      await operator.release({ allow: true });
      operator.decide = () => ({ allow: true });
      const next = await (await join(name, { query: '?token=another' })).json();
      operator.hold('call');
      return next.params.is_initiator === 'true';
    });

    operator.decide = () => 500;
    const down = await join('another');
    assert.deepEqual([down.status, (await down.json()).error.code], [503, 'unavailable']);
    assert.ok(Number(down.headers.get('retry-after')) > 0);
  }));
