// The sign-in of casters, on a server whose casters are users.
import assert from 'node:assert/strict';
import { assertAccessible, assertFits } from './support/axe.mjs';
import { assertPicture, inState, openPage, openSource, shownCode, until } from './support/browser.mjs';
import { browserTest } from './support/browser-test.mjs';

const PHONE = [[390, 844]];
const says = (page, pattern) => until(`the page says ${pattern}`, () => page.locator('#sign-in-status').innerText(), (text) => pattern.test(text));
const kept = (page) => page.evaluate(() => ['localStorage', 'sessionStorage'].map((area) => window[area].getItem('castway.user')).filter((text) => text && text !== 'null'));
const focused = (page, id) => until(`the focus is in ${id}`, () => page.evaluate(() => document.activeElement?.id), (now) => now === id);

browserTest('a caster signs in with the keyboard, casts, stays signed in and is signed out by a new password', { CASTWAY_CAST_ACCESS: 'users' }, async (fixture, server) => {
  await server.addUser('alice');
  const browser = await fixture.browser();
  const [tv] = await Promise.all([openPage(browser, `${server.url}/tv?ice=relay`), openSource(browser)]);
  const code = await shownCode(tv);
  const chinese = await openPage(browser, `${server.url}/cast`, { locale: 'zh-CN', colorScheme: 'dark' });
  await chinese.locator('#sign-in').waitFor();
  assert.equal(await chinese.locator('#sign-in-title').innerText(), '登录后投屏');
  await assertAccessible(chinese, 'the sign-in in Chinese');
  await chinese.context().close();

  const page = await openPage(browser, `${server.url}/cast?ice=relay&code=${code}`);
  await focused(page, 'user-name');
  assert.equal(await page.locator('#setup').isVisible(), false);
  await page.keyboard.press('Enter');
  await says(page, /Type your name/);
  await page.keyboard.type('alice');
  await page.keyboard.press('Tab');
  await page.keyboard.type('wrong');
  await page.keyboard.press('Enter');
  await says(page, /^The name or the password is wrong\.$/);
  assert.equal(await page.locator('#user-password').getAttribute('aria-invalid'), 'true');
  await assertAccessible(page, 'a wrong password');
  await assertFits(page, 'a wrong password', PHONE);
  await focused(page, 'user-password');
  await page.keyboard.type('alice-password-1');
  await page.keyboard.press('Tab');
  await page.keyboard.press('Space');
  await page.keyboard.press('Enter');
  await focused(page, 'code-input');
  assert.equal(await page.locator('#sign-in').isVisible(), false);
  assert.equal(await page.locator('#signed-in-name').innerText(), 'You are signed in as alice.');
  await assertAccessible(page, 'signed in');
  await assertFits(page, 'signed in', PHONE);
  const [saved, ...more] = await kept(page);
  assert.deepEqual([more, JSON.parse(saved).name, saved.includes('alice-password-1')], [[], 'alice', false]);

  await page.locator('#start').click();
  await inState(page, 'sharing');
  await inState(tv, 'playing');
  await assertPicture(tv, 2);
  assert.equal(await page.locator('#signed-in').isVisible(), false);
  await page.locator('#stop').click();
  await inState(page, 'setup');

  await page.reload();
  await page.locator('#signed-in').waitFor();
  await page.locator('#sign-out').click();
  await page.locator('#sign-in').waitFor();
  assert.deepEqual(await kept(page), []);

  await page.locator('#user-name').fill('alice');
  await page.locator('#user-password').fill('alice-password-1');
  await page.locator('#sign-in-button').click();
  await page.locator('#signed-in').waitFor();
  assert.equal((await server.cli(['user', 'passwd', 'alice', '--password-stdin'], 'another-password-2\n')).code, 0);
  // The server knows the new password after a moment.
  const join = async () => {
    if (await page.locator('#start').isVisible()) await page.locator('#start').click();
    await until('an end of the attempt', () => page.evaluate(() => window.castway.state()), (state) => state === 'sharing' || state === 'setup');
    if ((await page.evaluate(() => window.castway.state())) === 'sharing') await page.locator('#stop').click();
    return page.locator('#sign-in').isVisible();
  };
  await until('the sign-in is needed again', join);
  await says(page, /no longer accepts your sign-in/);
  assert.deepEqual(await kept(page), []);
});
