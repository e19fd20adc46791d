// Front ends on other origins: what a browser asks and looks at before it lets them in.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import WebSocket from 'ws';
import { startServer } from './support/server.mjs';

const FOREIGN = 'https://front.example.org';
const polling = '/socket.io/?EIO=4&transport=polling';
const get = (server, path, origin) => fetch(server.url + path, { headers: origin ? { origin } : {} });
const preflight = (server, path, origin, method = 'POST') =>
  fetch(server.url + path, {
    method: 'OPTIONS',
    headers: { origin, 'access-control-request-method': method, 'access-control-request-headers': 'content-type' },
  });
const allowed = (response) => response.headers.get('access-control-allow-origin');
const paths = [polling, '/turn?username=u', '/api/info'];

describe('by default', () => {
  let server;
  before(async () => {
    server = await startServer({ CASTWAY_TURN_ACCESS: 'open' });
  });
  after(() => server?.close());

  for (const path of paths) {
    test(`any origin may call ${path}, without cookies`, async () => {
      const response = await get(server, path, FOREIGN);
      assert.equal(response.status, 200);
      assert.ok(['*', FOREIGN].includes(allowed(response)), `Access-Control-Allow-Origin: ${allowed(response)}`);
      assert.equal(response.headers.get('access-control-allow-credentials'), null);
      assert.equal(response.headers.get('set-cookie'), null);
    });

    test(`the preflight for ${path} is answered`, async () => {
      const response = await preflight(server, path, FOREIGN);
      assert.ok(response.ok, `status ${response.status}`);
      assert.ok(['*', FOREIGN].includes(allowed(response)));
      assert.match(response.headers.get('access-control-allow-methods') ?? '', /POST|\*/);
      assert.match(response.headers.get('access-control-allow-headers') ?? '', /content-type|\*/i);
      assert.equal(response.headers.get('access-control-allow-credentials'), null);
    });
  }

  test('a POST of the polling transport is let in as well', async () => {
    const opening = await (await get(server, polling, FOREIGN)).text();
    const { sid } = JSON.parse(opening.slice(1));
    const response = await fetch(`${server.url}${polling}&sid=${sid}`, { method: 'POST', body: '40', headers: { origin: FOREIGN, 'content-type': 'text/plain' } });
    assert.equal(await response.text(), 'ok');
    assert.ok(['*', FOREIGN].includes(allowed(response)));
  });
});

describe('with an allow-list', () => {
  let server;
  before(async () => {
    server = await startServer({ CASTWAY_TURN_ACCESS: 'open', CASTWAY_CORS_ORIGINS: `${FOREIGN}, http://127.0.0.1:5173` });
  });
  after(() => server?.close());

  for (const path of paths) {
    test(`${path} is open to the listed origins alone`, async () => {
      for (const origin of [FOREIGN, 'http://127.0.0.1:5173']) assert.equal(allowed(await get(server, path, origin)), origin);
      for (const origin of ['https://evil.example', 'https://front.example.org.evil.example', 'http://front.example.org', 'null']) {
        assert.equal(allowed(await get(server, path, origin)), null, origin);
        assert.equal(allowed(await preflight(server, path, origin)), null, `preflight from ${origin}`);
      }
    });
  }

  const upgrade = (origin) =>
    new Promise((resolve) => {
      const socket = new WebSocket(`${server.url.replace('http', 'ws')}/socket.io/?EIO=4&transport=websocket`, origin ? { origin } : {});
      socket.on('open', () => {
        socket.terminate();
        resolve('open');
      });
      socket.on('error', () => resolve('refused'));
    });

  test('a WebSocket, which knows no preflight, is refused to a foreign origin', async () => {
    assert.equal(await upgrade('https://evil.example'), 'refused');
    assert.equal(await upgrade(FOREIGN), 'open');
    assert.equal(await upgrade(server.url), 'open', "the server's own pages");
    assert.equal(await upgrade(), 'open', 'a client that is no browser');
  });
});
