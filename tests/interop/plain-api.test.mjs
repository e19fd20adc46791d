// HTTP requests to a server whose certificate clients trust: the redirect says in its body where to go, a setting serves the API without TLS to
// named networks, and no tunnel or proxy on the same machine passes for this machine or for such a network.
import assert from 'node:assert/strict';
import { connect as connectTcp, createServer } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { ownAuthority } from './support/authority.mjs';
import { NAME } from './support/clients.mjs';
import { run } from './support/process.mjs';
import { isInstalled, nginx, startProxy } from './support/proxy.mjs';
import { Raw, rawGet } from './support/raw.mjs';
import { withServer } from './support/server.mjs';

let authority;
before(() => {
  authority = ownAuthority([`DNS:${NAME}`]);
});
after(() => authority?.close());

const withTls = (settings, body) => withServer({ ...authority.settings, CASTWAY_TURN_ACCESS: 'open', ...settings }, body);
const HOST = { host: NAME };

const API = [
  ['GET', '/turn?username=alice&key=0123456789'],
  ['POST', '/turn'],
  ['GET', '/v1alpha/iceconfig?key=0123456789'],
  ['POST', '/v1alpha/iceconfig'],
  ['POST', '/v1alpha/turn'],
  ['GET', '/api/info'],
  ['POST', '/join/123'],
  ['POST', '/message/123/456'],
  ['POST', '/leave/123/456'],
  ['POST', '/bye/123/456'],
  ['GET', '/params'],
  ['POST', '/a/'],
  ['POST', '/123/456'],
  ['DELETE', '/123/456'],
  ['GET', '/socket.io/?EIO=4&transport=polling'],
];

// A connection as a trusted proxy makes it, for a client that it names by the PROXY protocol. Resolves to the answer as text.
async function announced(server, client, method, path, headers = {}) {
  const raw = new Raw(server);
  await raw.send(`PROXY TCP4 ${client} 192.0.2.1 40000 80\r\n`);
  await raw.request(method, path, { Host: NAME, Connection: 'close', ...headers });
  await raw.end();
  return raw.heard.toString();
}

describe('the redirect to HTTPS', () => {
  for (const accept of ['*/*', 'text/html,*/*;q=0.8']) {
    test(`names the URL in JSON for each path of the API, accept: ${accept}`, () =>
      withTls({}, async (server) => {
        for (const [method, path] of API) {
          const { status, headers, body } = await rawGet(`${server.url}${path}`, { ...HOST, accept }, method);
          const url = `https://${NAME}:${server.httpsPort}${path}`;
          assert.deepEqual([status, headers.location, headers['cache-control']], [308, url, 'no-store'], path);
          const said = JSON.parse(body);
          assert.deepEqual([said.error, said.url], ['HttpsRequired', url.split('?')[0]], path);
          assert.ok(said.message.includes(said.url), said.message);
          assert.ok(!body.includes('0123456789'), 'a key does not come into the logs of clients');
        }
      }));
  }

  test("is an answer that libcurl without redirects can show, as Janus' client is", () =>
    withTls({}, async (server) => {
      const { output } = await run('curl', ['-s', '-H', `Host: ${NAME}`, '-X', 'POST', `${server.url}/turn?service=turn&username=janus`]);
      assert.equal(JSON.parse(output).url, `https://${NAME}:${server.httpsPort}/turn`);
    }));

  test('is a page for browsers', () =>
    withTls({}, async (server) => {
      const { status, headers, body } = await rawGet(`${server.url}/cast?code=%22&x=1`, { ...HOST, accept: 'text/html' });
      assert.deepEqual([status, headers['content-security-policy']], [308, "default-src 'none'"]);
      assert.ok(body.includes(`<a href="https://${NAME}:${server.httpsPort}/cast?code=%22&amp;x=1">`), body.toString());
    }));

  test('is there for none of the paths of monitors', () =>
    withTls({}, async (server) => {
      for (const path of ['/healthz', '/readyz']) assert.equal((await rawGet(`${server.url}${path}`, HOST)).status, 200);
    }));
});

test('named networks use the API without TLS, and HTTPS for pages', () =>
  withTls({ CASTWAY_PLAIN_API: '10.1.0.0/16', CASTWAY_TRUSTED_PROXIES: '127.0.0.1' }, async (server) => {
    for (const [method, path] of API) {
      const inside = await announced(server, '10.1.2.3', method, path);
      assert.match(inside, /^HTTP\/1\.1 [245]/, `${method} ${path}`);
      assert.match(await announced(server, '10.2.2.3', method, path), /^HTTP\/1\.1 308 /, `${method} ${path}`);
    }
    assert.match(await announced(server, '10.1.2.3', 'GET', '/turn?username=alice'), /^HTTP\/1\.1 200 [\s\S]*"password":/);
    assert.match(await announced(server, '10.1.2.3', 'GET', '/cast', { Accept: 'text/html' }), /^HTTP\/1\.1 308 /);
    // A proxy that nobody trusts brings clients of any network.
    assert.match(await announced(server, '10.1.2.3', 'GET', '/turn?username=alice', { 'X-Forwarded-For': '203.0.113.9' }), /^HTTP\/1\.1 308 /);
  }));

describe('beside a tunnel on the same machine', () => {
  // Forwards TCP and adds nothing, as ssh -R and socat do.
  async function tunnel(server) {
    const sockets = new Set();
    const listener = createServer((from) => {
      const to = connectTcp(Number(server.httpAddr.split(':')[1]), '127.0.0.1');
      for (const [socket, other] of [[from, to], [to, from]]) {
        sockets.add(socket);
        socket.on('error', () => other.destroy()).on('close', () => other.destroy());
        socket.pipe(other);
      }
    });
    await new Promise((resolve) => listener.listen(0, '127.0.0.1', resolve));
    const close = () => {
      sockets.forEach((socket) => socket.destroy());
      return new Promise((resolve) => listener.close(resolve));
    };
    return { url: `http://127.0.0.1:${listener.address().port}`, close };
  }

  // nginx in front of the server, without TLS, with these lines in its location.
  const proxied = (server, lines) =>
    startProxy('nginx', nginx.args, ({ folder, port }) => ({
      url: `http://127.0.0.1:${port}`,
      text: nginx.config(`server { listen 127.0.0.1:${port}; location / { proxy_pass http://${server.httpAddr}; ${lines} } }`, folder),
      ready: async () => (await rawGet(`http://127.0.0.1:${port}/healthz`)).status === 200,
    }));
  const NGINX = { skip: !isInstalled('nginx') && 'nginx is not installed' };
  const NETWORKS = { CASTWAY_PLAIN_API: '127.0.0.0/8,::1' };
  const HEADERS = 'proxy_http_version 1.1; proxy_set_header Host $http_host; proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Forwarded-Proto $scheme;';

  // What a client gets that is told apart from this machine: no plain API, no page, no metrics.
  async function assertStranger(front, headers = HOST) {
    for (const path of ['/turn?username=alice', '/cast']) assert.equal((await rawGet(`${front.url}${path}`, headers)).status, 308, path);
    assert.notEqual((await rawGet(`${front.url}/metrics`, headers)).status, 200);
    const ready = JSON.parse((await rawGet(`${front.url}/readyz`, headers)).body);
    assert.deepEqual(Object.keys(ready).sort(), ['not_ready', 'ready'], 'no details');
  }

  test('this machine itself is not redirected', () =>
    withTls(NETWORKS, async (server) => {
      for (const host of ['localhost', '127.0.0.1:8080', '[::1]']) {
        assert.equal((await rawGet(`${server.url}/turn?username=alice`, { host })).status, 200, host);
        assert.equal((await rawGet(`${server.url}/metrics`, { host })).status, 200, host);
      }
    }));

  test('its clients are not this machine, although nothing but their host tells', () =>
    withTls(NETWORKS, async (server) => {
      const front = await tunnel(server);
      try {
        await assertStranger(front);
        assert.match(server.log, /CASTWAY_TRUSTED_PROXIES/);
      } finally {
        await front.close();
      }
    }));

  for (const [name, lines] of [['without headers', ''], ['with headers', HEADERS]]) {
    test(`nginx ${name}: its clients are not this machine, whatever host they name`, NGINX, () =>
      withTls(NETWORKS, async (server) => {
        const front = await proxied(server, lines);
        try {
          for (const host of [NAME, 'localhost', '127.0.0.1']) await assertStranger(front, { host });
        } finally {
          await front.close();
        }
      }));
  }

  test('nginx that says that its client used HTTPS is not sent in circles', NGINX, () =>
    withTls({}, async (server) => {
      const front = await proxied(server, HEADERS.replace('$scheme', 'https'));
      try {
        assert.equal((await rawGet(`${front.url}/turn?username=alice`, HOST)).status, 200);
        assert.notEqual((await rawGet(`${front.url}/metrics`, HOST)).status, 200);
      } finally {
        await front.close();
      }
    }));

  test('nginx that a setting trusts is never redirected', NGINX, () =>
    withTls({ CASTWAY_TRUSTED_PROXIES: '127.0.0.1' }, async (server) => {
      const front = await proxied(server, HEADERS);
      try {
        assert.equal((await rawGet(`${front.url}/turn?username=alice`, HOST)).status, 200);
        assert.notEqual((await rawGet(`${front.url}/metrics`, { host: 'localhost' })).status, 200, "its client is this machine's, but the proxy says so");
      } finally {
        await front.close();
      }
    }));
});
