// What pages report of their casts: the answers, the bounds, the line in the log and the metrics.
import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { closeAll, connect } from './support/clients.mjs';
import { pair, sdp } from './support/dialects.mjs';
import { withServer } from './support/server.mjs';
import { until } from './support/wait.mjs';

afterEach(closeAll);

const FRONT_ENDS = [['A', '/', '2.5'], ['A', '/', '4.8'], ['B', '/rtc', '2.5'], ['B', '/rtc', '4.8']];
const OFFERS = { A: 'CLIENT_OFFER_TO_SERVER', B: 'RTC_Client_Offer_To_Server' };

const server701 = { url: 'turn:127.0.0.1:1?transport=udp', candidates: 0, code: 701, text: 'no answer', ms: 9500 };
const report = (outcome, more = {}) => ({
  outcome, route: null, protocol: null, rttMs: null, loss: null, kbps: null, bytes: null, servers: [server701],
  local: { host: 1, srflx: 0, prflx: 0, relay: 0 }, remote: { host: 1 }, checks: { sent: 3, received: 0, answered: 0 },
  ice: 'checking', seconds: 9.5, ...more,
});
const connected = (route, protocol, more = {}) => report('connected', { route, protocol, rttMs: 4, ice: 'connected', ...more });

// The lines of the log about ended casts; they are written every second.
const endedLines = (server, count) => until(`${count} lines`, () => server.logged(/cast ended/), (lines) => lines.length >= count);
const field = (line, name) => line.match(new RegExp(` ${name}=([^\\s"]+)`))?.[1];
const casts = (server, route, protocol, result) => server.metric(`castway_casts_total{route="${route}",protocol="${protocol}",result="${result}"}`);

async function castOf(server, [dialect, namespace, version]) {
  const tv = await connect(server, { namespace, version, label: `TV ${dialect} ${version}` });
  const caster = await connect(server, { namespace, version, label: `caster ${dialect} ${version}` });
  const { code } = await pair(tv, dialect, caster, dialect, { username: 'Ada' });
  return { tv, caster, code };
}

for (const frontEnd of FRONT_ENDS) {
  test(`a cast leaves one line and is counted: ${frontEnd.join(' ')}`, () =>
    withServer({}, async (server) => {
      const { tv, caster, code } = await castOf(server, frontEnd);
      for (const peer of [caster, tv]) assert.deepEqual(await peer.ask('CAST_REPORT', report('gathered')), { ok: true });
      assert.deepEqual(await caster.ask('CAST_REPORT', connected('relay', 'tls')), { ok: true });
      assert.deepEqual(await tv.ask('CAST_REPORT', connected('relay', 'udp')), { ok: true });
      assert.deepEqual(await caster.ask('CAST_REPORT', report('ended', { route: 'relay', protocol: 'tls', bytes: 312_400_000 })), { ok: true });
      assert.equal(await server.metric('castway_running_casts'), 1);
      caster.leave();
      const [line] = await endedLines(server, 1);
      assert.equal(await server.metric('castway_running_casts'), 0);
      assert.match(line, / INFO /);
      assert.ok(!line.includes(code), 'the code is a secret');
      assert.equal(field(line, 'tv'), `${code.slice(0, 2)}•••${code.at(-1)}`);
      for (const name of ['tv_ip', 'caster_ip']) assert.equal(field(line, name), '127.0.0.1');
      assert.match(field(line, 'duration'), /^\d+s$/);
      assert.deepEqual(['route', 'bytes', 'result', 'reason'].map((name) => field(line, name)), ['relay/tls', '312MB', 'connected', 'caster_left']);
      assert.equal(field(line, 'verdict'), undefined);
      assert.equal(await casts(server, 'relay', 'tls', 'connected'), 1);
      assert.equal(server.logged(/cast ended/).length, 1);
    }));

  test(`front ends that report nothing leave a line with what is known: ${frontEnd.join(' ')}`, () =>
    withServer({}, async (server) => {
      const { tv } = await castOf(server, frontEnd);
      tv.leave();
      const [line] = await endedLines(server, 1);
      assert.deepEqual(['route', 'bytes', 'result', 'reason'].map((name) => field(line, name)), ['unknown', undefined, undefined, 'tv_left']);
      assert.equal(await casts(server, 'unknown', 'unknown', 'unknown'), 1);
    }));

  test(`both ends of a failed cast get the same verdict: ${frontEnd.join(' ')}`, () =>
    withServer({}, async (server) => {
      const { tv, caster } = await castOf(server, frontEnd);
      const answers = await Promise.all([tv, caster].map((peer) => peer.ask('CAST_REPORT', report('failed', { ice: 'failed' }))));
      const [ofTv, verdict] = answers.map((answer) => answer.verdict);
      assert.deepEqual(answers, [ofTv, verdict].map((own) => ({ ok: true, verdict: own })));
      // The texts speak to their readers.
      for (const part of ['code', 'side', 'doubt']) assert.equal(ofTv[part], verdict[part]);
      for (const language of ['en', 'zh']) assert.equal(typeof verdict[language].title, 'string');
      assert.deepEqual(await tv.next('CAST_VERDICT'), { side: verdict.side, code: verdict.code });
      assert.equal(await server.metric(`castway_failures_total{verdict="${verdict.code}"}`), 1);
      // A report like the ones before is too early; the verdict comes with the report for the operator, too.
      assert.equal((await caster.ask('CAST_REPORT', report('failed'))).error?.code, 'rate_limited');
      assert.deepEqual(await caster.ask('CAST_REPORT', { send: true }), { ok: true, verdict });
      caster.leave();
      const [line] = await endedLines(server, 1);
      assert.deepEqual(['route', 'result', 'verdict'].map((name) => field(line, name)), ['unknown', 'failed', verdict.code]);
      assert.equal(server.logged(/a page has sent a report/).length, 1);
      assert.equal(await casts(server, 'unknown', 'unknown', 'failed'), 1);
      assert.deepEqual([tv.heard('CAST_VERDICT').length, caster.heard('CAST_VERDICT').length], [1, 0]);
    }));
}

test('a caster whose TV reports nothing waits for its verdict, and an offer begins a new attempt', () =>
  withServer({}, async (server) => {
    const { tv, caster } = await castOf(server, ['A', '/', '4.8']);
    const { verdict } = await caster.ask('CAST_REPORT', report('failed'));
    assert.equal(typeof verdict.code, 'string');
    await tv.next('CAST_VERDICT');
    assert.equal((await caster.ask(OFFERS.A, sdp('offer', 2))).ok, true);
    assert.deepEqual(await caster.ask('CAST_REPORT', connected('relay', 'tls')), { ok: true });
    assert.deepEqual(await tv.ask('CAST_REPORT', connected('relay', 'udp', { bytes: 5 })), { ok: true });
    // The caster's page is gone without a word, and the TV's has the totals.
    caster.leave();
    await tv.next('CASTER_LEFT');
    assert.deepEqual(await tv.ask('CAST_REPORT', report('ended', { route: 'relay', protocol: 'udp', bytes: 1_500_000 })), { ok: true });
    const [line] = await endedLines(server, 1);
    assert.deepEqual(['route', 'bytes', 'result'].map((name) => field(line, name)), ['relay/tls', '1MB', 'connected']);
  }));

test('reports are bounded, and what is wrong with them is said', () =>
  withServer({}, async (server) => {
    const { tv, caster } = await castOf(server, ['A', '/', '4.8']);
    const refused = async (peer, sent, code, text) => {
      const { ok, error } = await peer.ask('CAST_REPORT', ...sent);
      assert.deepEqual([ok, error?.code], [false, code], JSON.stringify(error));
      assert.match(error.message, text);
    };
    for (const wrong of [[], [null], ['text'], [[]], [{}], [{ outcome: 'fine' }], [report('failed', { bytes: 'many' })]]) {
      await refused(caster, wrong, 'malformed_payload', /expected a report/);
    }
    await refused(caster, [{ send: true }], 'no_report', /no report/);
    const large = report('gathered', { more: 'x'.repeat(20_000) });
    await refused(caster, [large], 'payload_too_large', /16 KiB/);
    assert.deepEqual(await caster.ask('CAST_REPORT', report('gathered', { unknown: true })), { ok: true });
    await refused(caster, [report('gathered')], 'rate_limited', /two seconds/);
    // Without an acknowledgement the refusal is an event.
    tv.emit('CAST_REPORT', 'text');
    assert.equal((await tv.next('CAST_ERROR')).event, 'CAST_REPORT');
    const stranger = await connect(server, { label: 'stranger' });
    await refused(stranger, [report('failed')], 'not_in_room', /not in a room/);
    const alone = await connect(server, { label: 'TV alone' });
    await alone.ask('TV_INIT');
    assert.deepEqual(await alone.ask('CAST_REPORT', report('ended')), { ok: true });
  }));

test('a taken over cast, a lost caster and a server that stops end casts with their reasons', () =>
  withServer({ CASTWAY_TAKEOVER: 'true', CASTWAY_GRACE: '1' }, async (server) => {
    const { code, caster } = await castOf(server, ['A', '/', '4.8']);
    const second = await connect(server, { label: 'second caster' });
    assert.equal((await second.ask('JOIN_ROOM', code)).ok, true);
    await caster.next('CAST_TAKEN_OVER');
    second.drop();
    const lines = await endedLines(server, 2);
    assert.deepEqual(lines.map((line) => field(line, 'reason')), ['taken_over', 'caster_lost']);
    const third = await connect(server, { label: 'third caster' });
    assert.equal((await third.ask('JOIN_ROOM', code)).ok, true);
    await server.stop();
    assert.equal(field(server.logged(/cast ended/)[2], 'reason'), 'server_stopped');
  }));
