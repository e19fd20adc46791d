// The pages run under their own Content-Security-Policy, which blocks everything foreign.
import assert from 'node:assert/strict';
import { DEVICES, openPage, until } from './support/browser.mjs';
import { browserTest, isViolation } from './support/browser-test.mjs';

const SIZES = { desktop: { width: 1280, height: 720 }, phone: { width: 390, height: 844 }, television: { width: 1920, height: 1080 } };

browserTest('no page breaks its own policy, and an injected script does not run', {}, async (fixture, server) => {
  const browser = await fixture.browser(DEVICES);
  for (const [size, viewport] of Object.entries(SIZES)) {
    for (const path of ['/', '/tv', '/cast', '/cast?code=AAAAAA', '/r', '/r/policy']) {
      const page = await openPage(browser, `${server.url}${path}`, { viewport, permissions: ['camera', 'microphone'] });
      if (path === '/r/policy') await page.locator('#join').click();
      if (path !== '/' && path !== '/r') await until(`${path} is online`, () => page.evaluate(() => document.body.dataset.online), (online) => online === 'true');
      await page.waitForLoadState('networkidle');
      assert.deepEqual(page.messages.filter((text) => isViolation(text) || /^(error|warning|page error)/.test(text)), [], `${path} on a ${size}`);
      await page.close();
    }
  }
  const page = await openPage(browser, `${server.url}/cast`);
  const ran = await page.evaluate(() => {
    const script = document.createElement('script');
    script.textContent = 'window.injected = true';
    document.body.append(script);
    return Boolean(window.injected);
  });
  assert.equal(ran, false);
  await until('the browser says so', () => page.messages.some(isViolation));
  await page.close();
});
