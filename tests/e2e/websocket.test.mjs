// The call page if WebSockets don't reach the server.
import assert from 'node:assert/strict';
import { assertPicture, DEVICES, inState, joinCall, openPage, until } from './support/browser.mjs';
import { startDowngradingProxy } from './support/downgrade.mjs';
import { browserTest } from './support/browser-test.mjs';

const ROOM = 'behind-a-proxy';
const PERMISSIONS = ['camera', 'microphone'];
const FIX = ['proxy_http_version 1.1;', 'proxy_set_header Upgrade $http_upgrade;', 'proxy_set_header Connection "upgrade";'];
const TITLE = { 'en-US': /WebSocket connections do not get through/, 'zh-CN': /WebSocket 连接不通/ };

const problem = (page) => page.locator('#notice').getAttribute('data-error');
const status = (page) => page.locator('#status-text').textContent();

async function enter(fixture, url, locale) {
  const page = await openPage(await fixture.browser(DEVICES), `${url}/r/${ROOM}?ice=relay`, { locale, permissions: PERMISSIONS });
  await joinCall(page);
  return page;
}

async function behindProxy(fixture, server) {
  const proxy = await startDowngradingProxy(server.url);
  fixture.onClose(() => proxy.close());
  return proxy;
}

const told = (page) => until('the page says what the proxy does', () => problem(page), (seen) => seen === 'no_websocket');

browserTest('the call page says that a proxy takes the Upgrade header away, and calls once it does not', {}, async (fixture, server) => {
  const proxy = await behindProxy(fixture, server);
  const pages = [];
  for (const locale of ['en-US', 'zh-CN']) {
    const page = await enter(fixture, proxy.url, locale);
    await told(page);
    assert.match(await page.locator('#notice-title').textContent(), TITLE[locale]);
    const hint = await page.locator('#notice-hint').textContent();
    for (const line of FIX) assert.ok(hint.includes(line), hint);
    assert.match(await status(page), /WebSocket/);
    assert.equal(await page.locator('#notice').isVisible(), true);
    pages.push(page);
  }
  // The page keeps trying in the meantime.
  const { downgraded } = proxy;
  await until('they try again', () => proxy.downgraded, (count) => count > downgraded + 4);
  proxy.passesUpgrades = true;
  for (const page of pages) {
    await inState(page, 'talking');
    assert.equal(await problem(page), null);
  }
  for (const page of pages) await assertPicture(page, 3, 45);
});

browserTest('a place that was lost while no WebSocket got through is asked for again', {}, async (fixture, server) => {
  const proxy = await behindProxy(fixture, server);
  const first = await openPage(await fixture.browser(DEVICES), `${proxy.url}/r/${ROOM}?ice=relay`, { permissions: PERMISSIONS });
  const joined = first.waitForResponse((reply) => reply.url().includes('/join/'));
  let sent = 0;
  first.on('requestfinished', (request) => (sent += request.url().includes('/message/') ? 1 : 0));
  await joinCall(first);
  const { params } = await (await joined).json();
  await told(first);
  // A message that is sent later would tell the page at once that its place is lost.
  const toSend = () =>
    first.evaluate(() => {
      const pc = window.castway.pc();
      return pc.iceGatheringState === 'complete' ? 1 + (pc.localDescription.sdp.match(/^a=candidate:/gm) ?? []).length : null;
    });
  await until('the offer and its candidates are sent', async () => sent === (await toSend()));
  await fetch(`${server.url}/leave/${ROOM}/${params.client_id}`, { method: 'POST' });
  const second = await enter(fixture, server.url);
  await inState(second, 'waiting');
  proxy.passesUpgrades = true;
  for (const page of [first, second]) await inState(page, 'talking');
});

browserTest('a server that is down is not taken for a proxy that takes headers away', {}, async (fixture, server) => {
  const proxy = await behindProxy(fixture, server);
  proxy.passesUpgrades = true;
  const page = await enter(fixture, proxy.url);
  await inState(page, 'waiting');
  await page.evaluate(() => {
    window.said = [];
    const notice = document.getElementById('notice');
    new MutationObserver(() => window.said.push(notice.getAttribute('data-error'))).observe(notice, { attributes: true });
  });
  let failures = 0;
  page.on('websocket', (socket) => socket.on('socketerror', () => (failures += 1)));
  await server.stop();
  await until('the page is offline', () => status(page), (text) => text.startsWith('No connection to the server'));
  await until('it has tried four times', () => failures, (count) => count >= 4);
  assert.equal(await status(page), 'No connection to the server – trying again …');
  await server.start();
  await inState(page, 'waiting');
  assert.ok(!(await page.evaluate(() => window.said)).includes('no_websocket'));
});

browserTest('whoever joins while the server is down is told', {}, async (fixture, server) => {
  const page = await openPage(await fixture.browser(DEVICES), `${server.url}/r/${ROOM}?ice=relay`, { permissions: PERMISSIONS });
  await server.stop();
  await joinCall(page);
  await page.locator('#status').waitFor();
  await until('the page says so', () => status(page), (text) => text === 'No connection to the server – trying again …');
  assert.equal(await page.evaluate(() => window.castway.state()), 'joining');
  assert.equal(await problem(page), null);
  await server.start();
  await inState(page, 'waiting');
});
