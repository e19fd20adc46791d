// Our own pages in two Chromium processes, which can reach each other only through the embedded relay.
import assert from 'node:assert/strict';
import { describe } from 'node:test';
import { assertMagenta, assertPicture, assertRelayed, inState, openPage, openSource, openTv, shownCode, startCast, statistics, TIMEOUT_MS, until } from './support/browser.mjs';
import { BROWSER_TESTS_AT_A_TIME, browserTest } from './support/browser-test.mjs';

const RECOVERY_TIMEOUT_MS = 2 * TIMEOUT_MS;

async function casting(fixture, server, options = {}) {
  const [tvBrowser, castBrowser] = [await fixture.browser(), await fixture.browser()];
  await openSource(castBrowser);
  const { page: tv, code } = await openTv(tvBrowser, server, options);
  const caster = await startCast(castBrowser, server, code);
  await inState(tv, 'playing');
  return { tvBrowser, castBrowser, tv, caster, code };
}

describe('a cast between our pages', { concurrency: BROWSER_TESTS_AT_A_TIME }, () => {
  browserTest('a screen is cast over the relay by UDP alone', { CASTWAY_NO_TCP: 'true' }, async (fixture, server) => {
    const { tv, caster } = await casting(fixture, server);
    await assertPicture(tv);
    await assertMagenta(tv);
    await assertRelayed(tv, server, 'udp');
    await assertRelayed(caster, server, 'udp');
    assert.equal(await tv.locator('#idle').isVisible(), false);
    assert.equal(await tv.locator('#video').isVisible(), true);

    await tv.keyboard.press('i');
    await until('the overlay tells the route', () => tv.locator('#figures').getAttribute('data-route'), (route) => route === 'relay');
    await until('and the size', () => tv.locator('[data-figure=size]').textContent(), (text) => /^[1-9]\d* × [1-9]\d*$/.test(text));
    await tv.keyboard.press('i');
    assert.equal(await tv.locator('#overlay').isVisible(), false);
    await until("the caster's figures tell the route, too", () => caster.locator('#figures').getAttribute('data-route'), (route) => route === 'relay');
  });

  browserTest('a screen is cast over the relay by TCP alone', { CASTWAY_NO_UDP: 'true' }, async (fixture, server) => {
    const { tv, caster } = await casting(fixture, server);
    await assertPicture(tv);
    await assertMagenta(tv);
    await assertRelayed(tv, server, 'tcp');
    await assertRelayed(caster, server, 'tcp');
  });

  browserTest('the picture comes back when the TV is loaded again', {}, async (fixture, server) => {
    const { tv, caster, code } = await casting(fixture, server);
    await assertPicture(tv, 2);
    await tv.reload();
    await inState(tv, 'playing');
    await assertPicture(tv, 3);
    await assertMagenta(tv);
    assert.equal(await tv.evaluate(() => window.castway.code()), code);
    await inState(caster, 'sharing');
  });

  browserTest('both pages get over a restart of the server', {}, async (fixture, server) => {
    const { tv, caster, castBrowser, code } = await casting(fixture, server);
    await assertPicture(tv, 2);
    await server.restart();
    await until('the TV is online again', () => tv.evaluate(() => window.castway.online()), Boolean, RECOVERY_TIMEOUT_MS);
    await until('the caster is online again', () => caster.evaluate(() => window.castway.online()), Boolean, RECOVERY_TIMEOUT_MS);
    // The relay's allocations ended with the old process, so the video must arrive over new ones.
    await inState(caster, 'sharing', RECOVERY_TIMEOUT_MS);
    await inState(tv, 'playing', RECOVERY_TIMEOUT_MS);
    const before = await statistics(tv);
    await until('new frames are decoded', () => statistics(tv), ({ frames }) => frames > before.frames + 10, RECOVERY_TIMEOUT_MS);
    await assertPicture(tv, 3);
    await assertRelayed(tv, server);

    await caster.locator('#stop').click();
    await inState(tv, 'waiting');
    assert.equal(await shownCode(tv), code, 'the code has outlived the restart');
    await caster.close();
    await startCast(castBrowser, server, code);
    await inState(tv, 'playing');
    await assertPicture(tv, 3);
  });

  browserTest('a second caster takes over', {}, async (fixture, server) => {
    const { tv, caster, code } = await casting(fixture, server);
    await assertPicture(tv, 2);
    const other = await fixture.browser();
    await openSource(other);
    const second = await openPage(other, `${server.url}/cast?ice=relay&code=${code}`);
    await until('the button says what it does', () => second.locator('#start').innerText(), (label) => label === 'Take over and share');
    await second.locator('#start').click();
    await inState(second, 'sharing');
    await until('the first caster is told', () => caster.locator('#notice').getAttribute('data-error'), (error) => error === 'taken_over');
    assert.equal(await caster.evaluate(() => window.castway.state()), 'setup');
    await inState(tv, 'playing');
    await assertPicture(tv, 3);
    await inState(second, 'sharing');
    assert.ok((await statistics(second)).frames > 0);
  });

  browserTest('the TV shows its code again when the caster stops', {}, async (fixture, server) => {
    const { tv, caster, code } = await casting(fixture, server);
    await assertPicture(tv, 2);
    await caster.locator('#stop').click();
    await inState(tv, 'waiting');
    assert.equal(await shownCode(tv), code);
    assert.equal(await tv.locator('#code').isVisible(), true);
    await until('the caster can start again', () => caster.locator('#start').isEnabled());
    await caster.locator('#start').click();
    await inState(tv, 'playing');
    await assertPicture(tv, 3);
  });

  browserTest('the TV shows its code again when the page of the caster is closed', {}, async (fixture, server) => {
    const { tv, caster, code } = await casting(fixture, server);
    await caster.close({ runBeforeUnload: false });
    await inState(tv, 'waiting');
    assert.equal(await shownCode(tv), code);
  });

  browserTest('a TV in Chinese', {}, async (fixture, server) => {
    const { tv, caster } = await casting(fixture, server, { locale: 'zh-CN' });
    assert.equal(await tv.evaluate(() => document.documentElement.lang), 'zh-CN');
    await assertPicture(tv, 3);
    await caster.locator('#stop').click();
    await inState(tv, 'waiting');
    assert.match(await tv.locator('#idle').innerText(), /[\u4e00-\u9fff]{3}/);
  });

  browserTest('a wrong code is named as such, and the right one then works', {}, async (fixture, server) => {
    const [tvBrowser, castBrowser] = [await fixture.browser(), await fixture.browser()];
    await openSource(castBrowser);
    const { page: tv, code } = await openTv(tvBrowser, server);
    const page = await (await castBrowser.newContext()).newPage();
    await page.goto(`${server.url}/cast?ice=relay&code=${code[0] === 'A' ? 'B' : 'A'}${code.slice(1)}`);
    await page.locator('#start').click();
    await until('the page says so', () => page.locator('#notice').getAttribute('data-error'), (error) => error === 'unknown_code');
    await page.locator('#code-input').fill(code.toLowerCase());
    await page.locator('#start').click();
    await inState(page, 'sharing');
    await inState(tv, 'playing');
  });

  browserTest('GET /turn alone is enough for a page to reach the relay', {}, async (fixture, server) => {
    await server.addUser('alice');
    const browser = await fixture.browser();
    const page = await (await browser.newContext()).newPage();
    await page.goto(`${server.url}/`);
    const result = await page.evaluate(async (limit) => {
      const { uris, username, password } = await (await fetch('/turn?service=turn&username=alice')).json();
      const config = { iceServers: [{ urls: uris, username, credential: password }], iceTransportPolicy: 'relay' };
      const [a, b] = [new RTCPeerConnection(config), new RTCPeerConnection(config)];
      a.onicecandidate = ({ candidate }) => candidate && b.addIceCandidate(candidate);
      b.onicecandidate = ({ candidate }) => candidate && a.addIceCandidate(candidate);
      const channel = a.createDataChannel('test');
      const heard = new Promise((resolve, reject) => {
        b.ondatachannel = ({ channel: far }) => (far.onmessage = ({ data }) => resolve(data));
        setTimeout(() => reject(new Error(`ICE is ${a.iceConnectionState}`)), limit);
      });
      channel.onopen = () => channel.send('over the relay');
      await a.setLocalDescription(await a.createOffer());
      await b.setRemoteDescription(a.localDescription);
      await b.setLocalDescription(await b.createAnswer());
      await a.setRemoteDescription(b.localDescription);
      const text = await heard;
      const types = [...(await a.getStats()).values()].filter(({ type }) => type === 'local-candidate').map(({ candidateType }) => candidateType);
      return { text, types };
    }, TIMEOUT_MS);
    assert.equal(result.text, 'over the relay');
    assert.ok(result.types.length > 0 && result.types.every((type) => type === 'relay'));
  });
});
