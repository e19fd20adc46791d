// The descriptions of the APIs, where a setting serves them; and the errors of the REST API, which are problems (RFC 9457) whoever makes them.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Channel } from './support/apprtc.mjs';
import { newKey } from './support/check.mjs';
import { closeAll, connect } from './support/clients.mjs';
import { committed, problems, problemsOfAnswer, problemsOfEvent } from './support/described.mjs';
import { exchange, pair } from './support/dialects.mjs';
import { startServer, withServer } from './support/server.mjs';

const FOREIGN = 'https://front.example.org';
const ask = async (server, path, init) => {
  const response = await fetch(`${server.url}${path}`, { redirect: 'manual', ...init });
  const text = await response.text();
  return { status: response.status, headers: response.headers, text, json: () => JSON.parse(text) };
};

const API_KEY = 'a-key-of-sixteen-or-more';
// docs/api/openapi.json describes them all.
const PROVIDERS = { CASTWAY_PROVIDER_APIS: 'cloudflare,twilio,metered,xirsys', CASTWAY_API_KEYS: API_KEY };

function isProblem({ status, headers, json }, expected, error, what) {
  assert.equal(status, expected, what);
  assert.equal(headers.get('content-type'), 'application/problem+json', what);
  assert.equal(headers.get('cache-control'), 'no-store', what);
  const body = json();
  assert.equal(body.status, status, what);
  assert.equal(body.type, `tag:castway.example,2026:${error}`, what);
  assert.ok(body.title.length > 2 && body.detail.length > 5, what);
  const { code = body.error, message = body.message } = body.error.code ? body.error : {};
  assert.deepEqual([code, message], [error, body.detail], what);
  return body;
}

describe('the descriptions', () => {
  test('are served where a setting says so, to pages of other origins too', async () => {
    await withServer({ ...PROVIDERS, CASTWAY_API_DOCS: 'true' }, async (server) => {
      const { openapi, asyncapi } = (await ask(server, '/api/docs')).json();
      assert.deepEqual([openapi, asyncapi], ['/api/docs/openapi.json', '/api/docs/asyncapi.json']);
      for (const [path, name] of [[openapi, 'openapi'], [asyncapi, 'asyncapi']]) {
        const answer = await ask(server, path, { headers: { origin: FOREIGN } });
        assert.deepEqual([answer.status, answer.headers.get('content-type')], [200, 'application/json'], path);
        assert.match(answer.headers.get('cache-control'), /max-age=\d+/);
        assert.ok(['*', FOREIGN].includes(answer.headers.get('access-control-allow-origin')), path);
        assert.deepEqual(answer.json(), committed(name), path);
      }
    });
  });

  test('have those APIs of other providers that the server speaks', async () => {
    const ofProviders = (document) => Object.keys(document.paths).filter((path) => /^\/(v1\/|api\/v1|2010-04-01|_turn)/.test(path));
    const all = ofProviders(committed('openapi'));
    for (const [names, count] of [['', 0], ['cloudflare', 3], ['twilio,xirsys', 2]]) {
      await withServer({ ...PROVIDERS, CASTWAY_PROVIDER_APIS: names, CASTWAY_API_DOCS: 'true' }, async (server) => {
        const paths = ofProviders((await ask(server, '/api/docs/openapi.json')).json());
        assert.deepEqual([paths.length, paths.filter((path) => !all.includes(path))], [count, []], names);
      });
    }
    assert.equal(all.length, 8);
  });

  test('name the base path', async () => {
    await withServer({ CASTWAY_API_DOCS: 'true', CASTWAY_PUBLIC_URL: 'http://proxy.example.org/castway' }, async (server) => {
      assert.equal((await ask(server, '/castway/api/docs')).json().openapi, '/castway/api/docs/openapi.json');
      assert.equal((await ask(server, '/castway/api/docs/openapi.json')).json().servers[0].url, '/castway/');
    });
  });

  test('are off by default', async () => {
    await withServer({}, async (server) => {
      for (const path of ['/api/docs', '/api/docs/openapi.json', '/api/docs/asyncapi.json']) {
        isProblem(await ask(server, path), 404, 'NotFound', path);
      }
    });
  });
});

describe('errors are problems', () => {
  let server;
  before(async () => {
    server = await startServer({ CASTWAY_TURN_ACCESS: 'users', CASTWAY_API_KEYS: API_KEY, CASTWAY_CREDENTIALS_RATE: '10000' });
  });
  after(() => server?.stop());

  const json = (value, method = 'POST') => ({ method, body: JSON.stringify(value), headers: { 'content-type': 'application/json' } });
  const large = { method: 'POST', body: 'x'.repeat(9000), headers: { 'content-type': 'application/x-www-form-urlencoded' } };
  const report = { method: 'POST', body: '{"outcome":"connected"}' };
  const CASES = [
    ['/api', {}, 404, 'NotFound'],
    ['/api/nothing', {}, 404, 'NotFound'],
    ['/api/nothing/at/all', { method: 'POST', body: 'x' }, 404, 'NotFound'],
    ['/v1alpha/nothing', {}, 404, 'NotFound'],
    ['/api/nothing', { method: 'PUT', body: 'x' }, 404, 'NotFound'],
    ['/api/info', { method: 'POST', body: 'x' }, 405, 'MethodNotAllowed'],
    ['/api/info/', { method: 'DELETE' }, 405, 'MethodNotAllowed'],
    ['/api/sign-in', {}, 405, 'MethodNotAllowed'],
    ['/api/usage', { method: 'PATCH' }, 405, 'MethodNotAllowed'],
    ['/turn', { method: 'DELETE' }, 405, 'MethodNotAllowed'],
    ['/turn', { method: 'PUT', body: 'x' }, 405, 'MethodNotAllowed'],
    ['/v1alpha/iceconfig', { method: 'DELETE' }, 405, 'MethodNotAllowed'],
    ['/check/start', {}, 405, 'MethodNotAllowed'],
    // Of other providers' APIs, which are off.
    ['/v1/turn/keys/x/credentials/generate', {}, 404, 'NotFound'],
    ['/v1/turn/keys/x', { method: 'PUT' }, 404, 'NotFound'],
    ['/2010-04-01/Accounts.json', {}, 404, 'NotFound'],
    ['/2010-04-01/Accounts/x/Calls.json', { method: 'POST', body: 'x' }, 404, 'NotFound'],
    ['/api/v1/turn/credentials', {}, 404, 'NotFound'],
    ['/_turn/room', { method: 'PUT' }, 404, 'NotFound'],
    ['/turn?username=alice', {}, 401, 'Unauthorized'],
    ['/turn?username=alice&ttl=x', {}, 400, 'BadRequest'],
    [`/turn?username=${'x'.repeat(5000)}`, {}, 413, 'TooLarge'],
    ['/turn', large, 413, 'TooLarge'],
    ['/api/usage', {}, 401, 'Unauthorized'],
    ['/api/sign-in', json({ name: 'alice', password: 'wrong' }), 404, 'off'],
    ['/check/start', json({}), 400, 'BadRequest'],
    ['/check/start', json({ key: 'WRONG' }), 403, 'UnknownKey'],
    ['/check/poll', json({ session: 'none' }), 404, 'NoSession'],
    ['/report/room/12345678', report, 404, 'unknown_client'],
    ['/report/room/12345678', { method: 'POST', body: 'x' }, 400, 'malformed_payload'],
  ];
  for (const [path, init, status, error] of CASES) {
    test(`${init.method ?? 'GET'} ${path.slice(0, 40)}: ${status} ${error}`, async () => {
      const answer = await ask(server, path, init);
      isProblem(answer, status, error, path);
      assert.equal(answer.headers.has('allow'), status === 405, `Allow: ${answer.headers.get('allow')}`);
    });
  }

  test('a client that asks too often learns in the header and in the body how long to wait', async () => {
    await withServer({ CASTWAY_TURN_ACCESS: 'open', CASTWAY_CREDENTIALS_RATE: '1' }, async (slow) => {
      assert.equal((await ask(slow, '/turn?username=a')).status, 200);
      const answer = await ask(slow, '/turn?username=a');
      const { retryAfter } = isProblem(answer, 429, 'TooManyRequests');
      assert.ok(retryAfter > 0);
      assert.equal(answer.headers.get('retry-after'), String(retryAfter));
    });
  });

  test("what no handler makes is a problem in other providers' APIs, too", async () => {
    await withServer(PROVIDERS, async (other) => {
      for (const [path, methods] of [
        ['/v1/turn/keys/x/credentials/generate-ice-servers', ['GET', 'PUT', 'DELETE']], ['/2010-04-01/Accounts/x/Tokens.json', ['GET', 'PUT', 'DELETE']],
        ['/api/v1/turn/credentials', ['POST', 'PUT', 'DELETE']], ['/api/v1/turn/credential', ['GET', 'PUT']], ['/_turn/my/path', ['GET', 'POST', 'DELETE']],
      ]) {
        for (const method of methods) {
          const answer = await ask(other, path, { method });
          isProblem(answer, 405, 'MethodNotAllowed', `${method} ${path}`);
          assert.ok(answer.headers.get('allow'), `${method} ${path}`);
        }
      }
      isProblem(await ask(other, '/2010-04-01/Accounts/x/Calls.json', { method: 'POST' }), 404, 'NotFound');
      // Xirsys has PUT alone, so that a room of Collider may have the name of its path.
      assert.equal((await ask(other, '/_turn/12345678', { method: 'POST', body: 'message' })).text, 'OK\n');
    });
  });

  test("Collider keeps its rooms, whatever their names, and AppRTC's clients get their own errors", async () => {
    for (const room of ['api', 'turn', 'check', 'v1alpha']) {
      const posted = await ask(server, `/${room}/12345678`, { method: 'POST', body: 'message' });
      assert.deepEqual([posted.status, posted.text], [200, 'OK\n'], room);
      const gone = await ask(server, `/${room}/12345678`, { method: 'DELETE' });
      assert.deepEqual([gone.status, gone.text], [200, 'OK\n'], room);
    }
    const answer = await ask(server, '/message/room/12345678', { method: 'POST', body: 'x' });
    assert.deepEqual([answer.status, answer.json()], [200, { result: 'UNKNOWN_ROOM' }]);
    assert.equal(answer.headers.get('content-type'), 'application/json');
    assert.deepEqual([(await ask(server, '/join/a%20b', { method: 'POST' })).status, (await ask(server, '/join/a')).status], [404, 405]);
  });
});

describe('answers and events are as they are described', () => {
  const KEY = { authorization: `Bearer ${API_KEY}` };
  const openapi = committed('openapi');
  const asyncapi = committed('asyncapi');
  let server;
  before(async () => {
    server = await startServer({ ...PROVIDERS, CASTWAY_API_DOCS: 'true', CASTWAY_CAST_ACCESS: 'users' });
    await server.addUser('alice');
  });
  after(() => {
    closeAll();
    return server?.stop();
  });

  const seen = new Set();
  // Asks, and returns the body of the answer, which has to be the described one.
  async function call(method, template, { path = template, query = '', body, headers = {}, status = 200 } = {}) {
    const sent = typeof body === 'object' && !(body instanceof URLSearchParams) ? JSON.stringify(body) : body;
    const kind = typeof body === 'object' && sent !== body ? { 'content-type': 'application/json' } : {};
    const answer = await ask(server, path + query, { method, body: sent, headers: { ...kind, ...headers } });
    const type = answer.headers.get('content-type');
    const text = /json/.test(type) ? answer.json() : answer.text;
    assert.equal(answer.status, status, `${method} ${path}: ${answer.text.slice(0, 300)}`);
    assert.deepEqual(problemsOfAnswer(openapi, method, template, { status, type, body: text }), []);
    seen.add(`${method} ${template}`);
    return text;
  }

  test('credentials, facts and usage', async () => {
    await call('GET', '/turn', { query: '?username=alice&ttl=60' });
    await call('POST', '/turn', { body: new URLSearchParams({ username: 'alice' }) });
    await call('POST', '/turn', { body: { username: 'alice', password: 'alice-password-1' } });
    await call('POST', '/turn', { query: '?username=alice' });
    await call('POST', '/turn', { query: '?username=alice', body: { password: 'alice-password-1' } });
    await call('POST', '/turn', { body: {}, status: 400 });
    await call('POST', '/turn', { status: 400 });
    for (const method of ['GET', 'POST']) {
      const { iceServers } = await call(method, '/v1alpha/iceconfig', { query: '?tt=udp' });
      assert.ok(iceServers.length > 0);
      await call(method, '/v1alpha/iceconfig', { query: '?tt=none' });
      await call(method, '/v1alpha/turn');
    }
    for (const path of ['/api/info', '/healthz', '/readyz', '/metrics', '/params', '/api/docs', '/api/docs/openapi.json', '/api/docs/asyncapi.json']) {
      await call('GET', path);
    }
    await call('GET', '/api/usage', { headers: KEY, query: '?months=1' });
    await call('GET', '/api/usage', { status: 401 });
    await call('POST', '/api/sign-in', { body: { name: 'alice', password: 'alice-password-1' } });
    await call('POST', '/api/sign-in', { body: { name: 'alice', password: 'wrong' }, status: 401 });
  });

  test("credentials by other providers' APIs", async () => {
    const basic = { authorization: `Basic ${Buffer.from(`x:${API_KEY}`).toString('base64')}` };
    const ofKey = (name) => [`/v1/turn/keys/{id}/credentials/${name}`, { path: `/v1/turn/keys/shop/credentials/${name}`, headers: KEY }];
    for (const name of ['generate-ice-servers', 'generate']) {
      const [template, how] = ofKey(name);
      await call('POST', template, { ...how, body: { ttl: 60 }, status: 201 });
      await call('POST', template, { ...how, body: { ttl: 0 }, status: 400 });
      await call('POST', template, { ...how, headers: {}, status: 401 });
    }
    await call('POST', ofKey('{username}/revoke')[0], { path: '/v1/turn/keys/shop/credentials/1:x/revoke', status: 501 });
    const tokens = '/2010-04-01/Accounts/{sid}/Tokens.json';
    const path = tokens.replace('{sid}', 'AC1');
    await call('POST', tokens, { path, headers: basic, body: new URLSearchParams({ Ttl: '60' }), status: 201 });
    await call('POST', tokens, { path, headers: basic, body: new URLSearchParams({ Ttl: 'x' }), status: 400 });
    await call('POST', tokens, { path, status: 401 });
    const { apiKey } = await call('POST', '/api/v1/turn/credential', { query: `?secretKey=${API_KEY}`, body: { label: 'kiosk' } });
    await call('POST', '/api/v1/turn/credential', { query: '?secretKey=x', status: 401 });
    await call('DELETE', '/api/v1/turn/credential', { status: 501 });
    await call('POST', '/api/v1/turn/credential/disable', { status: 501 });
    await call('GET', '/api/v1/turn/credentials', { query: `?apiKey=${apiKey}` });
    await call('GET', '/api/v1/turn/credentials', { status: 400 });
    for (const format of ['urls', 'list']) await call('PUT', '/_turn/{channel}', { path: '/_turn/shop', headers: basic, body: { format, expire: '60' } });
    await call('PUT', '/_turn/{channel}', { path: '/_turn/shop', status: 401 });
  });

  test('a check with two devices', async () => {
    const { session, digits } = await call('POST', '/check/start', { body: { key: await newKey(server) } });
    const second = await call('POST', '/check/join', { body: { digits } });
    await call('POST', '/check/signal', { body: { session, data: 'hello' } });
    assert.deepEqual((await call('POST', '/check/poll', { body: { session: second.session, peer: true } })).messages, ['hello']);
    const report = { paths: [{ kind: 'udp', url: 'turn:127.0.0.1:3478?transport=udp', code: 701 }] };
    await call('POST', '/check/result', { body: { session, report } });
  });

  test('a call of AppRTC, and what Collider delivers', async () => {
    const join = (status, room = 'described') => call('POST', '/join/{room}', { path: `/join/${room}`, status });
    const { params } = await join(200);
    const { client_id: second, wss_url: url } = (await join(200)).params;
    assert.equal((await join(200)).result, 'FULL');
    await call('POST', '/join/{room}', { path: '/join/a%20b', status: 404 });
    const of = (action, client) => ({ path: `/${action}/described/${client}` });
    const channel = await Channel.open(url);
    channel.register('described', second);
    await call('POST', '/message/{room}/{client}', { ...of('message', params.client_id), body: 'hello' });
    const frame = await channel.next();
    assert.equal(frame.msg, 'hello');
    assert.deepEqual(problems(asyncapi, asyncapi.components.messages.colliderDelivery.payload, frame), []);
    await call('POST', '/report/{room}/{client}', { ...of('report', params.client_id), body: { outcome: 'gathered', bytes: 7.0 } });
    await call('POST', '/report/{room}/{client}', { ...of('report', 'nobody'), body: { outcome: 'gathered' }, status: 404 });
    await call('POST', '/report/{room}/{client}', { ...of('report', '__proto__'), body: { outcome: 'gathered' }, status: 404 });
    await call('POST', '/leave/{room}/{client}', of('leave', params.client_id));
    await call('POST', '/bye/{room}/{client}', of('bye', second));
    await call('POST', '/a', { body: { type: 'event', request_time_ms: 1, event: { event_type: 3, event_time_ms: 2 } } });
    channel.socket.close();
    await channel.gone;
  });

  test('every operation was asked for', () => {
    const all = Object.entries(openapi.paths).flatMap(([path, methods]) => Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`));
    assert.deepEqual(all.filter((one) => !seen.has(one)), []);
  });

  for (const [tvDialect, casterDialect] of [['A', 'A'], ['B', 'B'], ['A', 'B'], ['B', 'A']]) {
    test(`the events of a cast, dialect ${casterDialect} to ${tvDialect}`, async () => {
      await withServer({}, async (open) => {
        const sent = [];
        const peer = async () => {
          const one = await connect(open);
          const { emit } = one.socket;
          one.socket.emit = (name, ...args) => {
            const record = { name, args: args.filter((arg) => typeof arg !== 'function') };
            sent.push(record);
            const listened = args.map((arg) => (typeof arg === 'function' ? (...answer) => arg(...(record.answer = answer)) : arg));
            return emit.call(one.socket, name, ...listened);
          };
          return one;
        };
        const [tv, caster] = [await peer(), await peer()];
        const { code } = await pair(tv, tvDialect, caster, casterDialect, { acks: true, username: 'guest' });
        await exchange(tv, tvDialect, caster, casterDialect, { acks: true });
        await caster.ask('CAST_REPORT', { outcome: 'connected', route: 'direct' });
        await caster.ask('CAST_STATE', { paused: true });
        await caster.ask('CHECK_CODE', code);
        await caster.ask('CHECK_CODE', 'WRONG1');
        await tv.ask('END_CAST');
        tv.emit('CLIENT_OFFER_TO_SERVER', 'v=0');
        await tv.nextArgs('CAST_ERROR');
        await caster.settle();
        const heard = [tv, caster].flatMap(({ log }) => log.map(([name, ...args]) => problemsOfEvent(asyncapi, 'cast', 'send', name, args)));
        assert.deepEqual(heard.flat(), []);
        assert.deepEqual(sent.flatMap(({ name, args, answer }) => problemsOfEvent(asyncapi, 'cast', 'receive', name, args, answer)), []);
        closeAll();
      });
    });
  }
});
