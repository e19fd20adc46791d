// Pages that are not at the root of an origin of their own: under a path behind nginx, and in a frame of another site.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { blocks } from '../documents/documents.mjs';
import { nginx, startProxy } from '../interop/support/proxy.mjs';
import { startServer } from '../interop/support/server.mjs';
import { plain } from '../interop/support/apprtc.mjs';
import { assertMagenta, assertPicture, DEVICES, inState, joinCall, openPage, openSource, openTv, startCast, until } from './support/browser.mjs';
import { browserTest, isViolation } from './support/browser-test.mjs';

// The caster's page is called like it.
const BASE = '/cast';

// nginx with the headers of docs/deploy.md; it removes the path, or forwards it.
function site(port, server, removes) {
  return `map $http_upgrade $connection_upgrade { default upgrade; '' close; }
  server {
    listen 127.0.0.1:${port};
    location ${BASE}/ {
      proxy_pass http://${server}${removes ? '/' : ''};
      proxy_http_version 1.1;
      proxy_set_header Host $http_host;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_upgrade;
      proxy_set_header X-Forwarded-For $remote_addr;
    }
    location = ${BASE} { proxy_pass http://${server}${removes ? '/' : ''}; proxy_set_header Host $http_host; }
  }\n`;
}

// The server behind nginx; `fixture.url` is the address that people type.
const behindNginx = (removes) => async (fixture) => {
  let server;
  const front = await startProxy('nginx', nginx.args, async ({ folder, port }) => {
    await server?.close();
    const url = `http://127.0.0.1:${port}${BASE}`;
    server = await startServer({ CASTWAY_PUBLIC_URL: `${url}/`, CASTWAY_TRUSTED_PROXIES: '127.0.0.1' });
    const ready = async () => (await plain(`${url}/healthz`)).status === 200;
    return { url, text: nginx.config(site(port, server.httpAddr, removes), folder), ready };
  });
  fixture.onClose(front.close);
  fixture.url = front.url;
  return server;
};

for (const removes of [true, false]) {
  browserTest(`behind nginx that ${removes ? 'removes' : 'forwards'} a path which is called like a page`, behindNginx(removes), async (fixture) => {
    const { url } = fixture;
    const front = { url };
    const [tvBrowser, castBrowser] = [await fixture.browser(DEVICES), await fixture.browser(DEVICES)];
    await openSource(castBrowser);

    // Addresses that could mean two pages lead to the one that the browser's address means.
    const visitor = await openPage(tvBrowser, url);
    const arrived = (path) => until(`the page of ${path}`, () => visitor.evaluate(() => location.pathname + location.search), (seen) => seen === path);
    await arrived(`${BASE}/`);
    await visitor.locator('#to-cast').waitFor();
    await visitor.goto(`${url}${BASE}/?code=`);
    await arrived(`${BASE}${BASE}?code=`);
    await visitor.locator('#code-input').waitFor();
    await visitor.goto(`${url}/Nothing`);
    await visitor.locator('#to-tv').click();
    await arrived(`${BASE}/tv`);

    const { page: tv, code } = await openTv(tvBrowser, front);
    assert.match(await tv.locator('#address').textContent(), new RegExp(`^127\\.0\\.0\\.1:\\d+${BASE}`));
    const caster = await startCast(castBrowser, front, code);
    await assertPicture(tv, 3);
    await assertMagenta(tv);
    await caster.close();

    // A call.
    const join = async (browser) => {
      const page = await openPage(browser, `${url}/r/team?ice=relay`, { permissions: ['camera', 'microphone'] });
      await joinCall(page);
      return page;
    };
    const pages = [await join(tvBrowser), await join(castBrowser)];
    for (const page of pages) await assertPicture(page, 3);
  });
}

// The features that docs/deploy.md lists.
const [, ALLOW] = blocks('docs/deploy.md').find(({ language }) => language === 'html').text.match(/allow="([^"]+)"/);

// A site that shows a page of the server in a frame.
async function portal(fixture, frame) {
  const server = createServer((request, response) => {
    response.setHeader('content-type', 'text/html');
    response.end(`<!doctype html><title>portal</title><iframe style="width:1200px;height:680px" allow="${ALLOW}" src="${frame(request.url)}"></iframe>`);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  fixture.onClose(async () => {
    server.closeAllConnections();
    server.close();
  });
  return server.address().port;
}

browserTest(
  'a portal that the setting names shows the pages in frames, and another one does not',
  async (fixture) => {
    fixture.port = await portal(fixture, (path) => `${fixture.server.url}${path}`);
    return startServer({ CASTWAY_FRAME_ANCESTORS: `self,http://portal.localhost:${fixture.port}` });
  },
  async (fixture, server) => {
    const [tvBrowser, castBrowser] = [await fixture.browser(DEVICES), await fixture.browser(DEVICES)];
    await openSource(castBrowser);
    const inFrame = async (browser, path, options) => {
      const page = await openPage(browser, `http://portal.localhost:${fixture.port}${path}`, options);
      const frame = await until(`the frame of ${path}`, () => page.frames().find((each) => each.url().startsWith(`${server.url}${path}`)));
      frame.messages = page.messages;
      return { page, frame };
    };
    const { frame: tv } = await inFrame(tvBrowser, '/tv?ice=relay');
    const code = await until('a code', () => tv.locator('#code').evaluate((shown) => shown.dataset.code ?? ''));
    const { frame: caster } = await inFrame(castBrowser, '/cast?ice=relay');
    await caster.locator('#code-input').fill(code);
    await caster.locator('#start').click();
    await inState(caster, 'sharing');
    await assertPicture(tv, 3);
    // The page asks for the camera as soon as it opens.
    const { frame: call } = await inFrame(castBrowser, '/r/framed', { permissions: ['camera', 'microphone'] });
    await joinCall(call);
    await until('the camera is on', () => call.evaluate(() => [...document.querySelectorAll('video')].some(({ videoWidth }) => videoWidth > 0)));

    const stranger = await openPage(tvBrowser, `http://stranger.localhost:${fixture.port}/tv`);
    await until('the browser says so', () => stranger.messages.some((message) => /frame-ancestors/.test(message)));
    assert.ok(!stranger.frames().some((frame) => frame.url().startsWith(server.url)));
    // This message is what the test wants.
    stranger.messages = stranger.messages.filter((message) => !isViolation(message));
  },
);
