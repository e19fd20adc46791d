// A television of 2018 shows a cast from a current browser, or says that there is none.
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { excerpt } from '../interop/support/excerpt.mjs';
import { openPage, openSource, startCast, until } from './support/browser.mjs';
import { assertOldPicture, openOld } from './support/old-chromium.mjs';
import { browserTest, isViolation } from './support/browser-test.mjs';
import { DEAD_RELAY } from './support/dead-relay.mjs';
import { startPlainCast } from './support/plain-caster.mjs';

const out = fileURLToPath(new URL('out/', import.meta.url));

const code = (page) => until('a code', () => page.evaluate("(document.getElementById('code') || { getAttribute: () => null }).getAttribute('data-code')"), (text) => /^[A-Z0-9]{6}$/.test(text ?? ''));
const online = (page) => until('the page is online', () => page.evaluate('document.body.dataset.online'), (online) => online === 'true');

const WEBOS_BACK = 461;
const [OK, LEFT] = [13, 37];
const key = (page, code) => page.send('Input.dispatchKeyEvent', { type: 'rawKeyDown', windowsVirtualKeyCode: code });
const text = (page, id) => page.evaluate(`document.getElementById('${id}').innerText.trim()`);
const shown = (page, id) => page.evaluate(`!document.getElementById('${id}').hidden`);
const focus = (page) => page.evaluate('document.activeElement.id');

async function withOldTv(fixture, server, name, body) {
  const old = await openOld(`${server.url}/tv?ice=relay`);
  fixture.onClose(old.close);
  const { page, version } = old;
  try {
    assert.match(version, /Chrome\/67\./);
    await body(page);
    assert.deepEqual(page.messages.filter(isViolation), []);
  } catch (error) {
    mkdirSync(out, { recursive: true });
    await page.screenshot(`${out}${name}.png`).catch(() => {});
    console.error(`see ${out}${name}.png; its console said:\n${excerpt(page.messages.join('\n'))}`);
    throw error;
  }
}

browserTest('Chromium 67 on our TV page shows frames of a modern caster', {}, (fixture, server) =>
  withOldTv(fixture, server, 'old-tv', async (page) => {
    const first = await code(page);
    await online(page);
    const browser = await fixture.browser();
    await openSource(browser);
    await startCast(browser, server, first);
    await until('the TV plays', () => page.evaluate('document.body.dataset.state'), (state) => state === 'playing');
    await assertOldPicture(page);
    const size = await page.evaluate("document.getElementById('video').videoWidth");
    assert.ok(size > 100, `a picture ${size} pixels wide`);

    const ben = await startPlainCast(browser, server, first, { username: 'Ben' });
    await until('the TV says who has taken over', () => text(page, 'banner'), (said) => /^Ben has taken over/.test(said));
    await ben.do('pause', true);
    await until('the TV says that the cast is paused', () => text(page, 'banner'), (said) => said === 'Paused by Ben');
    assert.equal(await shown(page, 'still'), true);
    await ben.do('pause', false);
    await until('the TV shows the video again', () => shown(page, 'still'), (still) => !still);
    await assertOldPicture(page);

    await key(page, OK);
    await until('the menu is open', () => focus(page), (id) => id === 'menu-details');
    await key(page, LEFT);
    await until('an arrow moves the focus', () => focus(page), (id) => id === 'menu-end');
    await key(page, WEBOS_BACK);
    assert.equal(await shown(page, 'menu'), false);
    await key(page, WEBOS_BACK);
    assert.equal(await text(page, 'prompt'), 'Press Back again to end the cast');
    await key(page, WEBOS_BACK);
    await ben.hears('CAST_ENDED');
    await until('the TV waits', () => page.evaluate('document.body.dataset.state'), (state) => state === 'waiting');
  }));

browserTest('Chromium 67 on our TV page says that there is no picture', DEAD_RELAY, (fixture, server) =>
  withOldTv(fixture, server, 'old-tv-failure', async (page) => {
    const shownCode = await code(page);
    await online(page);
    const browser = await fixture.browser();
    await openSource(browser);
    const caster = await openPage(browser, `${server.url}/cast?ice=relay&code=${shownCode}`);
    await caster.locator('#start').click();
    await until('the TV shows a verdict', () => page.evaluate("document.getElementById('status').getAttribute('data-verdict')"), (verdict) => /^[a-z_]+$/.test(verdict ?? ''));
    await until('the caster reads it', () => caster.locator('#notice').getAttribute('data-verdict'), (verdict) => /^[a-z_]+$/.test(verdict ?? ''));
    await until('the TV says where to read it', () => page.evaluate("document.getElementById('status').innerText"), (text) => /The caster’s screen says why\.$/.test(text.trim()));
  }));
