// Each page, and each of its states that needs no second device: for people with disabilities, in both languages, dark and light, in
// narrow windows, with forced colours; and what a first visit costs.
import assert from 'node:assert/strict';
import { assertAccessible, assertFits } from './support/axe.mjs';
import { DEVICES, inState, openPage, until } from './support/browser.mjs';
import { browserTest } from './support/browser-test.mjs';
import { firstLoad, oldFirstLoad } from './support/first-load.mjs';

// A phone, and a laptop's window at 200 % zoom.
const NARROW = [[390, 844], [640, 360]];
const LOOKS = [
  { locale: 'en-US', colorScheme: 'dark' },
  { locale: 'zh-CN', colorScheme: 'light' },
];
const insecurely = 'Object.defineProperty(window, "isSecureContext", { value: false })';
const errorIs = (id) => (page) => until(id, () => page.locator('#notice').getAttribute('data-error'), (error) => error === id);
const visible = (selector) => (page) => page.locator(selector).waitFor();
const press = (selector, then) => async (page) => {
  await page.locator(selector).click();
  await then(page);
};

const STATES = {
  'the landing page': ['/', visible('#version')],
  'the landing page without HTTPS': ['/', visible('#notice-link'), { script: insecurely }],
  'a wrong address': ['/404', visible('.doors')],
  'a waiting TV': ['/tv', (page) => inState(page, 'waiting')],
  'the caster': ['/cast', visible('#start')],
  'the caster without HTTPS': ['/cast', errorIs('insecure'), { script: insecurely }],
  'the caster without screens': ['/cast', errorIs('no_capture'), { script: 'delete MediaDevices.prototype.getDisplayMedia' }],
  'the caster with half a code': ['/cast?code=ABC', press('#start', errorIs('code_incomplete'))],
  'the start of a call': ['/r', visible('#open')],
  'the lobby of a call': ['/r/looks', visible('#join'), { permissions: ['camera', 'microphone'] }],
  'the lobby without a camera': ['/r/looks', errorIs('refused')],
  'the lobby without HTTPS': ['/r/looks', errorIs('insecure'), { script: insecurely }],
  'the check': ['/check', visible('#start-check:enabled')],
  'the check without HTTPS': ['/check', visible('#notice-link'), { script: insecurely }],
  'the check with a wrong key': ['/check?k=WRONG', press('#start-check', visible('#notice'))],
};

for (const { locale, colorScheme } of LOOKS) {
  browserTest(`every page is accessible and fits into narrow windows, in ${locale} and ${colorScheme}`, {}, async (fixture, server) => {
    const browser = await fixture.browser(DEVICES);
    for (const [name, [path, ready, more]] of Object.entries(STATES)) {
      const page = await openPage(browser, server.url + path, { locale, colorScheme, ...more });
      await ready(page);
      assert.equal(await page.evaluate(() => document.documentElement.lang), locale === 'zh-CN' ? 'zh-CN' : 'en', name);
      await assertAccessible(page, name);
      // The TV page scales with its screen, which is neither.
      if (path !== '/tv') await assertFits(page, name, NARROW);
      await page.context().close();
    }
  });
}

browserTest('the footer changes the language, which is remembered', {}, async (fixture, server) => {
  const page = await openPage(await fixture.browser(), `${server.url}/cast?code=ABC`);
  const lang = () => page.evaluate(() => document.documentElement.lang);
  assert.equal(await page.locator('#language').innerText(), '中文');
  await page.locator('#language').click();
  await until('the page is Chinese', lang, (now) => now === 'zh-CN');
  assert.match(await page.locator('h1').innerText(), /共享/);
  assert.match(await page.locator('#code-input').inputValue(), /ABC/);
  await page.goto(`${server.url}/r`);
  await until('the language is remembered', lang, (now) => now === 'zh-CN');
  // A link to a path that begins with two slashes would lead to another host.
  await page.goto(`${server.url}//other.example/`);
  await until('the page that is shown instead is Chinese', lang, (now) => now === 'zh-CN');
  assert.equal(await page.locator('#language').evaluate((link) => link.href), `${server.url}/other.example/?lang=en`);
  await page.goto(`${server.url}/?lang=en`);
  await until('the page is English', lang, (now) => now === 'en');
  await until('the version is shown', () => page.locator('#version').innerText(), (text) => /^Castway \d+\.\d+\.\d+/.test(text));
});

browserTest('forced colours keep edges and selections', {}, async (fixture, server) => {
  const page = await openPage(await fixture.browser(), `${server.url}/cast`, { forcedColors: 'active' });
  const style = (selector) => page.locator(selector).first().evaluate((element) => {
    const { color, backgroundColor, borderTopWidth, borderTopStyle } = getComputedStyle(element);
    return { colors: [color, backgroundColor], edge: borderTopStyle !== 'none' && parseFloat(borderTopWidth) >= 1 };
  });
  const selection = await page.evaluate(() => {
    const probe = document.body.appendChild(document.createElement('p'));
    probe.style.cssText = 'forced-color-adjust: none; color: HighlightText; background: Highlight';
    const { color, backgroundColor } = getComputedStyle(probe);
    probe.remove();
    return [color, backgroundColor];
  });
  for (const group of ['source', 'preset']) {
    const [chosen, other] = [await style(`input[name=${group}]:checked + span`), await style(`input[name=${group}]:not(:checked) + span`)];
    assert.deepEqual(chosen.colors, selection, group);
    assert.notDeepEqual(other.colors, selection, group);
  }
  const before = await style('#sound');
  await page.locator('#sound').check();
  assert.ok((await style('#sound')).edge && before.edge);
  assert.ok((await style('#start')).edge);
});

browserTest('a page without HTTPS leads to the secure one, and says what the browser will say', {}, async (fixture, server) => {
  const browser = await fixture.browser();
  for (const path of ['/', '/cast', '/r/looks', '/check?k=ABC']) {
    const page = await openPage(browser, `${server.url}${path}`, { script: insecurely });
    const link = page.locator('#notice-link');
    await link.waitFor();
    assert.equal(await link.innerText(), 'Continue securely');
    assert.equal(await link.getAttribute('href'), `https://127.0.0.1:${server.httpsPort}${path}`);
    assert.match(await page.locator('#notice-says').innerText(), /“Your connection is not private”.*“Proceed to 127\.0\.0\.1”/);
    assert.equal(await page.locator('#notice-fingerprint').isVisible(), false);
    await page.locator('#notice-certificate summary').click();
    assert.match(await page.locator('#notice-fingerprint').innerText(), /^([0-9A-F]{2}:){31}[0-9A-F]{2}$/);
    await page.context().close();
  }
});

browserTest('a page asks again for what the browser gave up, and takes pasted links', {}, async (fixture, server) => {
  const page = await openPage(await fixture.browser(), `${server.url}/robots.txt`);
  const once = (pattern) => page.route(pattern, (route) => route.abort('connectionreset'), { times: 1 });
  await once('**/assets/check-legacy-*');
  await once('**/assets/i18n-legacy-*');
  await once('**/check/start');
  await page.goto(`${server.url}/check`);
  await page.locator('#start-check:enabled').waitFor();
  await page.locator('#key-input').fill('https://example.org/check?k=ＷＲＯＮＧ-key');
  assert.equal(await page.locator('#key-input').inputValue(), 'WRONG-key');
  await page.locator('#start-check').click();
  await until('the server answers', () => page.locator('#notice-hint').innerText(), (text) => /This key is not valid/.test(text));
  await page.locator('#digits-input').fill('https://example.org/check?d=１２３４');
  assert.equal(await page.locator('#digits-input').inputValue(), '1234');
});

browserTest('the TV page costs at most 80 kB on a first visit, and 150 kB on an old engine', {}, async (fixture, server) => {
  const browser = await fixture.browser();
  const [now, old] = [await firstLoad(browser, server, '/tv'), await oldFirstLoad(server, '/tv')];
  assert.ok(now.bytes > 20_000 && now.bytes <= 80_000, JSON.stringify(now));
  assert.ok(old.bytes > now.bytes && old.bytes <= 150_000, JSON.stringify(old));
});
