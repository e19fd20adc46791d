// Webhooks, against real servers: what is told, how it is signed, what becomes of it where nobody takes it, and where a request never goes.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { blocks } from '../documents/documents.mjs';
import { Web } from './support/apprtc.mjs';
import { ownAuthority } from './support/authority.mjs';
import { closeAll, connect } from './support/clients.mjs';
import { pair } from './support/dialects.mjs';
import { freePort } from './support/ports.mjs';
import { startServer, withServer } from './support/server.mjs';
import { until } from './support/wait.mjs';

const SECRET = '0123456789abcdef0123456789abcdef';
const example = fileURLToPath(new URL('../../clients/examples/hooks/receiver.mjs', import.meta.url));

afterEach(closeAll);

const signature = (timestamp, body) => `sha256=${createHmac('sha256', SECRET).update(`${timestamp}.${body}`).digest('hex')}`;

// A server of the operator. `answer(count, json)` says what it answers to the request: a status, a promise of one, or [status, headers, body].
class Receiver {
  requests = [];

  static async start({ port = 0, tls, answer = () => 204 } = {}) {
    const receiver = new Receiver();
    const serve = async (request, response) => {
      const body = Buffer.concat(await request.toArray()).toString();
      receiver.requests.push({ path: request.url, headers: request.headers, body, event: JSON.parse(body) });
      const [status, headers, text] = [await answer(receiver.requests.length, JSON.parse(body))].flat();
      response.writeHead(status, headers).end(text);
    };
    receiver.http = tls ? createSecureServer(tls, serve) : createServer(serve);
    receiver.http.listen(port, '127.0.0.1');
    await once(receiver.http, 'listening');
    receiver.port = receiver.http.address().port;
    return receiver;
  }

  get url() {
    return `http://127.0.0.1:${this.port}/hidden-path?key=hidden`;
  }

  get events() {
    return this.requests.map(({ event }) => event);
  }

  async close() {
    this.http.closeAllConnections();
    this.http.close();
    await once(this.http, 'close');
  }
}

const hooks = (url, more = {}) => ({ CASTWAY_WEBHOOK_URL: url, CASTWAY_WEBHOOK_SECRET: SECRET, ...more });

async function cast(server) {
  const tv = await connect(server, { label: 'TV' });
  const caster = await connect(server, { label: 'caster' });
  const { code } = await pair(tv, 'A', caster, 'A', { username: 'Ada' });
  return { tv, caster, code };
}

// A cast that begins and ends.
async function shortCast(server) {
  const { tv, caster, code } = await cast(server);
  caster.leave();
  tv.leave();
  return `${code.slice(0, 2)}•••${code.at(-1)}`;
}

test('casts and calls are told from their start to their end, over TLS, and signed', async () => {
  const authority = ownAuthority(['DNS:localhost']);
  const receiver = await Receiver.start({ tls: { cert: readFileSync(authority.cert), key: readFileSync(authority.key) } });
  try {
    await withServer(hooks(`https://localhost:${receiver.port}/hook?key=1`, { SSL_CERT_FILE: authority.ca }), async (server) => {
      const code = await shortCast(server);
      await until('a start and an end', () => receiver.requests.length === 2);
      const [caller, callee] = [new Web(server.url), new Web(server.url)];
      assert.ok((await caller.join('meeting-room')) && (await callee.join('meeting-room')));
      await callee.hangUp();
      await until('those of the call', () => receiver.requests.length === 4);
      for (const { path, headers, body } of receiver.requests) {
        assert.equal(path, '/hook?key=1');
        assert.equal(headers['x-castway-signature'], signature(headers['x-castway-timestamp'], body));
        assert.ok(Math.abs(Date.now() / 1000 - headers['x-castway-timestamp']) < 300);
        assert.match(headers['user-agent'], /^castway\/\d/);
        assert.deepEqual([headers['content-type'], headers.host, headers.cookie], ['application/json', `localhost:${receiver.port}`, undefined]);
      }
      const [began, ended, callBegan, callEnded] = receiver.events;
      assert.deepEqual([began.event, began.code, began.tv, began.caster], ['cast_started', code, '127.0.0.1', '127.0.0.1']);
      assert.deepEqual([ended.event, ended.code, ended.cast, ended.route, ended.reason], ['cast_ended', code, began.cast, null, 'caster_left']);
      const documented = JSON.parse(blocks('docs/operate.md').find(({ text }) => text.includes('"cast_ended"')).text);
      assert.deepEqual(Object.keys(ended).sort(), Object.keys(documented).sort());
      assert.equal(typeof ended.seconds, 'number');
      assert.deepEqual([callBegan.event, callBegan.room, callBegan.members], ['call_started', 'me•••m', ['127.0.0.1', '127.0.0.1']]);
      assert.deepEqual([callEnded.event, callEnded.call, callEnded.reason], ['call_ended', callBegan.call, 'left']);
      assert.equal(new Set(receiver.events.map(({ id }) => id)).size, 4, 'each event has an id');
      assert.ok(receiver.events.every(({ at }) => Math.abs(Date.now() / 1000 - at) < 300));
      await until('all are counted', () => server.metric('castway_webhooks_total{result="delivered"}'), (count) => count === 4);
    });
  } finally {
    await receiver.close();
    authority.close();
  }
});

test('a certificate that this machine does not trust is not told anything', async () => {
  const authority = ownAuthority(['DNS:localhost']);
  const receiver = await Receiver.start({ tls: { cert: readFileSync(authority.cert), key: readFileSync(authority.key) } });
  await withServer(hooks(`https://localhost:${receiver.port}/`), async (server) => {
    await shortCast(server);
    await until('a line', () => server.logged(/a webhook does not take events.*its certificate/).length === 1);
    assert.equal(receiver.requests.length, 0);
  });
  await receiver.close();
  authority.close();
});

test('an event comes again after an error and after a refused connection, and the others after it', async () => {
  const receiver = await Receiver.start({ answer: (count) => (count === 1 ? 500 : 204) });
  await withServer(hooks(receiver.url), async (server) => {
    await shortCast(server);
    await until('the first event twice, and the second one', () => receiver.requests.length === 3);
    const [first, again, second] = receiver.requests;
    assert.deepEqual([first.event, again.event.id], [again.event, first.event.id]);
    assert.notEqual(second.event.id, first.event.id);
    const { port } = receiver;
    await receiver.close();
    await shortCast(server);
    await until('a refused connection', () => server.metric('castway_webhooks_total{result="failed"}'), (count) => count >= 2);
    const next = await Receiver.start({ port });
    await until('what has waited', () => next.requests.length === 2);
    assert.deepEqual(next.events.map(({ event }) => event), ['cast_started', 'cast_ended']);
    await until('a line', () => server.logged(/a webhook takes events again/).length >= 1);
    assert.equal(await server.metric('castway_webhooks_total{result="lost"}'), 0);
    for (const secret of ['hidden', SECRET]) assert.equal(server.log.includes(secret), false, `the log has ${secret}`);
    await next.close();
  });
});

test('a redirect is not followed', async () => {
  const other = await Receiver.start();
  const receiver = await Receiver.start({ answer: () => [307, { location: other.url }] });
  await withServer(hooks(receiver.url), async (server) => {
    await shortCast(server);
    await until('a second attempt', () => receiver.requests.length >= 2);
    assert.equal(other.requests.length, 0);
    assert.match(server.logged(/a webhook does not take events/)[0], /it answers with 307/);
  });
  await Promise.all([other, receiver].map((one) => one.close()));
});

test('a receiver that hangs holds up neither casts nor other receivers nor the end', async () => {
  const hanging = await Receiver.start({ answer: () => new Promise(() => {}) });
  const other = await Receiver.start();
  await withServer(hooks(`${hanging.url}, ${other.url}`), async (server) => {
    for (let count = 1; count <= 5; count += 1) {
      await shortCast(server);
      await until('all events', () => other.requests.length === 2 * count);
    }
    assert.equal(hanging.requests.length, 1);
    assert.equal((await server.stop()).code, 0);
    assert.match(server.log, /events for webhooks are lost/);
  });
  await Promise.all([other, hanging].map((one) => one.close()));
});

test('a user who signs in to cast is told', async () => {
  const receiver = await Receiver.start();
  await withServer(hooks(receiver.url, { CASTWAY_CAST_ACCESS: 'users' }), async (server) => {
    await server.addUser('alice');
    const tv = await connect(server, { label: 'TV' });
    const { code } = await tv.ask('TV_INIT');
    const caster = await connect(server, { label: 'caster' });
    assert.equal((await caster.ask('JOIN_ROOM', code, { auth: { name: 'alice', password: 'alice-password-1' } })).ok, true);
    const began = await until('the start', () => receiver.events[0]);
    assert.deepEqual([began.event, began.user], ['cast_started', 'alice']);
  });
  await receiver.close();
});

test('what ends with the server is told before its end', async () => {
  const receiver = await Receiver.start();
  await withServer(hooks(receiver.url, { CASTWAY_DRAIN: '0' }), async (server) => {
    await cast(server);
    await until('the start', () => receiver.requests.length === 1);
    await server.stop();
    assert.deepEqual(receiver.events.map(({ event, reason }) => [event, reason]), [['cast_started', undefined], ['cast_ended', 'server_stopped']]);
  });
  await receiver.close();
});

test('a certificate that can not be reloaded, and a connection that failed, are told', async () => {
  const authority = ownAuthority();
  const receiver = await Receiver.start();
  await withServer(hooks(receiver.url, authority.settings), async (server) => {
    writeFileSync(authority.cert, 'no certificate');
    process.kill(server.pid, 'SIGHUP');
    const failing = await until('the certificate', () => receiver.events.find(({ event }) => event === 'certificate_failing'));
    assert.deepEqual(failing.names, ['localhost', '127.0.0.1']);
    assert.ok(failing.daysLeft >= 28 && failing.daysLeft <= 30 && failing.problem.length > 10, JSON.stringify(failing));

    const { caster } = await cast(server);
    const failed = { outcome: 'failed', servers: [], local: { host: 1 }, remote: { host: 1 }, ice: 'failed', seconds: 9 };
    const { verdict } = await caster.ask('CAST_REPORT', failed);
    await caster.ask('CAST_REPORT', { send: true });
    const told = await until('the report', () => receiver.events.find(({ event }) => event === 'check_failed'));
    assert.deepEqual([told.address, told.verdict], ['127.0.0.1', verdict.code]);
    assert.ok(told.sentence.length > 20, told.sentence);
  });
  await receiver.close();
  authority.close();
});

test('the operator’s server decides who may cast and call, and nobody may while it is down', async () => {
  const decide = (token) => (token?.startsWith('good') ? { allow: true } : { allow: false, reason: 'Please sign in first.' });
  const receiver = await Receiver.start({ answer: (_, { token }) => [200, {}, JSON.stringify(decide(token))] });
  const settings = { CASTWAY_AUTHORIZE_URL: receiver.url, CASTWAY_WEBHOOK_SECRET: SECRET, CASTWAY_AUTHORIZE: 'caster,call' };
  await withServer(settings, async (server) => {
    const tv = await connect(server, { label: 'TV' });
    const { code } = await tv.ask('TV_INIT');
    assert.equal(receiver.requests.length, 0, 'TVs are not asked about');
    const caster = await connect(server, { label: 'caster' });
    const join = (token) => caster.ask('JOIN_ROOM', code, { username: 'Ada', auth: { token } });
    const refused = await join('bad-token');
    assert.deepEqual([refused.ok, refused.error.code], [false, 'refused']);
    assert.match(refused.error.message, /Please sign in first\./);
    assert.equal((await join('good-token')).ok, true);
    const { headers, body, event } = receiver.requests[1];
    assert.deepEqual([event.kind, event.code, event.name, event.user, event.token, event.address], ['caster', code, 'Ada', null, 'good-token', '127.0.0.1']);
    assert.equal(headers['x-castway-signature'], signature(headers['x-castway-timestamp'], body));
    const call = async (query) => (await (await fetch(`${server.url}/join/meeting${query}`, { method: 'POST' })).json()).result;
    assert.notEqual(await call(''), 'SUCCESS');
    assert.equal(await call('?token=good-call'), 'SUCCESS');
    assert.deepEqual(receiver.events.slice(2).map(({ kind, room, token }) => [kind, room, token]), [['call', 'meeting', null], ['call', 'meeting', 'good-call']]);
    await receiver.close();
    caster.leave();
    const other = await connect(server, { label: 'another caster' });
    const answer = await other.ask('JOIN_ROOM', code, { username: 'Bea', auth: { token: 'good-too' } });
    assert.deepEqual([answer.ok, answer.error.code], [false, 'unavailable']);
    assert.equal(await server.metric('castway_authorizations_total{result="down"}'), 1);
    assert.equal(/good-|bad-|hidden/.test(server.log), false, 'no token and no path is logged');
  });
});

test('a start is refused with a URL that a request must not go to, or without a secret, and shows neither', async () => {
  const refused = async (settings) => {
    const error = await startServer(settings).then((server) => server.close(), (failure) => failure);
    assert.ok(error instanceof Error, 'it has started');
    assert.equal(/hidden|0123456789/.test(error.message), false, error.message);
    return error.message;
  };
  assert.match(await refused(hooks('http://app.example.org/hidden')), /CASTWAY_WEBHOOK_URL \(value not shown\): expected https:\/\/ to another machine/);
  assert.match(await refused(hooks('https://10.0.0.7/hidden')), /CASTWAY_HOOKS_PRIVATE=true/);
  assert.match(await refused(hooks('https://app.example.org/hidden', { CASTWAY_WEBHOOK_SECRET: '0123456789' })), /CASTWAY_WEBHOOK_SECRET \(value not shown\): expected a secret of at least 16/);
  assert.match(await refused({ CASTWAY_AUTHORIZE_URL: 'http://127.0.0.1:9/hidden' }), /CASTWAY_WEBHOOK_SECRET \(value not shown\)/);
});

test('the example verifies what it gets, with a secret from a file', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'castway-hooks-'));
  const file = join(folder, 'secret');
  writeFileSync(file, `${SECRET}\n`, { mode: 0o600 });
  const port = await freePort();
  const receiver = spawn(process.execPath, [example, String(port)], { env: { ...process.env, CASTWAY_WEBHOOK_SECRET: SECRET }, stdio: ['ignore', 'pipe', 'inherit'] });
  let printed = '';
  receiver.stdout.on('data', (chunk) => (printed += chunk));
  const lines = () => printed.split('\n').filter(Boolean).map((line) => JSON.parse(line));
  try {
    const url = `http://127.0.0.1:${port}/events`;
    await withServer({ CASTWAY_WEBHOOK_URL: url, CASTWAY_WEBHOOK_SECRET_FILE: file }, async (server) => {
      const code = await shortCast(server);
      await until('two events', () => lines().length === 2);
      assert.deepEqual(lines().map((event) => [event.event, event.code]), [['cast_started', code], ['cast_ended', code]]);
    });
    const send = (path, message, { timestamp = Math.floor(Date.now() / 1000), signed } = {}) => {
      const body = JSON.stringify(message);
      return fetch(new URL(path, url), { method: 'POST', body, headers: { 'x-castway-timestamp': timestamp, 'x-castway-signature': signed ?? signature(timestamp, body) } });
    };
    const event = { id: '7', event: 'cast_started' };
    const old = Math.floor(Date.now() / 1000) - 400;
    const refused = await Promise.all([send('/events', event, { signed: 'sha256=00' }), send('/events', event, { signed: '' }), send('/events', event, { timestamp: old })]);
    assert.deepEqual(refused.map(({ status }) => status), [401, 401, 401]);
    assert.deepEqual([(await send('/events', event)).status, (await send('/events', event)).status], [204, 204]);
    const ask = async (token) => (await send('/authorize', { kind: 'caster', token })).json();
    assert.deepEqual(await ask('a token that your site gave out'), { allow: true });
    assert.deepEqual(await ask(null), { allow: false, reason: 'Please sign in first.' });
    assert.equal(lines().filter(({ id }) => id === '7').length, 1, 'a repeated event counts once');
  } finally {
    receiver.kill();
    rmSync(folder, { recursive: true, force: true });
  }
});
