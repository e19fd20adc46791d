// A server under a path of a site, behind proxies that forward the path and proxies that remove it: nginx and HAProxy with the settings of
// docs/deploy.md. One base path is called like a page.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { after, afterEach, before, describe, test } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { Android, Channel, Ios2015, plain, Web } from './support/apprtc.mjs';
import { closeAll, connect } from './support/clients.mjs';
import { wholeFlow } from './support/dialects.mjs';
import { haproxy, isInstalled, nginx, deployBlocks, startProxy } from './support/proxy.mjs';
import { startServer } from './support/server.mjs';

const withoutTls = (block, port) =>
  block
    .replace(/^\s*ssl_certificate.*\n/gm, '')
    .replace('listen 443 ssl', `listen 127.0.0.1:${port}`)
    .replace(/bind :443 ssl .*/, `bind 127.0.0.1:${port}`);

// The blocks of docs/deploy.md, changed as it says. Everything else of the site is another application.
function ofNginx(base, removes, { port, server, other }) {
  const block = withoutTls(deployBlocks('nginx')[0], port).replace('location / {', `location ${base}/ {`);
  const upstream = `http://${server}${removes ? '/' : ''}`;
  return block.replace('http://127.0.0.1:8080', upstream).replace(/\}\s*$/, `location / { proxy_pass http://${other}; }\n}\n`);
}

function ofHaproxy(base, removes, { port, server, other }) {
  const [use, remove] = deployBlocks('haproxy').find((text) => text.includes('use_backend')).replaceAll('/castway', base).split('\n');
  const block = withoutTls(deployBlocks('haproxy')[0], port).replace('127.0.0.1:8080', server);
  const site = block.replace('    default_backend castway', `${use}\n    default_backend website`);
  return `${site}${removes ? `${remove}\n` : ''}backend website\n    mode http\n    server website ${other}\n`;
}

const MODES = [
  { program: 'nginx', base: '/cast', removes: false, text: ofNginx, ...nginx },
  { program: 'nginx', base: '/cast', removes: true, text: ofNginx, ...nginx },
  { program: 'haproxy', base: '/apps/castway', removes: false, text: ofHaproxy, ...haproxy },
  { program: 'haproxy', base: '/apps/castway', removes: true, text: ofHaproxy, ...haproxy },
];
const BROWSER = { headers: { accept: 'text/html,*/*;q=0.8' } };

for (const { program, base, removes, text, config, args } of MODES) {
  describe(`${program} ${removes ? 'removes' : 'forwards'} ${base}`, { skip: !isInstalled(program) && `${program} is not installed` }, () => {
    let [other, server, front, origin, url] = [];
    const get = (path, options) => plain(`${url}${path}`, options);
    before(async () => {
      other = createServer((request, response) => response.end(`the website: ${request.url}`)).listen(0, '127.0.0.1');
      await once(other, 'listening');
      front = await startProxy(program, args, async ({ folder, port }) => {
        await server?.close();
        server = await startServer({ CASTWAY_PUBLIC_URL: `http://127.0.0.1:${port}${base}/`, CASTWAY_TRUSTED_PROXIES: '127.0.0.1', CASTWAY_TURN_ACCESS: 'open' });
        const site = { port, server: server.httpAddr, other: `127.0.0.1:${other.address().port}` };
        const ready = async () => (await plain(`http://127.0.0.1:${port}${base}/healthz`)).status === 200;
        return { origin: `http://127.0.0.1:${port}`, text: config(text(base, removes, site), folder), ready };
      });
      origin = front.origin;
      url = `${origin}${base}`;
    });
    afterEach(closeAll);
    after(async () => {
      await front?.close();
      await server?.close();
      other?.close();
    });

    test('every page and every file that it names is there', async () => {
      assert.match((await plain(`${origin}/`)).body, /^the website: \//);
      const pages = { '/': 'id="to-tv"', '/tv': 'id="code"', '/cast': 'id="code-input"', '/r': 'id="room-input"', '/r/room': 'id="room-input"', '/check': 'id="key-input"' };
      for (const [path, mark] of Object.entries(pages)) {
        const page = await get(path);
        assert.equal(page.status, 200, path);
        assert.ok(page.body.includes(mark) && page.body.includes(`<meta name="castway-base" content="${base}" />`), `${path}: ${page.body.slice(0, 400)}`);
        for (const [, named] of page.body.matchAll(/ (?:href|src|data-entry)="(\/[^"]*)"/g)) {
          assert.ok(named.startsWith(`${base}/`), `${path} names ${named}`);
          assert.equal((await plain(`${origin}${named}`)).status, 200, named);
        }
      }
      assert.ok((await get('/r/room')).body.includes(`<link rel="canonical" href="${base}/r/room" />`));
      assert.match((await get('/socket.io/socket.io.js')).headers['content-type'], /javascript/);
      // The server itself, without the proxy.
      for (const path of ['/tv', `${base}/tv`, `${base}/`, '/healthz', `//${base}//r//room//`]) assert.equal((await plain(`${server.url}${path}`)).status, 200, path);
      assert.equal(JSON.parse((await get('/api/info')).body).publicUrl, url);
    });

    test('a wrong address leads to the right one, or to a page that says so', async () => {
      for (const [path, location] of [['/TV?lang=zh', '/tv?lang=zh'], ['/Cast', '/cast'], ['/R/Room', '/r/Room'], ['/r/u-cm9vbQ', '/r/room']]) {
        const { status, headers } = await get(path, BROWSER);
        assert.deepEqual([status, headers.location], [308, `${base}${location}`]);
      }
      const page = await get('/nothing/here', BROWSER);
      assert.equal(page.status, 404);
      assert.ok(page.body.includes(`href="${base}/tv"`), page.body);
      assert.match((await get('/nothing')).body, new RegExp(`^Not found. Open ${base}/tv on the TV`));
      assert.match((await get('/rtc/?EIO=4&transport=polling')).body, new RegExp(`path: '${base}/socket.io/'`));
      for (const path of ['/r/', '/r/abc/', '/tv/', '/cast/']) assert.equal((await get(path)).status, 200, path);
    });

    for (const version of ['2.5', '3.1', '4.8']) {
      for (const transport of ['websocket', 'polling', 'upgrade']) {
        test(`a cast with socket.io-client ${version} over ${transport}`, async () => {
          const more = { version, transport, path: `${base}/socket.io/` };
          const tv = await connect({ url: origin }, { ...more, label: 'TV' });
          await wholeFlow(tv, 'A', await connect({ url: origin }, { ...more, label: 'caster' }), 'A');
        });
      }
    }

    test('the namespace of the published front ends, and a path without its last slash', async () => {
      const more = { namespace: '/rtc', path: `${base}/socket.io` };
      const tv = await connect({ url: origin }, { ...more, label: 'TV' });
      await wholeFlow(tv, 'B', await connect({ url: origin }, { ...more, label: 'caster' }), 'B');
    });

    test('calls of AppRTC’s clients, in a room that is called like the base path too', async () => {
      for (const room of ['room', base.split('/').at(-1), 'u-5Lya6K6u']) {
        const [caller, callee] = [new Web(url), new Android(url)];
        assert.ok(await caller.join(room));
        const { params } = caller;
        assert.equal(params.room_link, `${url}/r/${room}?hd=true`);
        assert.equal(params.wss_url, `${url.replace('http', 'ws')}/ws`);
        assert.equal(params.wss_post_url, url);
        for (const key of ['ice_server_url', 'turn_url']) assert.ok(params[key].startsWith(`${url}/v1alpha/`), params[key]);
        await caller.send({ type: 'offer', sdp: 'v=0\r\n' });
        assert.ok(await callee.join(room));
        assert.deepEqual(await callee.hear('offer'), { type: 'offer', sdp: 'v=0\r\n' });
        await callee.send({ type: 'answer', sdp: 'v=0\r\n' });
        assert.equal((await caller.hear('answer')).type, 'answer');
        await callee.hangUp();
        await caller.hear('bye');
        await caller.hangUp();
      }
    });

    test('Collider’s messages over HTTP, in a room that is called like the base path too', async () => {
      for (const room of ['other', base.split('/').at(-1)]) {
        const [ios, web] = [new Ios2015(url), new Web(url)];
        assert.ok(await ios.join(room));
        assert.ok(await web.join(room));
        await ios.sendEarly({ type: 'candidate', label: 0 });
        assert.equal((await web.hear('candidate')).type, 'candidate');
        await ios.hangUp();
        await web.hear('bye');
        await web.hangUp();
      }
      const listening = await Channel.open(`${url.replace('http', 'ws')}/ws`);
      listening.register('posted', 'a');
      await listening.settled();
      assert.equal((await plain(`${url}/posted/b`, { method: 'POST', body: 'hello' })).body, 'OK\n');
      assert.equal(await listening.message(), 'hello');
      listening.close();
    });

    test('credentials and the other answers of the API', async () => {
      for (const [path, options] of [['/turn?username=alice'], ['/turn', { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{"username":"alice"}' }]]) {
        assert.ok(JSON.parse((await get(path, options)).body).uris.length > 0, path);
      }
      assert.ok(JSON.parse((await get('/v1alpha/iceconfig?key=', { method: 'POST' })).body).iceServers.length > 0);
      assert.equal((await get('/readyz')).status, 200);
      const refused = await get('/check/start', { method: 'POST', body: '{"key":"AAAA"}' });
      assert.equal(JSON.parse(refused.body).error, 'UnknownKey');
      assert.equal((await get('/params')).status, 200);
      assert.equal((await get('/a/', { method: 'POST', body: '{}' })).body, '{"result":"INVALID_REQUEST"}');
    });
  });
}

test('a base path that could mean two things is refused with the ones that can’t be used', async () => {
  for (const path of ['/r/', '/join/x', '/turn/', '/a b/']) {
    await assert.rejects(startServer({ CASTWAY_PUBLIC_URL: `https://example.org${path}` }), /CASTWAY_PUBLIC_URL=.*expected a path/s, path);
  }
});

const web = new URL('../../web/', import.meta.url);
const roomNames = fileURLToPath(new URL('src/lib/room-name.ts', web));
const NAMES = [
  '会议', 'team', 'ＡＢＣ', 'cafe\u0301', 'a b', '会 议', 'a.b', 'a/b', '会\u200b', '\u200d', 'u-YWJj', 'u-5Lya6K6u', 'u-YR', 'u-YQBi', 'u-YWJjY', '\u212a', '👩‍👩‍👧',
  'x'.repeat(257), '会'.repeat(63), '会'.repeat(64), 'u-Y2FmZcyB', '\ufeff会', '会\u0085', 'ﬁ', '会①', 'ﾃﾚﾋﾞ', '\u1112\u1161\u11ab', '会<', 'u-dS01THlhNks2dQ', '会\u{e0041}', '会\u{e0fff}', '会\u{1d17a}', '会\u{1d17b}', '会\u{1bca4}', '会\u{f0000}', '会\u{10ffff}',
];

test('the server and the pages have the same links for names of rooms', { skip: !existsSync(roomNames) && 'the pages know no names yet' }, async () => {
  const { rolldown } = await import(pathToFileURL(createRequire(new URL('package.json', web)).resolve('rolldown')));
  const { output: [{ code }] } = await (await rolldown({ input: roomNames })).generate({ format: 'esm' });
  const { roomId, roomPath } = await import(`data:text/javascript,${encodeURIComponent(code)}`);
  // Every second name of random characters is in the form of an id.
  let seed = 7;
  const random = (below) => (seed = (seed * 1103515245 + 12345) & 0x7fffffff) % below;
  const characters = [...'abU-_ 1é会議ＡＺ．\u0301\u200d\u00ad\u3000\ufe0f\u0660אｶ\u309a😀\u{2f800}\u212b\u00a0'];
  const made = Array.from({ length: 500 }, (_, index) => {
    const name = Array.from({ length: 1 + random(6) }, () => characters[random(characters.length)]).join('');
    return index % 2 ? name : `u-${Buffer.from(name).toString('base64url')}`;
  });
  const server = await startServer({});
  try {
    for (const name of [...NAMES, ...made]) {
      const { status, headers, body } = await plain(`${server.url}/r/${encodeURIComponent(name)}`);
      const link = status === 404 ? null : (headers.location ?? /rel="canonical" href="([^"]*)"/.exec(body)[1]);
      const id = roomId(name);
      assert.equal(link, id === null ? null : roomPath(id), JSON.stringify(name));
    }
  } finally {
    await server.close();
  }
});
