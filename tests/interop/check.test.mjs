// The API of /check: keys, digits, messages between two devices, results, and their bounds.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ask, newKey, post } from './support/check.mjs';
import { withServer } from './support/server.mjs';
import { verify } from './support/turn.mjs';
import { until } from './support/wait.mjs';

const KEY = /^[ABCDEFGHJKMNPQRSTWXYZ2-9]{10}$/;
const RESULT = { paths: [{ kind: 'udp', url: 'turn:127.0.0.1:3478?transport=udp', ms: 3 }], range: null, links: [] };

async function start(server, options) {
  const { status, body } = await post(server, 'start', { key: await newKey(server) }, options);
  assert.equal(status, 200, JSON.stringify(body));
  return body;
}

const wrongDigits = ({ digits }) => (digits === '0000' ? '1111' : '0000');

describe('a key', { concurrency: true }, () => {
  test('starts one check by a POST, and a GET of its page uses nothing up', () =>
    withServer({}, async (server) => {
      const { key, url, expires } = await ask(server, { ask: 'check_key' });
      assert.match(key, KEY);
      assert.ok(url.endsWith(`/check?k=${key}`), url);
      assert.ok(Math.abs(expires - Date.now() / 1000 - 900) < 60, 'it ends after 15 minutes');
      for (const path of [`/check?k=${key}`, `/check/start?k=${key}`, `/check?k=${key}`]) {
        const { status } = await post(server, '', '', { method: 'GET', path });
        assert.ok(status < 500, `${path}: ${status}`);
      }
      const page = await post(server, '', '', { method: 'GET', path: '/check' });
      assert.deepEqual([page.status, /<html/.test(page.body)], [200, true]);

      const first = await post(server, 'start', { key: ` ${key.toLowerCase().slice(0, 5)}-${key.slice(5)}` });
      assert.equal(first.status, 200, JSON.stringify(first.body));
      assert.equal(first.headers['cache-control'], 'no-store');
      assert.deepEqual([first.body.device, first.body.address], [1, '127.0.0.1']);
      assert.match(first.body.session, /^[0-9a-f]{32}$/);
      assert.match(first.body.digits, /^\d{4}$/);

      const second = await post(server, 'start', { key });
      assert.equal(second.status, 410);
      assert.match(second.body.message, /This key has been used\. .*castway doctor/);
      assert.equal(server.log.includes(key), false, 'no key is logged');
    }));

  test('gives credentials for each way to the relay, and none for the range where nobody uses it', () =>
    withServer({}, async (server) => {
      const { paths, range } = await start(server);
      assert.deepEqual([...new Set(paths.map(({ kind }) => kind))], ['stun', 'udp', 'tcp']);
      assert.equal(range, undefined);
      const { username, credential } = paths.find(({ kind }) => kind === 'udp');
      assert.equal(await verify({ port: server.turnPort, transport: 'udp', username, password: credential }), 'allocated');
    }));

  test('gives credentials of scope own-address for the range, but not to an address that the relay denies', () =>
    withServer({ CASTWAY_API_KEYS: 'a-key-of-a-front-end' }, async (server) => {
      assert.deepEqual((await start(server)).range, { denied: true }, 'loopback');
    }));

  test('that is wrong counts as a guess, and ten in a minute are enough', () =>
    withServer({}, async (server) => {
      const local = '127.0.0.9';
      const tries = [];
      for (let n = 0; n < 11; n += 1) tries.push(await post(server, 'start', { key: `ABCDEFGHJ${'KMNPQRSTWXYZ'[n]}` }, { local }));
      assert.deepEqual(tries.slice(0, 10).map(({ status }) => status), Array(10).fill(403));
      assert.match(tries[0].body.message, /This key is not valid/);
      assert.equal(tries[10].status, 429);
      assert.ok(Number(tries[10].headers['retry-after']) >= 1);
      await start(server);
      assert.ok((await server.metric('castway_wrong_total{kind="check_key"}')) >= 10);
      await until('the log names the address', () => server.logged(new RegExp(`INFO wrong check_key address=${local}`)).length);
    }));

  test('ends when eight newer ones are there, and its check goes on', () =>
    withServer({}, async (server) => {
      const started = await start(server);
      const keys = [];
      for (let n = 0; n < 9; n += 1) keys.push(await newKey(server));
      assert.equal((await post(server, 'start', { key: keys[0] })).status, 403);
      assert.equal((await post(server, 'start', { key: keys[8] })).status, 200);
      assert.equal((await post(server, 'result', { session: started.session, report: RESULT })).status, 200);
    }));
});

describe('a second device', { concurrency: true }, () => {
  test('joins by the digits, once, and both exchange messages', () =>
    withServer({}, async (server) => {
      const first = await start(server);
      const poll = (session, peer) => post(server, 'poll', { session, peer });
      const waiting = poll(first.session, false);
      assert.equal((await post(server, 'signal', { session: first.session, data: 'early' })).status, 409);
      const joined = await post(server, 'join', { digits: first.digits });
      assert.deepEqual([joined.status, joined.body.device, joined.body.digits], [200, 2, undefined]);
      assert.equal((await waiting).body.peer, true, 'the poll that waited tells of it');
      assert.equal((await post(server, 'join', { digits: first.digits })).status, 403);

      const second = joined.body;
      const message = poll(second.session, true);
      assert.deepEqual((await post(server, 'signal', { session: first.session, data: 'an offer' })).body, { ok: true });
      assert.deepEqual((await message).body.messages, ['an offer']);
      await post(server, 'signal', { session: second.session, data: 'an answer' });
      assert.deepEqual((await poll(first.session, true)).body.messages, ['an answer']);
    }));

  test('has five tries, whoever makes them', () =>
    withServer({}, async (server) => {
      const first = await start(server);
      const tries = [];
      for (let n = 0; n < 5; n += 1) tries.push(await post(server, 'join', { digits: wrongDigits(first) }, { local: `127.0.1.${n + 1}` }));
      assert.deepEqual(tries.map(({ status }) => status), Array(5).fill(403));
      assert.equal((await post(server, 'join', { digits: first.digits })).status, 403);
      const { body } = await post(server, 'poll', { session: first.session, peer: false });
      assert.deepEqual(body, { messages: [], peer: false, digits: null }, 'the first device learns of it');
    }));

  test('sends 64 messages of 64 KiB at most', () =>
    withServer({}, async (server) => {
      const first = await start(server);
      const { body: second } = await post(server, 'join', { digits: first.digits });
      const send = (data) => post(server, 'signal', { session: second.session, data });
      assert.equal((await send('x'.repeat(65_537))).status, 413);
      for (let n = 0; n < 4; n += 1) assert.equal((await send('x'.repeat(65_536))).status, 200);
      assert.equal((await send('x')).status, 429, 'what the other device has not taken is bounded');
      const { body } = await post(server, 'poll', { session: first.session, peer: true });
      assert.equal(body.messages.length, 4);
      const statuses = [];
      for (let n = 0; n < 61; n += 1) statuses.push((await send('x')).status);
      assert.deepEqual(statuses, [...Array(60).fill(200), 429]);
    }));
});

describe('a result', { concurrency: true }, () => {
  test('gets a verdict, reaches the one who waits, and is kept over a restart', () =>
    withServer({}, async (server) => {
      const key = await newKey(server);
      const waiting = ask(server, { ask: 'check_wait', key, seconds: 60 });
      const { body: started } = await post(server, 'start', { key });
      const { status, body } = await post(server, 'result', { session: started.session, report: RESULT });
      assert.equal(status, 200, JSON.stringify(body));
      assert.equal(body.code, 'fine');
      assert.ok(body.en.title && body.zh.title);
      const { result } = await waiting;
      assert.deepEqual([result.address, result.verdict.code, result.report.paths[0].ms], ['127.0.0.1', 'fine', 3]);
      const kept = async () => (await ask(server, { ask: 'checks' })).checks;
      await until('it is kept', kept, (checks) => checks.length === 1);
      await server.restart();
      const [check] = await kept();
      assert.deepEqual([check.kind, check.address, check.result.verdict.code], ['check', '127.0.0.1', 'fine']);
      await until('it is logged', () => server.logged(/check finished address=127\.0\.0\.1 verdict="?fine/).length);
    }));

  test('of a wrong form is refused with a sentence, and one that is too large too', () =>
    withServer({}, async (server) => {
      const { session } = await start(server);
      for (const [body, status] of [
        ['', 400],
        ['{', 400],
        [{ session }, 400],
        [{ session, report: { paths: 'none' } }, 400],
        [{ session, report: { paths: Array(17).fill(RESULT.paths[0]) } }, 400],
        [{ session, report: { ...RESULT, range: { sent: 1, arrived: 2 } } }, 400],
        [{ session: 'another', report: RESULT }, 404],
        [{ session, report: { ...RESULT, more: 'x'.repeat(20_000) } }, 413],
      ]) {
        const answer = await post(server, 'result', body);
        assert.equal(answer.status, status, JSON.stringify(body).slice(0, 80));
        assert.match(answer.body.message, /\w+ .*\w/);
      }
      for (const action of ['start', 'join', 'poll', 'signal']) assert.equal((await post(server, action, '[]')).status, 400, action);
      const statuses = [];
      for (let n = 0; n < 9; n += 1) statuses.push((await post(server, 'result', { session, report: RESULT })).status);
      assert.deepEqual(statuses, [...Array(8).fill(200), 429]);
    }));
});
