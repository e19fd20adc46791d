// A television of 2018 shows a cast from a current browser.
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { excerpt } from '../interop/support/excerpt.mjs';
import { openSource, startCast, until } from './support/browser.mjs';
import { assertOldPicture, openOld } from './support/old-chromium.mjs';
import { browserTest, isViolation } from './support/browser-test.mjs';

const out = fileURLToPath(new URL('out/', import.meta.url));

browserTest('Chromium 67 on our TV page shows frames of a modern caster', {}, async (fixture, server) => {
  const old = await openOld(`${server.url}/tv?ice=relay`);
  fixture.onClose(old.close);
  const { page, version } = old;
  try {
    assert.match(version, /Chrome\/67\./);
    const code = await until('a code', () => page.evaluate("(document.getElementById('code') || { getAttribute: () => null }).getAttribute('data-code')"), (text) => /^[A-Z0-9]{6}$/.test(text ?? ''));
    await until('the page is online', () => page.evaluate('document.body.dataset.online'), (online) => online === 'true');
    const browser = await fixture.browser();
    await openSource(browser);
    await startCast(browser, server, code);
    await until('the TV plays', () => page.evaluate('document.body.dataset.state'), (state) => state === 'playing');
    await assertOldPicture(page);
    const size = await page.evaluate("document.getElementById('video').videoWidth");
    assert.ok(size > 100, `a picture ${size} pixels wide`);
    assert.deepEqual(page.messages.filter(isViolation), []);
  } catch (error) {
    mkdirSync(out, { recursive: true });
    await page.screenshot(`${out}old-tv.png`).catch(() => {});
    console.error(`see ${out}old-tv.png; its console said:\n${excerpt(page.messages.join('\n'))}`);
    throw error;
  }
});
