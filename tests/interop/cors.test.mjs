// Front ends on other origins: the requests and headers by which a browser decides whether to let them in, compared with the originals.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { request } from 'node:http';
import { after, before, describe, test } from 'node:test';
import WebSocket from 'ws';
import { startOriginal } from './support/originals.mjs';
import { startServer } from './support/server.mjs';

const FOREIGN = 'https://front.example.org';
const polling = '/socket.io/?EIO=4&transport=polling';
const polling3 = '/socket.io/?EIO=3&transport=polling';
const get = (server, path, origin) => fetch(server.url + path, { headers: origin ? { origin } : {} });
const preflight = (server, path, origin, method = 'POST', headers = 'content-type') =>
  fetch(server.url + path, {
    method: 'OPTIONS',
    headers: { origin, 'access-control-request-method': method, 'access-control-request-headers': headers },
  });
const allowed = (response) => response.headers.get('access-control-allow-origin');
const credentials = (response) => response.headers.get('access-control-allow-credentials');
const varies = (response) => (response.headers.get('vary') ?? '').toLowerCase().split(/, */);
const elsewhere = ['/turn?username=u', '/api/info', '/', '/v1alpha/iceconfig', '/nowhere', '/socket.iox'];
const paths = [polling, polling3, '/socket.io/socket.io.js', ...elsewhere];

describe('by default', () => {
  let server;
  const originals = {};
  before(async () => {
    server = await startServer({ CASTWAY_TURN_ACCESS: 'open', CASTWAY_ICE_RATE: '1000' });
    for (const version of [2, 4]) originals[version] = await startOriginal(`socket.io-${version}`);
  });
  after(async () => {
    for (const original of Object.values(originals)) await original.close();
    await server?.close();
  });

  for (const [eio, version] of [[3, 2], [3, 4], [4, 4]]) {
    for (const origin of [FOREIGN, 'null', 'file://', 'capacitor://localhost']) {
      test(`Engine.IO ${eio} is open to ${origin} with credentials, as in socket.io ${version}`, async () => {
        const path = `/socket.io/?EIO=${eio}&transport=polling`;
        const [ours, original] = [await get(server, path, origin), await get(originals[version], path, origin)];
        assert.equal(ours.status, 200);
        assert.equal(ours.status, original.status);
        assert.equal(allowed(ours), origin);
        assert.equal(allowed(ours), allowed(original));
        assert.equal(credentials(ours), 'true');
        assert.equal(credentials(ours), credentials(original));
        assert.ok(varies(ours).includes('origin'), `Vary: ${ours.headers.get('vary')}`);
        assert.equal(ours.headers.get('set-cookie'), null);
        if (version === 4) assert.equal(ours.headers.get('cache-control'), original.headers.get('cache-control'));
      });
    }
  }

  for (const path of elsewhere) {
    test(`any origin may call ${path}, without credentials`, async () => {
      const response = await get(server, path, FOREIGN);
      assert.equal(allowed(response), FOREIGN);
      assert.equal(credentials(response), null);
      assert.ok(varies(response).includes('origin'));
      assert.equal(credentials(await preflight(server, path, FOREIGN)), null);
    });
  }

  for (const path of paths) {
    test(`the preflight for ${path} is answered`, async () => {
      const response = await preflight(server, path, FOREIGN);
      assert.ok(response.ok, `status ${response.status}`);
      assert.equal(allowed(response), FOREIGN);
      assert.match(response.headers.get('access-control-allow-methods') ?? '', /POST/);
      assert.match(response.headers.get('access-control-allow-headers') ?? '', /content-type/i);
    });
  }

  for (const path of [polling, polling3, '/socket.io/socket.io.js']) {
    test(`the preflight for ${path} is answered as by socket.io 4`, async () => {
      const ask = (from) => preflight(from, path, FOREIGN, 'POST', 'content-type,x-token,authorization');
      const [ours, original] = [await ask(server), await ask(originals[4])];
      assert.ok(ours.ok && original.ok);
      for (const name of ['allow-origin', 'allow-credentials', 'allow-headers'].map((name) => `access-control-${name}`)) {
        assert.equal(ours.headers.get(name), original.headers.get(name), name);
      }
      for (const response of [ours, original]) {
        assert.deepEqual(varies(response).sort(), ['access-control-request-headers', 'origin']);
        for (const method of ['GET', 'POST']) assert.ok(response.headers.get('access-control-allow-methods').split(',').includes(method));
      }
    });
  }

  for (const [method, path] of [
    ['GET', `${polling}&sid=nobody`], ['POST', `${polling}&sid=nobody`], ['GET', `${polling3}&sid=nobody`], ['POST', `${polling3}&sid=nobody`],
    ['GET', '/socket.io/?EIO=4&transport=smoke'], ['POST', polling], ['GET', '/socket.io/'], ['GET', '/socket.io/nope.js'],
    ['GET', '/socket.io/v2/nope.js'], ['GET', '/socket.io/socket.io.js/x'], ['GET', '/socket.io/SOCKET.IO.JS'], ['GET', '/socket.io/socket.io.js.gz'],
  ]) {
    test(`the error of ${method} ${path} is the original's and can be read`, async () => {
      const ask = (from) => fetch(from.url + path, { method, headers: { origin: FOREIGN }, body: method === 'POST' ? '1:1' : undefined });
      const [ours, original] = [await ask(server), await ask(originals[4])];
      assert.equal(ours.status, 400);
      assert.equal(ours.status, original.status);
      assert.equal(ours.headers.get('content-type'), original.headers.get('content-type'));
      assert.deepEqual(await ours.json(), await original.json());
      for (const response of [ours, original]) assert.deepEqual([allowed(response), credentials(response)], [FOREIGN, 'true']);
    });
  }

  test('errors of other kinds can be read, too', async () => {
    const lost = { 'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==' };
    const { sid } = JSON.parse((await (await get(server, polling, FOREIGN)).text()).slice(1));
    // The body is one byte too long, and is read completely.
    const huge = { method: 'POST', body: `d=${'x'.repeat(2304 * 1024 - 1)}`, headers: { 'content-type': 'application/x-www-form-urlencoded' } };
    for (const [status, path, init] of [
      [400, '/socket.io/?EIO=4&transport=websocket', { headers: lost }],
      [400, `${polling3}&j=0&sid=nobody`, { method: 'POST', body: 'x=1' }],
      [413, `${polling}&j=0&sid=${sid}`, huge],
      [405, '/socket.io/socket.io.js', { method: 'PUT', body: 'x' }],
    ]) {
      const response = await ask(server, path, init);
      assert.equal(response.status, status, path);
      assert.deepEqual([response.headers['access-control-allow-origin'], response.headers['access-control-allow-credentials']], [FOREIGN, 'true'], path);
    }
  });

  test('a POST of the polling transport is let in as well', async () => {
    const opening = await (await get(server, polling, FOREIGN)).text();
    const { sid } = JSON.parse(opening.slice(1));
    const response = await fetch(`${server.url}${polling}&sid=${sid}`, { method: 'POST', body: '40', headers: { origin: FOREIGN, 'content-type': 'text/plain' } });
    assert.equal(await response.text(), 'ok');
    assert.deepEqual([allowed(response), credentials(response)], [FOREIGN, 'true']);
  });

  test('no cookie is valid for /socket.io', async () => {
    for (const [cookie, path, covers] of [
      ['a=1', '/', true], ['a=1', '/turn', true], ['a=1', '/api/info', false], ['a=1', '/socket.io/', true], ['a=1', '/socket.io/v2/x', false],
      ['a=1; Path=/', '/api/info', true], ['a=1; path=/api', '/', false], ['a=1; Path=/socket.io', '/api/info', true],
      ['a=1; Path=/socket.io/', '/api/info', true], ['a=1; Path=/socket', '/', false], ['a=1; Path=/api; Path=/', '/', true],
      ['a=1; Path=x', '/api/info', false], ['a=1; Path=', '/turn', true], ['a=1; Path', '/turn', true],
    ]) assert.equal(isForSocketIo(cookie, path), covers, `${cookie} from ${path}`);
    const routes = routesOf(new URL('../../src/', import.meta.url));
    for (const known of ['/turn', '/join/{room}', '/ws', '/r', '/readyz', '/v1alpha/iceconfig']) assert.ok(routes.has(known), `${known} in ${[...routes]}`);
    const asked = [...routes, ...paths, '/tv', '/cast', '/socket.io/v2/socket.io.js', `${polling3}&j=0`];
    for (const route of asked) {
      const path = route.replaceAll(/\{[^}]*\}/g, 'x1');
      for (const method of ['GET', 'HEAD', 'POST', 'DELETE', 'OPTIONS']) {
        const { headers } = await ask(server, path, { method, headers: { origin: FOREIGN, cookie: 'io=1; a=1' } });
        const cookies = (headers['set-cookie'] ?? []).filter((cookie) => isForSocketIo(cookie, path.split('?')[0]));
        assert.deepEqual(cookies, [], `${method} ${path}`);
      }
    }
  });

  const FILES = ['', '.min', '.esm.min', '.msgpack.min'].flatMap((kind) => [`socket.io${kind}.js`, `socket.io${kind}.js.map`]);
  const V2 = ['socket.io.js', 'socket.io.js.map'];
  const beside = [
    ...FILES.map((file) => [`/socket.io/${file}`, `/socket.io/${file}`, 4]),
    ...V2.map((file) => [`/socket.io/v2/${file}`, `/socket.io/${file}`, 2]),
  ];
  for (const [path, theirs, version] of beside) {
    test(`${path} is the one of socket.io ${version}`, async () => {
      const pair = [[server, path], [originals[version], theirs]];
      const both = (init) => Promise.all(pair.map(([from, at]) => ask(from, at, init)));
      const same = (...names) => names.forEach((name) => assert.equal(ours.headers[name]?.split(';')[0], original.headers[name]?.split(';')[0], name));
      let [ours, original] = await both({ headers: { 'accept-encoding': 'identity' } });
      assert.deepEqual([ours.status, ours.body.equals(original.body)], [200, true]);
      assert.ok(path.endsWith('.map') || ours.body.includes('//# sourceMappingURL='));
      same('content-type', 'content-encoding');
      if (version === 4) same('cache-control', 'access-control-allow-origin', 'access-control-allow-credentials');
      const length = ours.body.length;

      [ours, original] = await both({ headers: { 'accept-encoding': 'gzip' } });
      assert.equal(ours.headers['content-encoding'], 'gzip');
      assert.ok(varies({ headers: new Headers({ vary: ours.headers.vary }) }).includes('accept-encoding'));
      if (version === 4) same('content-encoding', 'content-type');
      assert.ok(ours.body.length < length / 2);

      [ours, original] = await both({ method: 'HEAD' });
      assert.deepEqual([ours.status, ours.body.length, original.status], [200, 0, 200]);
      same('content-type');

      const tags = [ours.headers.etag, original.headers.etag];
      const known = (change) =>
        Promise.all(pair.map(([from, at], index) => ask(from, at, { headers: { 'if-none-match': change(tags[index]) } })));
      for (const change of version === 4 ? [(tag) => tag, (tag) => `W/${tag}`] : [(tag) => tag]) {
        [ours, original] = await known(change);
        assert.deepEqual([ours.status, ours.body.length], [304, 0], change(tags[0]));
        assert.equal(ours.status, original.status);
      }
      [ours, original] = await known(() => '"another"');
      assert.deepEqual([ours.status, original.status], [200, 200]);
      [ours, original] = await Promise.all(pair.map(([from, at]) => ask(from, `${at}?v=1`)));
      assert.deepEqual([ours.status, original.status], [200, 200]);
    });
  }
});

describe('with an allow-list', () => {
  let server;
  const LISTED = [
    FOREIGN, 'http://127.0.0.1:5173', 'null', 'file://', 'capacitor://localhost', 'ionic://localhost', 'app://.', 'tauri://localhost',
    'chrome-extension://abcdefghijklmnopabcdefghijklmnop', 'https://a.apps.example.org', 'https://b-2.apps.example.org', 'http://tv.lan:8080',
    'https://xn--bcher-kva.example',
  ];
  const FOREIGNERS = [
    'https://evil.example', 'https://front.example.org.evil.example', 'http://front.example.org', 'https://front.example.org:8443',
    'https://apps.example.org', 'https://a.b.apps.example.org', 'https://evil.apps.example.org.attacker', 'https://evilapps.example.org',
    'http://tv.lan', 'http://lan:8080', 'capacitor://evil', 'app://x',
  ];
  before(async () => {
    server = await startServer({
      CASTWAY_TURN_ACCESS: 'open',
      CASTWAY_ICE_RATE: '1000',
      CASTWAY_PUBLIC_URL: 'https://cast.example.org/',
      CASTWAY_CORS_ORIGINS:
        `${FOREIGN.toUpperCase()}:443/, http://127.0.0.1:5173, null, file://, capacitor://localhost, ionic://localhost, app://., tauri://localhost,` +
        'chrome-extension://abcdefghijklmnopabcdefghijklmnop, https://*.apps.example.org, http://*.lan:8080, https://bücher.example',
    });
  });
  after(() => server?.close());

  for (const path of paths) {
    test(`${path} is open to the listed origins alone`, async () => {
      const isSocketIo = path.startsWith('/socket.io/');
      for (const origin of [...LISTED, server.url, 'https://cast.example.org']) {
        for (const response of [await get(server, path, origin), await preflight(server, path, origin)]) {
          assert.deepEqual([allowed(response), credentials(response)], [origin, isSocketIo ? 'true' : null], origin);
          assert.ok(varies(response).includes('origin'));
        }
      }
      for (const origin of FOREIGNERS) {
        for (const response of [await get(server, path, origin), await preflight(server, path, origin)]) {
          assert.deepEqual([allowed(response), credentials(response)], [null, null], origin);
          assert.ok(varies(response).includes('origin'));
        }
      }
    });
  }

  test('errors go to the listed origins alone', async () => {
    for (const path of [`${polling}&sid=nobody`, `${polling3}&sid=nobody`, '/socket.io/nope.js']) {
      const response = await get(server, path, FOREIGN);
      assert.deepEqual([response.status, allowed(response), credentials(response)], [400, FOREIGN, 'true']);
      const refused = await get(server, path, 'https://evil.example');
      assert.deepEqual([refused.status, allowed(refused), credentials(refused)], [403, null, null]);
      assert.match(await refused.text(), /CASTWAY_CORS_ORIGINS/);
    }
  });

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
    for (const origin of FOREIGNERS) assert.equal(await upgrade(origin), 'refused', origin);
    for (const origin of LISTED) assert.equal(await upgrade(origin), 'open', origin);
    assert.equal(await upgrade(server.url), 'open', "the server's own pages");
    assert.equal(await upgrade('https://cast.example.org'), 'open', 'its public address');
    assert.equal(await upgrade(), 'open', 'a client that is no browser');
  });

  test("the server's own pages are told by the host that was asked, whatever its case and its default port", async () => {
    for (const [host, origin, status] of [
      ['tv.example.org', 'http://tv.example.org', 200],
      ['TV.Example.org', 'http://tv.example.org', 200],
      ['tv.example.org:80', 'http://tv.example.org', 200],
      // A proxy may have terminated TLS.
      ['tv.example.org', 'https://tv.example.org', 200],
      ['tv.example.org:443', 'https://tv.example.org', 200],
      ['tv.example.org:8443', 'https://tv.example.org:8443', 200],
      ['tv.example.org:443', 'http://tv.example.org', 403],
      ['tv.example.org:8443', 'https://tv.example.org', 403],
      ['tv.example.org', 'https://tv.example.org:8443', 403],
      ['tv.example.org', 'capacitor://tv.example.org', 403],
      ['tv.example.org', 'https://tv.example.org.evil.example', 403],
    ]) {
      const response = await ask(server, polling, { headers: { host, origin } });
      assert.equal(response.status, status, `${origin} at ${host}`);
      assert.equal(response.headers['access-control-allow-origin'], status === 200 ? origin : undefined);
    }
  });

  test('JSONP, which names no origin, is no way round', async () => {
    for (const method of ['GET', 'POST']) {
      for (const origin of ['', FOREIGN]) {
        for (const query of ['EIO=3&transport=polling&j=0', 'EIO=3&transport=polling&%6a=0', 'EIO=4&j=&transport=p%6Flling', 'EIO=3&transport=polling&b64=1&sid=x&j=1']) {
          const response = await ask(server, `/socket.io/?${query}`, { method, headers: { origin }, body: method === 'POST' ? 'd=1' : undefined });
          assert.equal(response.status, 403, `${method} ${query}`);
          assert.match(response.body.toString(), /JSONP polling is refused where CASTWAY_CORS_ORIGINS lists origins/);
        }
      }
    }
  });
});

// A request without a browser's rules: any header and body, no redirects followed, nothing decompressed.
function ask(server, path, { method = 'GET', headers, body } = {}) {
  const { origin = FOREIGN, ...others } = headers ?? {};
  return new Promise((resolve, reject) => {
    const sent = request(server.url + path, { method, headers: { ...others, ...(origin && { origin }) }, agent: false });
    sent.on('error', reject);
    sent.on('upgrade', (response, socket) => {
      socket.destroy();
      resolve({ status: response.statusCode, headers: response.headers, body: Buffer.alloc(0) });
    });
    sent.on('response', (response) => {
      const chunks = [];
      // A server that refuses a long body stops reading it.
      response.on('error', () => {});
      response.on('data', (chunk) => chunks.push(chunk));
      response.on('close', () => resolve({ status: response.statusCode, headers: response.headers, body: Buffer.concat(chunks) }));
    });
    sent.end(body);
  });
}

// RFC 6265 §5.1.4 and §5.2.4: whether a browser sends this cookie with requests to /socket.io/.
function isForSocketIo(cookie, from) {
  const attributes = cookie.split(';').slice(1).map((attribute) => attribute.trim().split('='));
  const named = attributes.filter(([name]) => name.toLowerCase() === 'path').at(-1)?.[1] ?? '';
  const fallback = from.slice(0, from.lastIndexOf('/')) || '/';
  const path = named.startsWith('/') ? named : fallback;
  return ['/', '/socket.io', '/socket.io/'].includes(path);
}

// All routes in the source files.
function routesOf(folder) {
  const files = readdirSync(folder, { recursive: true }).filter((file) => file.endsWith('.rs'));
  const text = files.map((file) => readFileSync(new URL(file, folder), 'utf8')).join('\n');
  const constants = Object.fromEntries([...text.matchAll(/const (\w+): &str = "(\/[^"]*)"/g)].map(([, name, path]) => [name, path]));
  const routes = [...text.matchAll(/\.route\(\s*(?:"([^"]+)"|(?:\w+::)*([A-Z_]+)\b)/g)];
  return new Set(routes.map(([, path, name]) => path ?? constants[name]));
}
