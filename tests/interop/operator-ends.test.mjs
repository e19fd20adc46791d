// What an operator sees of casts, calls and rooms while they run, and how their clients are told that one was ended.
import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { Android, Web } from './support/apprtc.mjs';
import { ask } from './support/check.mjs';
import { closeAll, connect } from './support/clients.mjs';
import { dialects, exchange, pair, sdp } from './support/dialects.mjs';
import { connect as connectMulti, room } from './support/multi.mjs';
import { end, rows } from './support/operator.mjs';
import { withServer } from './support/server.mjs';
import { until } from './support/wait.mjs';

afterEach(closeAll);

const now = () => Math.floor(Date.now() / 1000);
const accepted = (answer) => {
  assert.equal(answer.ok, true, JSON.stringify(answer));
  return answer;
};
const masked = (code) => `${code.slice(0, 2)}•••${code.at(-1)}`;
const report = (kbps, more = {}) => ({ outcome: 'connected', route: 'relay', protocol: 'tls', kbps, loss: 0.25, rttMs: 40, ...more });

test('an operator sees a cast while it runs, ends it, and both sides are told by whom, in both dialects', () =>
  withServer({}, async (server) => {
    let number = 0;
    for (const tvDialect of ['A', 'B']) {
      for (const casterDialect of ['A', 'B']) {
        number += 1;
        const id = `cast-${number}`;
        const client = (label, version) => connect(server, { version, label: `${label} ${tvDialect}${casterDialect}`, extraHeaders: { 'user-agent': `${label} ${'x'.repeat(300)}` } });
        const tv = await client('TV', '2.5');
        const caster = await client('caster', '4.8');
        const began = now();
        const { code } = await pair(tv, tvDialect, caster, casterDialect, { username: '<b>Ada</b>' });
        await exchange(tv, tvDialect, caster, casterDialect);
        accepted(await caster.ask('CAST_REPORT', report(2000, { servers: [{ url: 'turns:a', candidates: 1 }] })));
        const [row] = await rows(server, 'casts');
        assert.deepEqual([row.id, row.code], [id, masked(code)]);
        assert.ok(row.since >= began - 1 && row.since <= now() + 1, `${row.since}`);
        assert.deepEqual([row.tv.address, row.tv.agent, row.caster.address, row.caster.name], ['127.0.0.1', `TV ${'x'.repeat(197)}`, '127.0.0.1', '<b>Ada</b>']);
        assert.deepEqual(row.media, { path: 'relay/tls', kbps: 2000, loss: 0.25, rttMs: 40 });
        assert.ok(!JSON.stringify(row).includes(code), 'no whole code');

        assert.equal(await end(server, id), `Ended the cast ${id}.`);
        if (casterDialect === 'A') assert.deepEqual(await caster.next('CAST_ENDED'), { by: 'operator' });
        else assert.deepEqual(await caster.nextArgs('TV_OFFLINE'), []);
        if (tvDialect === 'A') assert.deepEqual(await tv.next('CASTER_LEFT'), { username: '<b>Ada</b>', reason: 'ended_by_operator' });
        else await dialects.B.hearCasterGone(tv, '<b>Ada</b>');
        const late = await caster.ask('CLIENT_OFFER_TO_SERVER', sdp('offer', 9));
        assert.equal(late.error?.code, 'not_in_room');
        assert.match((await end(server, id)).error, /nobody casts to this TV/);

        // The code of the TV names its cast, too.
        accepted(await caster.ask('JOIN_ROOM', code));
        assert.equal(await end(server, code.toLowerCase()), 'Ended the cast of this code.');
        await until('both ends', () => [caster.heard('CAST_ENDED').length + caster.heard('TV_OFFLINE').length], ([count]) => count === 2);
        tv.leave();
        caster.leave();
        await until('the TV has gone', () => rows(server, 'casts'), (left) => left.length === 0);
        assert.match((await end(server, id)).error, /there is no cast/);
      }
    }
    const lines = await until('8 lines', () => server.logged(/cast ended/), (seen) => seen.length === 8);
    assert.ok(lines.every((line) => line.includes('reason=ended_by_operator')), lines.join('\n'));
    assert.ok(lines.filter((line) => line.includes('route=relay/tls')).length === 4, lines.join('\n'));
  }));

test('a cast whose caster is away is ended, and the caster is told when it is back', () =>
  withServer({}, async (server) => {
    const tv = await connect(server, { label: 'TV' });
    const { code } = accepted(await tv.ask('TV_INIT', { name: 'Kitchen' }));
    for (const [event, told, version] of [['JOIN_ROOM', 'CAST_ENDED', '4.8'], ['CONNECT_TO_TV', 'TV_OFFLINE', '2.5']]) {
      const caster = await connect(server, { version, label: 'caster' });
      const { resumeToken } = accepted(await caster.ask(event, { code }));
      caster.drop();
      await tv.next('CASTER_AWAY');
      const [row] = await rows(server, 'casts');
      assert.deepEqual([row.tv.name, row.caster.address], ['Kitchen', null]);
      assert.equal(await end(server, row.id), `Ended the cast ${row.id}.`);
      assert.equal((await tv.next('CASTER_LEFT')).reason, 'ended_by_operator');
      const back = await connect(server, { version, label: 'caster again' });
      const refused = await back.ask(event, { code, resumeToken });
      assert.equal(refused.error?.code, 'cast_ended');
      assert.equal(back.heard(told).length, 1, 'before the refusal');
      if (told === 'CAST_ENDED') assert.deepEqual(back.heard(told), [{ by: 'operator' }]);
      accepted(await back.ask(event, { code, resumeToken }));
      back.leave();
      assert.equal((await tv.next('CASTER_LEFT')).reason, 'left');
    }
  }));

test('an operator gives a TV a new code, if its front end understands that', () =>
  withServer({}, async (server) => {
    const newCode = (id) => ask(server, { ask: 'new_code', id, by: 'anna' });
    const old = await connect(server, { label: 'old TV' });
    accepted(await old.ask('TV_INIT'));
    const tv = await connect(server, { label: 'TV' });
    const { code } = accepted(await tv.ask('TV_INIT', { understands: ['TV_CODE_CHANGED'] }));
    assert.deepEqual((await rows(server, 'casts')).map(({ id, mayChangeCode }) => [id, mayChangeCode]), [['cast-1', false], ['cast-2', true]]);
    assert.match((await newCode('cast-1')).error, /does not understand/);
    assert.match((await newCode('cast-9')).error, /no TV/);
    const { done } = await newCode('cast-2');
    const changed = await tv.next('TV_CODE_CHANGED');
    assert.deepEqual([changed.reason, done], ['asked', `The TV has the new code ${masked(changed.code)}.`]);
    assert.notEqual(changed.code, code);
    const caster = await connect(server, { label: 'caster' });
    assert.equal((await caster.ask('JOIN_ROOM', code)).error?.code, 'unknown_code');
    accepted(await caster.ask('JOIN_ROOM', changed.code));
    assert.match((await newCode('cast-2')).error, /end the cast first/);
    assert.deepEqual((await rows(server, 'casts')).map(({ id }) => id), ['cast-2', 'cast-1'], 'casts first');
  }));

test('an operator closes a call: every client hears a bye, ours also by whom, and the room is free', () =>
  withServer({}, async (server) => {
    for (const [number, [Caller, Callee]] of [[Web, Android], [Android, Web]].entries()) {
      const id = `call-${number + 1}`;
      const [caller, callee] = [new Caller(server.url), new Callee(server.url)];
      caller.headers = { ...caller.headers, 'user-agent': '<i>Phone</i>' };
      assert.ok(await caller.join('some-room'));
      assert.ok(await callee.join('some-room'));
      await caller.channel.settled();
      await callee.channel.settled();
      const sent = await fetch(`${server.url}/report/some-room/${caller.client}`, { method: 'POST', body: JSON.stringify(report(800)) });
      assert.equal(sent.status, 200);
      const [row] = await rows(server, 'calls');
      assert.deepEqual([row.id, row.room, row.media.path, row.media.kbps], [id, 'so•••m', 'relay/tls', 800]);
      assert.deepEqual(row.members.map(({ address }) => address), ['127.0.0.1', '127.0.0.1']);
      assert.equal(row.members[0].agent, '<i>Phone</i>');
      assert.equal(await end(server, id), `Closed the call ${id}.`);
      for (const { channel } of [caller, callee]) {
        assert.deepEqual(await channel.next(), { msg: '{"type":"bye"}', error: '', reason: 'ended_by_operator' });
        assert.equal(await channel.end(), 1000);
      }
      assert.deepEqual(JSON.parse(await caller.post(`/message/some-room/${caller.client}`, '{"type":"offer"}')), { result: 'UNKNOWN_ROOM' });
      assert.deepEqual(await rows(server, 'calls'), []);
      assert.match((await end(server, id)).error, /there is no call/);
    }
    const lines = await until('2 lines', () => server.logged(/call ended/), (seen) => seen.length === 2);
    assert.ok(lines.every((line) => line.includes('reason=ended_by_operator')), lines.join('\n'));
  }));

test("an operator closes a room of RTCMultiConnection as its own admin page does", () =>
  withServer({}, async (server) => {
    const [a, b, c] = [await connectMulti(server, 'a'), await connectMulti(server, 'b', { headers: { 'user-agent': 'B' } }), await connectMulti(server, 'c')];
    assert.deepEqual(await a.ask('open-room', room('some room')), [true]);
    assert.deepEqual(await b.ask('join-room', room('some room')), [true]);
    assert.deepEqual(await c.ask('open-room', room('other')), [true]);
    const listed = await rows(server, 'rooms');
    assert.deepEqual(listed.map(({ id, room: name, memberCount }) => [id, name, memberCount]), [['room-1', 'so•••m', 2], ['room-2', '•••', 1]]);
    assert.deepEqual(listed[0].members.map(({ name, address }) => [name, address]), [['a', '127.0.0.1'], ['b', '127.0.0.1']]);
    assert.equal(listed[0].members[1].agent, 'B');
    assert.equal(await end(server, 'room-1'), 'Closed the room room-1.');
    for (const client of [a, b]) await client.until('the end', (log) => log.some(([event]) => event === 'disconnect'));
    assert.deepEqual((await rows(server, 'rooms')).map(({ id }) => id), ['room-2']);
    await c.settle();
    assert.ok(c.socket.connected, 'the others go on');
    assert.match((await end(server, 'room-1')).error, /there is no room/);
  }));
