// TVs get new codes only if their front end announces support for them.
import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { closeAll, connect } from './support/clients.mjs';
import { CODE, dialects, exchange, pair } from './support/dialects.mjs';
import { withServer } from './support/server.mjs';

afterEach(closeAll);

const ANNOUNCED = { understands: ['TV_CODE_CHANGED'] };
const RULES = [undefined, 'never', 'after-idle', 'after-cast'];
const FRONT_ENDS = [['A', '/', '2.5'], ['A', '/', '4.8'], ['B', '/rtc', '2.5'], ['B', '/rtc', '4.8']];

const settings = (rule) => (rule ? { CASTWAY_NEW_CODE: rule } : {});
const opened = async (peer, more = {}) => {
  const answer = await peer.ask('TV_INIT', { ...more, ...ANNOUNCED });
  assert.equal(answer.ok, true, JSON.stringify(answer));
  return answer;
};
const joinFails = async (server, code, more) => {
  const caster = await connect(server, { label: 'caster with an old code' });
  assert.equal((await caster.ask('JOIN_ROOM', code, more)).error?.code, 'unknown_code');
  const b = await connect(server, { namespace: '/rtc', label: 'B caster with an old code' });
  assert.equal((await b.ask('CONNECT_TO_TV', { username: 'Ada', projCode: code })).error?.code, 'unknown_code');
};
// A caster joins and leaves; resolves to its resume token.
const castAndLeave = async (server, code) => {
  const caster = await connect(server, { label: 'caster' });
  const { resumeToken } = await caster.ask('JOIN_ROOM', code);
  assert.equal((await caster.ask('LEAVE_ROOM')).ok, true);
  return resumeToken;
};

for (const rule of RULES) {
  test(`front ends that announce nothing keep their code, and ours change as is set: ${rule ?? 'by default'}`, () =>
    withServer(settings(rule), async (server) => {
      const silent = [];
      for (const [dialect, namespace, version] of FRONT_ENDS) {
        const tv = await connect(server, { namespace, version, label: `TV ${dialect} ${version}` });
        const caster = await connect(server, { namespace, version, label: `caster ${dialect} ${version}` });
        const { code, tvToken } = await pair(tv, dialect, caster, dialect, { username: 'Ada' });
        await exchange(tv, dialect, caster, dialect);
        caster.leave();
        await dialects[dialect].hearCasterGone(tv, 'Ada', 'left');
        silent.push({ dialect, namespace, version, tv, code, token: tvToken });
      }
      const ours = await connect(server, { label: 'our TV' });
      const { code } = await opened(ours);
      await castAndLeave(server, code);
      if (rule === 'after-cast') {
        const changed = await ours.next('TV_CODE_CHANGED');
        assert.deepEqual(Object.keys(changed).sort(), ['code', 'reason', 'resumeToken']);
        assert.match(changed.code, CODE);
        assert.notEqual(changed.code, code);
        assert.equal(changed.reason, 'cast_ended');
        await joinFails(server, code);
      } else {
        await castAndLeave(server, code);
        await ours.settle();
        assert.deepEqual(ours.heard('TV_CODE_CHANGED'), []);
      }
      for (const { dialect, namespace, version, tv, code: kept, token } of silent) {
        await castAndLeave(server, kept);
        tv.drop();
        const again = await connect(server, { namespace, version, label: `TV ${dialect} ${version} again` });
        const more = dialect === 'A' ? { code: kept, resumeToken: token } : { code: kept, token };
        assert.equal((await dialects[dialect].register(again, false, more)).code, kept, `${dialect} ${version}`);
        for (const peer of [tv, again]) assert.deepEqual(peer.heard('TV_CODE_CHANGED'), []);
      }
    }));
}

for (const [dialect, namespace, version] of FRONT_ENDS) {
  test(`a TV asks for a new code, and what the old one gave ends: ${dialect} ${version}`, () =>
    withServer({ CASTWAY_NEW_CODE: 'never' }, async (server) => {
      const tv = await connect(server, { namespace, version, label: 'TV' });
      assert.equal((await tv.ask('NEW_CODE')).error?.code, 'not_in_room');
      const caster = await connect(server, { namespace, version, label: 'caster' });
      const { code, tvToken } = await pair(tv, dialect, caster, dialect, { username: 'Ada' });
      assert.equal((await tv.ask('NEW_CODE')).error?.code, 'cast_running');
      assert.equal((await caster.ask('NEW_CODE')).error?.code, 'wrong_role');
      caster.leave();
      await dialects[dialect].hearCasterGone(tv, 'Ada', 'left');
      const casterToken = await castAndLeave(server, code);
      const answer = await tv.ask('NEW_CODE');
      assert.equal(answer.ok, true, JSON.stringify(answer));
      assert.notEqual(answer.code, code);
      const changed = await tv.next('TV_CODE_CHANGED');
      assert.deepEqual(changed, { code: answer.code, resumeToken: answer.resumeToken, reason: 'asked' });
      await joinFails(server, code, { resumeToken: casterToken });
      const { error } = await tv.ask('NEW_CODE');
      assert.equal(error.code, 'rate_limited');
      assert.ok(error.retryAfter >= 1 && error.retryAfter <= 5, `retryAfter ${error.retryAfter}`);

      const thief = await connect(server, { namespace, version, label: 'bearer of the old token' });
      const old = await (dialect === 'A'
        ? thief.ask('TV_INIT', { code, resumeToken: tvToken })
        : thief.ask('TV_GETINFO', { code, token: tvToken }));
      assert.ok(old.ok && old.code !== code && old.code !== answer.code, JSON.stringify(old));
      const claims = await connect(server, { namespace: '/rtc', label: 'one that names the old code' });
      assert.notEqual((await claims.ask('TV_GETINFO', { code, token: 'device' })).code, code);
      await joinFails(server, code);

      tv.drop();
      const again = await connect(server, { namespace, version, label: 'TV again' });
      const kept = dialect === 'A' ? { code: answer.code, resumeToken: answer.resumeToken } : { code: answer.code, token: answer.resumeToken };
      assert.equal((await dialects[dialect].register(again, false, kept)).code, answer.code);
      const next = await connect(server, { label: 'caster with the new code' });
      assert.equal((await next.ask('JOIN_ROOM', answer.code)).ok, true);
    }));
}

test('the published flow of dialect B announces too, and hears of its new code under the same name', () =>
  withServer({ CASTWAY_NEW_CODE: 'after-cast' }, async (server) => {
    const tv = await connect(server, { namespace: '/rtc', version: '2.5', label: 'B TV' });
    const { code } = await tv.ask('TV_GETINFO', { token: null, code: null, ...ANNOUNCED });
    await castAndLeave(server, code);
    const changed = await tv.next('TV_CODE_CHANGED');
    assert.equal(changed.reason, 'cast_ended');
    await joinFails(server, code);
    // The TV gets the missed change when it enters again.
    const again = await connect(server, { namespace: '/rtc', version: '2.5', label: 'B TV that missed it' });
    const info = await again.ask('TV_GETINFO', { token: tv.heard('RESUME_TOKEN')[0].resumeToken, code, ...ANNOUNCED });
    assert.notEqual(info.code, code);
    assert.equal((await again.next('TV_CODE_CHANGED')).code, info.code);
  }));

test('a cast that a restart of the server interrupts keeps its code and its caster', () =>
  withServer({ CASTWAY_NEW_CODE: 'after-cast' }, async (server) => {
    const tv = await connect(server, { label: 'TV' });
    const { code, resumeToken } = await opened(tv);
    const caster = await connect(server, { label: 'caster' });
    const joined = await caster.ask('JOIN_ROOM', code);
    await server.restart();
    const tvAgain = await connect(server, { label: 'TV again' });
    assert.equal((await opened(tvAgain, { code, resumeToken, casting: true })).code, code);
    const casterAgain = await connect(server, { label: 'caster again' });
    const resumed = await casterAgain.ask('JOIN_ROOM', code, { resumeToken: joined.resumeToken });
    assert.deepEqual([resumed.ok, resumed.resumed], [true, true]);
    assert.deepEqual(tvAgain.heard('TV_CODE_CHANGED'), []);
    casterAgain.leave();
    assert.notEqual((await tvAgain.next('TV_CODE_CHANGED')).code, code);
  }));
