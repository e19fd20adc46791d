// How many Socket.IO sessions a stranger gets, how long they live without their client, and that a crowd gets enough of them.
import assert from 'node:assert/strict';
import { Agent, request } from 'node:http';
import { connect as connectHttp2 } from 'node:http2';
import { after, before, describe, test } from 'node:test';
import { transports, versions } from './support/clients.mjs';
import { rawWebSocket } from './support/raw.mjs';
import { residentMib } from './support/resident.mjs';
import { startServer, withServer } from './support/server.mjs';
import { TIMEOUT_MS, until, within } from './support/wait.mjs';

// The server's limit.
const MAX_SESSIONS_OF_CLIENT = 2048;

const SETTINGS = { CASTWAY_TRUSTED_PROXIES: '127.0.0.9' };

// Requests of the tests to a server.
function questionsTo(server) {
  const sessions = async () => (await server.metric('castway_sessions{transport="polling"}')) + (await server.metric('castway_sessions{transport="websocket"}'));
  const allGone = () => until('all places are back', sessions, (count) => count === 0);
  // An answer: {status, headers, text}.
  const ask = (path, { agent, from, headers, method = 'GET', body } = {}) =>
    new Promise((resolve, reject) => {
      const asked = request(server.url + path, { agent, localAddress: from, headers, method }, (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (chunk) => (text += chunk)).on('end', () => resolve({ status: response.statusCode, headers: response.headers, text }));
      });
      asked.on('error', reject).end(body);
    });
  const handshake = (eio, options) => ask(`/socket.io/?EIO=${eio}&transport=polling`, options);
  return { server, sessions, allGone, ask, handshake };
}

const withSessions = (body) => withServer(SETTINGS, (server) => body(questionsTo(server)));

const sidOf = (text) => text.match(/"sid":"([^"]+)"/)[1];

// Asserts that the refusal is one after which clients retry.
function checkRefusal({ status, headers, text }) {
  assert.ok(status === 429 || status === 503, `${status}`);
  const { error, message, retryAfter } = JSON.parse(text);
  assert.equal(error, 'TooManySessions');
  assert.match(message, /^Too many .*Try again in \d+ s\.$/);
  assert.equal(headers['retry-after'], String(retryAfter));
}

// Sends handshakes until one is refused; resolves to how many succeeded.
async function flood(next, most) {
  const answers = [];
  let refused = null;
  await Promise.all(Array.from({ length: 50 }, async () => {
    while (!refused && answers.length < most) {
      const answer = await next();
      if (answer.status === 200) answers.push(answer);
      else refused = answer;
    }
  }));
  assert.ok(refused, `${answers.length} handshakes of one address`);
  checkRefusal(refused);
  return answers.length;
}

// Each test has a server of its own, whose sessions it counts. Most of the time they wait for unused sessions to end.
describe('sessions of Socket.IO', { concurrency: 4 }, () => {
  for (const eio of [3, 4]) {
    test(`handshakes over a few connections of one address are limited, Engine.IO ${eio}`, () =>
      withSessions(async ({ server, sessions, allGone, handshake }) => {
        const start = residentMib(server.pid);
        const agent = new Agent({ keepAlive: true, maxSockets: 4 });
        const from = `127.0.2.${eio}`;
        const count = await flood(() => handshake(eio, { agent, from }), 10_000);
        assert.ok(count >= 700 && count <= 2 * MAX_SESSIONS_OF_CLIENT, `${count}`);
        assert.ok((await sessions()) <= MAX_SESSIONS_OF_CLIENT);
        assert.ok(residentMib(server.pid) - start < 64, `${residentMib(server.pid) - start} MiB`);
        assert.equal((await handshake(eio, { from: '127.0.2.9' })).status, 200, 'another address');
        agent.destroy();
        await allGone();
      }));
  }

  test('handshakes over one connection of HTTP/2 are limited', () =>
    withSessions(async ({ server, allGone }) => {
      const session = connectHttp2(`https://localhost:${server.httpsPort}`, { rejectUnauthorized: false, localAddress: '127.0.2.20' });
      const next = async () => {
        const stream = session.request({ ':path': '/socket.io/?EIO=4&transport=polling' });
        const answer = new Promise((resolve) => stream.on('response', resolve));
        let text = '';
        for await (const chunk of stream) text += chunk;
        const headers = await answer;
        return { status: headers[':status'], headers, text };
      };
      await flood(next, 10_000);
      session.destroy();
      await allGone();
    }));

  test('handshakes of many addresses, more than there may be sessions, shut nobody out', () =>
    withSessions(async ({ allGone, handshake }) => {
      await Promise.all(Array.from({ length: 7 }, async (_, n) => {
        const options = { agent: new Agent({ keepAlive: true, maxSockets: 2 }), from: `127.0.4.${n + 1}` };
        await Promise.all(Array.from({ length: 1600 }, () => handshake(4, options)));
        options.agent.destroy();
      }));
      // The rate of all handshakes may be reached, but the server must never report too many sessions.
      const comes = ({ status, text }) => {
        assert.doesNotMatch(text, /Too many sessions on this server/);
        return status === 200;
      };
      await until('another client begins a session', () => handshake(4, { from: '127.0.4.101' }), comes);
      await allGone();
    }));

  test('behind a proxy that is trusted each client has its own', () =>
    withSessions(async ({ allGone, handshake }) => {
      const agent = new Agent({ keepAlive: true, maxSockets: 4 });
      const next = (client) => handshake(4, { agent, from: '127.0.0.9', headers: { 'X-Forwarded-For': client } });
      await flood(() => next('198.51.100.1'), 10_000);
      assert.equal((await next('198.51.100.2')).status, 200);
      assert.equal((await next('2001:db8::1')).status, 200);
      agent.destroy();
      await allGone();
    }));

  // These tests run in sequence, because this process has all their clients.
  describe('a crowd', { concurrency: 1 }, () => {
    for (const [version, ways] of [['2.5', 'upgrade'], ['4.8', 'upgrade'], ['4.8', 'polling'], ['2.5', 'websocket']]) {
      test(`300 clients of version ${version} by ${ways} behind one address connect, stay, and are gone when they go`, () =>
        withSessions(async ({ server, sessions, allGone, handshake }) => {
          const options = { transports: transports[ways], forceNew: true, reconnection: false, timeout: TIMEOUT_MS };
          const sockets = Array.from({ length: 300 }, () => versions[version](server.url, options));
          await Promise.all(sockets.map((socket) => within(new Promise((resolve, reject) => {
            socket.on('connect', resolve);
            socket.on('connect_error', reject);
          }), 'connection')));
          let lost = 0;
          sockets.forEach((socket) => socket.on('disconnect', () => (lost += 1)));
          if (ways === 'upgrade') await until('all are on WebSockets', () => server.metric('castway_sessions{transport="websocket"}'), (count) => count === 300);
          // An unused session begins after the crowd's sessions. When it has ended, unused ones among them would have ended too.
          assert.equal((await handshake(4)).status, 200);
          await until('the unused session has gone', sessions, (count) => count <= 300);
          assert.equal(lost, 0);
          assert.equal(await sessions(), 300);
          sockets.forEach((socket) => socket.disconnect());
          await allGone();
        }));
    }
  });

  test('a client that was refused comes in later by itself', () =>
    withSessions(async ({ server, handshake }) => {
      const agent = new Agent({ keepAlive: true, maxSockets: 4 });
      await flood(() => handshake(4, { agent, from: '127.0.0.1' }), 10_000);
      agent.destroy();
      const socket = versions['4.8'](server.url, { forceNew: true, reconnectionDelay: 500, reconnectionDelayMax: 2000 });
      await within(new Promise((resolve) => socket.on('connect', resolve)), 'connection');
      socket.disconnect();
    }));

  test('what a session keeps of a large first request counts as what waits for its client', () =>
    withSessions(async ({ server, allGone, handshake }) => {
      await allGone();
      const before = await server.metric('castway_waiting_bytes');
      const large = { 'user-agent': 'x'.repeat(12 * 1024) };
      for (const eio of [3, 4]) assert.equal((await handshake(eio, { headers: large })).status, 200);
      assert.equal((await handshake(4, {})).status, 200);
      const counted = (await server.metric('castway_waiting_bytes')) - before;
      assert.ok(counted >= 20 * 1024 && counted <= 24 * 1024, `${counted} bytes`);
      await allGone();
      await until('it is given back', async () => (await server.metric('castway_waiting_bytes')) - before, (bytes) => bytes === 0);
    }));

  describe('sessions without a client', { concurrency: 1 }, () => {
    let on;
    before(async () => {
      on = questionsTo(await startServer(SETTINGS));
    });
    after(() => on?.server.close());

    describe('a session that nobody uses', { concurrency: true }, () => {
      const post = (eio, sid, packet) =>
        on.ask(`/socket.io/?EIO=${eio}&transport=polling&sid=${sid}`, { method: 'POST', headers: { 'content-type': 'text/plain' }, body: eio === 3 ? `${packet.length}:${packet}` : packet });
      const poll = (eio, sid) => on.ask(`/socket.io/?EIO=${eio}&transport=polling&sid=${sid}`);
      const lives = async (eio, sid) => (await post(eio, sid, eio === 3 ? '2' : '3')).status === 200;

      for (const eio of [3, 4]) {
        test(`goes after its handshake, Engine.IO ${eio}`, async () => {
          const sid = sidOf((await on.handshake(eio)).text);
          assert.ok(await lives(eio, sid));
          await until('it goes', () => lives(eio, sid), (alive) => !alive, { pause: 500 });
        });
        test(`goes after a poll, whatever it posts, Engine.IO ${eio}`, async () => {
          const sid = sidOf((await on.handshake(eio)).text);
          if (eio === 4) await post(eio, sid, '40');
          assert.equal((await poll(eio, sid)).status, 200);
          await until('it goes', () => lives(eio, sid), (alive) => !alive, { pause: 500 });
        });
        test(`stays while a poll waits, Engine.IO ${eio}`, async () => {
          const sid = sidOf((await on.handshake(eio)).text);
          if (eio === 4) await post(eio, sid, '40');
          await poll(eio, sid);
          const polling = poll(eio, sid);
          // An unused session begins after the poll, and ends before the server's ping answers the poll.
          const unused = sidOf((await on.handshake(eio)).text);
          await until('the unused session goes', () => lives(eio, unused), (alive) => !alive, { pause: 500 });
          assert.ok(await lives(eio, sid));
          await polling;
        });
      }
      test('that opened a WebSocket and ended it gives its place back', async () => {
        const raw = await rawWebSocket(on.server, '/socket.io/?EIO=4&transport=websocket', '127.0.3.1');
        await raw.until(/"sid"/);
        await raw.drop();
      });
    });

    test('all places come back', () => on.allGone());
  });
});
