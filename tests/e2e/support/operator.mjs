// An operator, and the steps of one on the page `/admin` of the real server.
import assert from 'node:assert/strict';
import { openPage, until } from './browser.mjs';

export const OPERATOR = { name: 'anna', password: 'a-password-of-anna' };

// The browser takes the self-signed certificate of the server.
const UNVERIFIED = { ignoreHTTPSErrors: true };

export const secure = (server) => `https://127.0.0.1:${server.httpsPort}`;

export async function addOperator(server, { name, password } = OPERATOR) {
  const { code, stderr } = await server.cli(['user', 'add', name, '--operator', '--password-stdin'], `${password}\n`);
  assert.equal(code, 0, stderr);
}

export const openAdmin = (browser, server, { view = 'now', ...more } = {}) => openPage(browser, `${secure(server)}/admin#${view}`, { ...UNVERIFIED, ...more });

export async function signIn(page, { name, password } = OPERATOR) {
  await page.locator('#sign-in-card').waitFor();
  await page.locator('#name').fill(name);
  await page.locator('#password').fill(password);
  await page.locator('#password').press('Enter');
}

// A server with an operator, and the page on which that one has signed in.
export async function signedIn(browser, server, options) {
  await addOperator(server);
  const page = await openAdmin(browser, server, options);
  await signIn(page);
  await shows(page, options?.view ?? 'now');
  return page;
}

// Waits until the page shows a view with what the server has answered.
export const shows = (page, view) => page.locator(`#view[data-view="${view}"][data-loaded]`).waitFor();

export async function turnTo(page, view) {
  await page.locator(`#rail a[href="#${view}"]`).click();
  await shows(page, view);
}

// The row of a list that contains a text.
export const row = (page, list, text) => page.locator(`[data-list="${list}"] tbody tr`, text === undefined ? {} : { hasText: text });

export const cell = (within, name) => within.locator(`[data-cell="${name}"]`);

// Presses a row's button, answers the question, whose title it returns, and waits until it is said to be done.
export async function act(page, within, name, answer = async () => {}) {
  await within.locator(`[data-act="${name}"]`).press('Enter');
  return confirm(page, answer);
}

export async function confirm(page, answer = async () => {}) {
  const dialog = page.locator('dialog');
  await dialog.waitFor();
  const title = await dialog.locator('h2').innerText();
  await answer(dialog);
  await dialog.locator('[type=submit]').click();
  await until(`“${title}” is over`, () => page.evaluate(() => ({
    open: document.querySelector('dialog form') !== null,
    error: document.querySelector('dialog .error:not([hidden])')?.textContent ?? null,
  })), ({ open, error }) => {
    assert.equal(error, null, title);
    return !open;
  });
  return { title, done: await page.locator('#done-text').innerText() };
}
