// A television of 2018 shows a cast from a current browser, or says that there is none.
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { excerpt } from '../interop/support/excerpt.mjs';
import { openPage, openSource, startCast, until } from './support/browser.mjs';
import { assertOldPicture, openOld } from './support/old-chromium.mjs';
import { browserTest, isViolation } from './support/browser-test.mjs';
import { DEAD_RELAY } from './support/dead-relay.mjs';

const out = fileURLToPath(new URL('out/', import.meta.url));

const code = (page) => until('a code', () => page.evaluate("(document.getElementById('code') || { getAttribute: () => null }).getAttribute('data-code')"), (text) => /^[A-Z0-9]{6}$/.test(text ?? ''));
const online = (page) => until('the page is online', () => page.evaluate('document.body.dataset.online'), (online) => online === 'true');

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
    const shown = await code(page);
    await online(page);
    const browser = await fixture.browser();
    await openSource(browser);
    await startCast(browser, server, shown);
    await until('the TV plays', () => page.evaluate('document.body.dataset.state'), (state) => state === 'playing');
    await assertOldPicture(page);
    const size = await page.evaluate("document.getElementById('video').videoWidth");
    assert.ok(size > 100, `a picture ${size} pixels wide`);
  }));

browserTest('Chromium 67 on our TV page says that there is no picture', DEAD_RELAY, (fixture, server) =>
  withOldTv(fixture, server, 'old-tv-failure', async (page) => {
    const shown = await code(page);
    await online(page);
    const browser = await fixture.browser();
    await openSource(browser);
    const caster = await openPage(browser, `${server.url}/cast?ice=relay&code=${shown}`);
    await caster.locator('#start').click();
    await until('the TV shows a verdict', () => page.evaluate("document.getElementById('status').getAttribute('data-verdict')"), (verdict) => /^[a-z_]+$/.test(verdict ?? ''));
    await until('the caster reads it', () => caster.locator('#notice').getAttribute('data-verdict'), (verdict) => /^[a-z_]+$/.test(verdict ?? ''));
    await until('the TV says where to read it', () => page.evaluate("document.getElementById('status').innerText"), (text) => /The caster’s screen says why\.$/.test(text.trim()));
  }));
