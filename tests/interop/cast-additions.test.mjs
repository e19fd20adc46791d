// What our pages add to the cast flow: names and screens of TVs, checks of codes, the state of a cast, and its end by the TV.
import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { accepted, refused } from './support/answers.mjs';
import { closeAll, connect } from './support/clients.mjs';
import { dialects, exchange, pair, sdp } from './support/dialects.mjs';
import { withServer } from './support/server.mjs';
import { until } from './support/wait.mjs';

afterEach(closeAll);

const CLIENTS = [['/', '2.5'], ['/', '4.8'], ['/rtc', '2.5'], ['/rtc', '4.8']];
const NOBODY = 'AAAAAA';
const GUESSER = '127.0.0.9';

// The reasons in the lines of the log about ended casts.
const endedReasons = async (server, count) => {
  const reasons = () => [...server.log.matchAll(/cast ended .* reason=(\w+)/g)].map(([, reason]) => reason);
  return until(`${count} lines`, reasons, (seen) => seen.length >= count);
};
// An object whose JSON has so many bytes.
const objectOf = (bytes) => ({ x: 'x'.repeat(bytes - '{"x":""}'.length) });

test('a caster learns of its TV, the TV of the cast, and the TV ends it, in both namespaces', () =>
  withServer({}, async (server) => {
    for (const [namespace, version] of CLIENTS) {
      const client = (label) => connect(server, { namespace, version, label: `${label} ${namespace} ${version}` });
      const tv = await client('TV');
      const screen = { width: 3840, height: 2160, codecs: [{ codec: 'AV1', smooth: true, powerEfficient: false }], more: [null, 'ü'] };
      const { code, resumeToken } = accepted(await tv.ask('TV_INIT', { name: 'Kitchen', screen }));
      const free = { ok: true, code, tv: { name: 'Kitchen', away: false }, caster: null, takeover: false };
      const asker = await client('asker');
      assert.deepEqual(await asker.ask('CHECK_CODE', code.toLowerCase()), free);

      const ada = await client('Ada');
      const joined = accepted(await ada.ask('JOIN_ROOM', code, { username: 'Ada' }));
      assert.deepEqual(joined.tv, { name: 'Kitchen', screen });
      const casting = { ...free, caster: { username: 'Ada', own: false }, takeover: true };
      assert.deepEqual(await asker.ask('CHECK_CODE', { code }), casting);
      const own = { ...casting, caster: { username: 'Ada', own: true }, takeover: false };
      assert.deepEqual(await asker.ask('CHECK_CODE', code, { resumeToken: joined.resumeToken }), own);

      tv.drop();
      await ada.next('TV_AWAY');
      assert.deepEqual(await asker.ask('CHECK_CODE', code), { ...casting, tv: { name: 'Kitchen', away: true } });
      accepted(await ada.ask('CAST_STATE', { lost: true }));
      const back = await client('TV again');
      accepted(await back.ask('TV_INIT', { resumeToken, name: 'Hall' }));
      assert.deepEqual(await ada.next('TV_BACK'), { reloaded: true, tv: { name: 'Hall', screen: null } });

      const state = { paused: true, sound: false };
      ada.emit('CAST_STATE', state);
      assert.deepEqual(await back.nextArgs('CAST_STATE'), [state], 'only what was sent while it was there');
      refused(await back.ask('CAST_STATE', state), 'wrong_role');
      refused(await asker.ask('CAST_STATE', state), 'not_in_room');
      refused(await ada.ask('CAST_STATE', objectOf(2049)), 'payload_too_large');

      refused(await back.ask('CHECK_CODE', code), 'wrong_role');
      const grace = await client('Grace');
      accepted(await grace.ask('JOIN_ROOM', code, { username: 'Grace\u202E\n' }));
      assert.deepEqual(await ada.next('CAST_TAKEN_OVER'), { by: 'Grace' });
      const { username, reason } = await back.next('CASTER_LEFT');
      assert.deepEqual([username, reason], ['Ada', 'taken_over']);
      await until('the TV hears who took over', () => back.heard('CASTER_JOINED').at(-1)?.username.startsWith('Grace'));
      const order = back.log.map(([name]) => name).filter((name) => name.startsWith('CASTER_'));
      assert.deepEqual(order, ['CASTER_JOINED', 'CASTER_LEFT', 'CASTER_JOINED']);

      refused(await grace.ask('END_CAST'), 'wrong_role');
      refused(await ada.ask('END_CAST'), 'not_in_room');
      assert.deepEqual(await back.ask('END_CAST'), { ok: true });
      assert.deepEqual(await grace.next('CAST_ENDED'), { by: 'tv' });
      assert.deepEqual((await back.next('CASTER_LEFT')).reason, 'ended');
      refused(await back.ask('END_CAST'), 'no_caster');
      refused(await grace.ask('CLIENT_OFFER_TO_SERVER', sdp('offer', 1)), 'not_in_room');
      assert.deepEqual(await asker.ask('CHECK_CODE', code), { ...free, tv: { name: 'Hall', away: false } });
      for (const peer of [tv, ada]) assert.deepEqual(peer.heard('CAST_ENDED'), []);
    }
    const reasons = await endedReasons(server, 2 * CLIENTS.length);
    assert.deepEqual(reasons, CLIENTS.flatMap(() => ['taken_over', 'ended_by_tv']));
  }));

test('front ends of dialect B end a cast and are told of it in their own words', () =>
  withServer({}, async (server) => {
    let casts = 0;
    for (const [namespace, version] of CLIENTS) {
      for (const dialect of ['A', 'B']) {
        const tv = await connect(server, { namespace, version, label: `B TV ${namespace} ${version}` });
        const caster = await connect(server, { namespace, version, label: `${dialect} caster ${namespace} ${version}` });
        const { code } = await pair(tv, 'B', caster, dialect, { username: 'Ada' });
        await exchange(tv, 'B', caster, dialect);
        caster.emit('CAST_STATE', { paused: true });
        assert.deepEqual(await tv.next('CAST_STATE'), { paused: true });
        assert.deepEqual(await tv.ask('END_CAST'), { ok: true });
        casts += 1;
        await dialects.B.hearCasterGone(tv, 'Ada');
        if (dialect === 'A') assert.deepEqual(await caster.next('CAST_ENDED'), { by: 'tv' });
        else assert.deepEqual(await caster.nextArgs('TV_OFFLINE'), []);
        await caster.settle();
        assert.equal(caster.heard('CAST_ENDED').length + caster.heard('TV_OFFLINE').length, 1);
        const again = accepted(await caster.ask('CONNECT_TO_TV', { username: 'Ada', projCode: code }));
        assert.deepEqual(Object.keys(again).sort(), ['code', 'ok', 'resumeToken', 'resumed']);
        caster.leave();
        casts += 1;
        await dialects.B.hearCasterGone(tv, 'Ada');
      }
    }
    const reasons = await endedReasons(server, casts);
    assert.equal(reasons.filter((reason) => reason === 'ended_by_tv').length, casts / 2);
  }));

test('a caster that was away when its cast was ended is told when it comes back', () =>
  withServer({}, async (server) => {
    const tv = await connect(server, { label: 'TV' });
    const { code } = accepted(await tv.ask('TV_INIT'));
    for (const [event, told, version] of [['JOIN_ROOM', 'CAST_ENDED', '4.8'], ['CONNECT_TO_TV', 'TV_OFFLINE', '2.5']]) {
      const caster = await connect(server, { version, label: 'caster' });
      const { resumeToken } = accepted(await caster.ask(event, { code }));
      caster.drop();
      await tv.next('CASTER_AWAY');
      accepted(await tv.ask('END_CAST'));
      const back = await connect(server, { version, label: 'caster again' });
      refused(await back.ask(event, { code, resumeToken }), 'cast_ended');
      assert.equal(back.heard(told).length, 1, 'before the refusal');
      assert.equal(accepted(await back.ask(event, { code, resumeToken })).code, code, 'whoever wants to cast again may');
    }
  }));

test('a name is shown on one line and not too long, and a screen has 2 KiB', () =>
  withServer({}, async (server) => {
    const tv = await connect(server, { label: 'TV' });
    const asker = await connect(server, { label: 'asker' });
    const { code } = accepted(await tv.ask('TV_INIT'));
    for (const [name, shown] of [
      ['  客厅 TV\t', '客厅 TV'],
      ['Ku\u0308che', 'Küche'],
      ['a\u0000b\nc\u001B[31m\u202Ed', 'abc[31md'],
      ['会'.repeat(500), '会'.repeat(40)],
      ['\u0007 \u3000', null],
      [{ toString: 'x' }, null],
      [undefined, null],
    ]) {
      accepted(await tv.ask('TV_INIT', { name }));
      assert.deepEqual((await asker.ask('CHECK_CODE', code)).tv, { name: shown, away: false });
    }
    const { error } = await tv.ask('TV_INIT', { screen: objectOf(3 * 1024) });
    assert.deepEqual([error.code, error.message], ['payload_too_large', 'payload too large: at most 2 KiB, and this has 3 KiB']);
    accepted(await tv.ask('TV_INIT', { screen: objectOf(2 * 1024) }));
    const caster = await connect(server, { version: '2.5', label: 'caster' });
    assert.deepEqual(accepted(await caster.ask('JOIN_ROOM', code)).tv, { name: null, screen: objectOf(2 * 1024) });
  }));

test('wrong codes in checks and in joins reach one limit, and beyond it a check tells nothing', () =>
  withServer({ CASTWAY_WRONG_CODES: '6' }, async (server) => {
    const tv = await connect(server, { label: 'TV' });
    const { code } = accepted(await tv.ask('TV_INIT', { name: 'Kitchen' }));
    const [one, other] = [await connect(server, { from: GUESSER, label: 'one' }), await connect(server, { from: GUESSER, namespace: '/rtc', label: 'other' })];
    const { resumeToken } = accepted(await one.ask('JOIN_ROOM', code, { username: 'Ada' }));
    for (let n = 0; n < 3; n += 1) {
      assert.equal(accepted(await other.ask('CHECK_CODE', code)).caster.own, false, 'a right code costs nothing');
      refused(await one.ask('CHECK_CODE', n ? NOBODY : 'no code at all'), 'unknown_code');
      refused(await other.ask('CONNECT_TO_TV', { projCode: NOBODY }), 'unknown_code');
    }
    for (const typed of [code, NOBODY]) {
      const [check, join] = [await other.ask('CHECK_CODE', typed), await other.ask('JOIN_ROOM', typed)];
      const { message, retryAfter } = refused(check, 'too_many_attempts');
      assert.ok(retryAfter >= 1 && retryAfter <= 60, `retryAfter ${retryAfter}`);
      assert.equal(refused(join, 'too_many_attempts').message, message);
      assert.deepEqual(Object.keys(check).sort(), ['error', 'ok'], 'nothing of the TV, nor of who casts');
    }
    assert.equal(accepted(await other.ask('CHECK_CODE', code, { resumeToken })).caster.own, true, 'who proves the code does not guess');
    const neighbour = await connect(server, { from: '127.0.0.10', label: 'neighbour' });
    accepted(await neighbour.ask('CHECK_CODE', code));
    assert.equal(await server.metric('castway_wrong_total{kind="code"}'), 6);
    await until('a line for fail2ban', () => server.logged(new RegExp(`INFO wrong code address=${GUESSER} failures=5$`)).length);
  }));

test('wrong checks use up what an address may join, and then right ones are refused like wrong ones', () =>
  withServer({ CASTWAY_CREDENTIALS_RATE: '1', CASTWAY_MAX_BITRATE: '8000' }, async (server) => {
    const tv = await connect(server, { label: 'TV' });
    const { code } = accepted(await tv.ask('TV_INIT'));
    const asker = await connect(server, { from: GUESSER, label: 'asker' });
    for (let n = 0; n < 20; n += 1) accepted(await asker.ask('CHECK_CODE', code));
    refused(await asker.ask('CHECK_CODE', NOBODY), 'unknown_code');
    refused(await asker.ask('CHECK_CODE', NOBODY), 'rate_limited');
    const [right, join] = [await asker.ask('CHECK_CODE', code), await asker.ask('JOIN_ROOM', code)];
    assert.deepEqual([refused(right, 'rate_limited').message, right.error.retryAfter > 0], [refused(join, 'rate_limited').message, true]);
    const info = await (await fetch(`${server.url}/api/info`)).json();
    assert.equal(info.maxBitrate, 8000);
  }));
