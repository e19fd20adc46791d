// What pages report of AppRTC's calls: the answers, the bounds, the line in the log and the metrics.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Web } from './support/apprtc.mjs';
import { withServer } from './support/server.mjs';
import { until } from './support/wait.mjs';

const report = (outcome, more = {}) => ({ outcome, servers: [], local: { host: 1 }, remote: { host: 1 }, ice: 'checking', seconds: 3, ...more });
const field = (line, name) => line.match(new RegExp(` ${name}=([^\\s"]+)`))?.[1];
const endedLines = (server, count) => until(`${count} lines`, () => server.logged(/call ended/), (lines) => lines.length >= count);

async function post(server, room, client, body, query = '') {
  const response = await fetch(`${server.url}/report/${room}/${client}${query}`, { method: 'POST', body: typeof body === 'string' ? body : JSON.stringify(body) });
  return { status: response.status, retryAfter: response.headers.get('retry-after'), ...(await response.json()) };
}

async function callOf(server, room) {
  const [caller, callee] = [new Web(server.url), new Web(server.url)];
  assert.ok(await caller.join(room));
  assert.ok(await callee.join(room));
  return { caller, callee, callerId: caller.params.client_id, calleeId: callee.params.client_id };
}

test('a call leaves one line and is counted, and both members get one verdict', () =>
  withServer({}, async (server) => {
    const good = await callOf(server, 'good-room');
    for (const id of [good.callerId, good.calleeId]) {
      const sent = report('connected', { route: 'relay', protocol: 'udp', bytes: 2_000_000 });
      assert.deepEqual(await post(server, 'good-room', id, sent), { status: 200, retryAfter: null, ok: true });
    }
    assert.equal((await post(server, 'good-room', good.callerId, report('ended', { bytes: 3_000_000 }))).ok, true);
    assert.equal(await server.metric('castway_running_calls'), 1);
    await good.caller.hangUp();
    await good.callee.hangUp();

    const bad = await callOf(server, 'bad-room');
    const answers = await Promise.all([bad.calleeId, bad.callerId].map((id) => post(server, 'bad-room', id, report('failed'))));
    assert.equal(typeof answers[0].verdict.code, 'string');
    assert.deepEqual(answers[0], answers[1]);
    const sent = await post(server, 'bad-room', bad.callerId, '', '?send=1');
    assert.deepEqual(sent.verdict, answers[0].verdict);
    await bad.callee.hangUp();
    // The last report may come after the other member has left.
    assert.equal((await post(server, 'bad-room', bad.callerId, report('ended'))).ok, true);
    await bad.caller.hangUp();
    await callOf(server, 'last-room');

    const [connected, failed] = await endedLines(server, 2);
    assert.deepEqual(['room', 'caller_ip', 'callee_ip', 'route', 'bytes', 'result', 'reason'].map((name) => field(connected, name)), ['go•••m', '127.0.0.1', '127.0.0.1', 'relay/udp', '3MB', 'connected', 'left']);
    assert.deepEqual(['room', 'route', 'result', 'verdict'].map((name) => field(failed, name)), ['ba•••m', 'unknown', 'failed', answers[0].verdict.code]);
    assert.equal(await server.metric('castway_calls_total{route="relay",protocol="udp",result="connected"}'), 1);
    assert.equal(await server.metric('castway_calls_total{route="unknown",protocol="unknown",result="failed"}'), 1);
    assert.equal(await server.metric('castway_casts_total{route="unknown",protocol="unknown",result="failed"}'), 0);
    await server.stop();
    const last = server.logged(/call ended/)[2];
    assert.deepEqual(['result', 'reason'].map((name) => field(last, name)), [undefined, 'server_stopped']);
  }));

test('a report is for members only, bounded, and what is wrong with it is said', () =>
  withServer({}, async (server) => {
    const { callerId, calleeId } = await callOf(server, 'some-room');
    const refused = async (id, body, status, text, query) => {
      const answer = await post(server, 'some-room', id, body, query);
      assert.deepEqual([answer.status, answer.ok], [status, false], JSON.stringify(answer));
      assert.match(answer.error.message, text);
      return answer;
    };
    await refused('00000000', report('failed'), 404, /^Unknown client\.$/);
    await refused(callerId, 'text', 400, /can't be read/);
    await refused(callerId, { outcome: 'fine' }, 400, /can't be read/);
    await refused(callerId, report('gathered', { more: 'x'.repeat(20_000) }), 413, /./);
    await refused(callerId, '', 409, /no report/, '?send=1');
    assert.equal((await post(server, 'some-room', calleeId, report('gathered'))).ok, true);
    assert.ok(Number((await refused(calleeId, report('gathered'), 429, /two seconds/)).retryAfter) >= 1);
    const alone = new Web(server.url);
    assert.ok(await alone.join('other-room'));
    assert.deepEqual(await post(server, 'other-room', alone.params.client_id, report('failed')), { status: 200, retryAfter: null, ok: true });
  }));
