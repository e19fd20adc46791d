// The descriptions of the APIs, where a setting serves them; and the errors of the REST API, which are problems (RFC 9457) whoever makes them.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { startServer, withServer } from './support/server.mjs';

const committed = (name) => JSON.parse(readFileSync(new URL(`../../docs/api/${name}.json`, import.meta.url)));
const FOREIGN = 'https://front.example.org';
const ask = async (server, path, init) => {
  const response = await fetch(`${server.url}${path}`, { redirect: 'manual', ...init });
  const text = await response.text();
  return { status: response.status, headers: response.headers, text, json: () => JSON.parse(text) };
};

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
    await withServer({ CASTWAY_API_DOCS: 'true' }, async (server) => {
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
    server = await startServer({ CASTWAY_TURN_ACCESS: 'users', CASTWAY_API_KEYS: 'a-key-of-sixteen-or-more', CASTWAY_CREDENTIALS_RATE: '10000' });
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
    ['/turn', {}, 400, 'AppError'],
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
