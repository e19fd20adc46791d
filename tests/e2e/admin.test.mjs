// The operator's page on the real server: everything that it shows is there, everything that it does is done, and what strangers write
// stays text.
import assert from 'node:assert/strict';
import { Allocations } from '../interop/support/allocations.mjs';
import { closeAll, connect as connectMulti, room } from '../interop/support/multi.mjs';
import { DEVICES, inState, joinCall, openPage, openSource, shownCode, until } from './support/browser.mjs';
import { browserTest } from './support/browser-test.mjs';
import { act, addOperator, cell, confirm, openAdmin, OPERATOR, row, secure, shows, signedIn, signIn, turnTo } from './support/operator.mjs';

// Would set `window.hacked` if a page took it for markup.
const MARKUP = '<img src=x onerror="window.hacked=1">';
// What is sent as a header has no quotation marks.
const AGENT = 'Mozilla/5.0 <img src=x onerror=window.hacked=1> Firefox/99.0';

const text = (page, selector) => page.locator(selector).innerText();
const isHarmless = async (page) => {
  assert.equal(await page.evaluate(() => window.hacked), undefined);
  assert.equal(await page.locator('#view img').count(), 0);
};

browserTest('the page is off until there is an operator, signs in, and ends with its session in every tab', {}, async (fixture, server) => {
  const browser = await fixture.browser(DEVICES);
  const insecure = await openPage(browser, `${server.url}/admin`);
  await insecure.locator('#off[data-why=not_secure]').waitFor();
  assert.equal(await insecure.locator('#notice-link').getAttribute('href'), `${secure(server)}/admin`);
  const page = await openAdmin(browser, server, { view: 'settings' });
  assert.equal(await text(page, '#off-command'), 'castway user add NAME --operator');
  await addOperator(server);

  // Without a reload: the page has asked again.
  await signIn(page, { name: OPERATOR.name, password: 'a-wrong-password' });
  await until('the page says what is wrong', () => text(page, '#sign-in-error'), (error) => /wrong/.test(error));
  assert.equal(await page.locator('#password').getAttribute('aria-invalid'), 'true');
  assert.deepEqual(await page.evaluate(() => ['name', 'password'].map((id) => document.getElementById(id).autocomplete)), ['username', 'current-password']);
  await page.locator('#password').fill(OPERATOR.password);
  await page.locator('#sign-in-submit').click();

  // The view of the URL, which stays over a reload; Back leads to the one before.
  await shows(page, 'settings');
  assert.match(await cell(row(page, 'settings', 'CASTWAY_EXTERNAL_IP'), 'value').innerText(), /127\.0\.0\.1/);
  await turnTo(page, 'log');
  await page.reload();
  await shows(page, 'log');
  await page.goBack();
  await shows(page, 'settings');
  await page.locator('#live[data-tone=good]').waitFor();
  assert.equal(await page.evaluate(() => document.title), 'Settings – Castway');

  const other = await page.context().newPage();
  await other.goto(`${secure(server)}/admin#casts`);
  await shows(other, 'casts');
  const cookies = await page.context().cookies();
  assert.deepEqual(cookies.map(({ name, path, httpOnly, secure: https, sameSite }) => [name, path, httpOnly, https, sameSite]), [['castway_admin', '/admin', true, true, 'Strict']]);

  // A session has four streams. A fifth tab asks instead, says so, and is live as soon as there is room.
  const tabs = [];
  for (let count = 0; count < 3; count += 1) {
    tabs.push(await page.context().newPage());
    await tabs[count].goto(`${secure(server)}/admin#casts`);
    await shows(tabs[count], 'casts');
    if (count < 2) await tabs[count].locator('#live[data-tone=good]').waitFor();
  }
  await until('it says that it is not live', () => text(tabs[2], '#live'), (now) => /Not live/.test(now));
  await tabs[0].close();
  await tabs[2].locator('#live[data-tone=good]').waitFor();

  await page.locator('#sign-out').click();
  await page.locator('#sign-in-card').waitFor();
  await other.locator('#sign-in-card').waitFor();
  assert.match(await text(other, '#signed-out'), /session has ended/);
  assert.equal(await other.locator('#view').innerHTML(), '', 'nothing of the session is left');
  await other.goBack().catch(() => {});
  await other.goto(`${secure(server)}/admin#casts`);
  await other.locator('#sign-in-card').waitFor();
});

browserTest('an operator sees a cast come, ends it, and both pages say why', {}, async (fixture, server) => {
  const browser = await fixture.browser(DEVICES);
  const page = await signedIn(browser, server, { view: 'casts' });
  await page.locator('.nothing', { hasText: 'No casts now.' }).waitFor();
  assert.equal(await page.locator('.nothing a').getAttribute('href'), '/tv');

  await openSource(browser);
  const tv = await openPage(browser, `${server.url}/tv?ice=relay&name=${encodeURIComponent(MARKUP)}`, { userAgent: AGENT });
  const code = await shownCode(tv);
  const shown = row(page, 'casts');
  await until('the TV comes without a reload', () => shown.count(), (count) => count === 1);
  assert.match(await cell(shown, 'tv').innerText(), /<img src=x.*127\.0\.0\.1.*Firefox 99/s);
  assert.ok(!(await cell(shown, 'tv').innerText()).includes(code), 'the code is masked');
  assert.match(await cell(shown, 'caster').innerText(), /nobody casts/);
  await page.evaluate(() => (window.rowBefore = document.querySelector('[data-list=casts] tbody tr')));

  const caster = await openPage(browser, `${server.url}/cast?ice=relay`, { userAgent: AGENT });
  await caster.locator('#code-input').fill(code);
  await caster.locator('#name-input').fill(MARKUP);
  await caster.locator('#start').click();
  await inState(caster, 'sharing');
  await inState(tv, 'playing');
  await until('the caster comes', () => cell(shown, 'caster').innerText(), (seen) => seen.includes('<img src=x') && seen.includes('127.0.0.1'));
  await until('the path comes', () => cell(shown, 'path').innerText(), (path) => /relay, (UDP|TCP|TLS)/.test(path));
  await until('the rail counts it', () => text(page, '#rail a[href="#casts"] .count'), (count) => count === '1');
  assert.equal(await page.evaluate(() => window.rowBefore.isConnected), true, 'the row has kept its place');

  // By keys alone: the focus stays on the row while it changes.
  await shown.locator('[data-act=end]').focus();
  const ended = await act(page, shown, 'end');
  assert.ok(ended.title.includes(MARKUP.slice(0, 10)), ended.title);
  assert.match(ended.done, /was ended/);
  await until('the caster’s page says why', () => caster.locator('#notice-title').innerText(), (title) => /The operator ended this cast/.test(title));
  await until('the TV says why', () => tv.locator('body').innerText(), (seen) => /The operator ended this cast/.test(seen));
  await until('the row has no caster', () => cell(shown, 'caster').innerText(), (seen) => /nobody casts/.test(seen));

  const changed = await act(page, shown, 'new-code');
  assert.match(changed.done, /has a new code/);
  await until('the TV shows another code', () => shownCode(tv), (now) => now !== code);
  await until('the log has it', async () => {
    await turnTo(page, 'log');
    return text(page, '.lines-of-log');
  }, (lines) => /ended_by_operator/.test(lines));
  await isHarmless(page);
});

browserTest('an operator closes a call and a room', {}, async (fixture, server) => {
  const browser = await fixture.browser(DEVICES);
  const page = await signedIn(browser, server, { view: 'calls' });
  const permissions = ['camera', 'microphone'];
  const ends = [];
  for (let end = 0; end < 2; end += 1) {
    ends.push(await openPage(browser, `${server.url}/r/team-meeting?ice=relay`, { permissions, userAgent: AGENT }));
    await joinCall(ends[end]);
  }
  for (const end of ends) await inState(end, 'talking');
  const call = row(page, 'calls');
  await until('both are in it', () => cell(call, 'members').innerText(), (seen) => /2 members/.test(seen) && seen.includes('Firefox 99'));
  assert.ok(!(await call.innerText()).includes('team-meeting'), 'the name of the room is a secret of those who call');
  assert.match((await act(page, call, 'close')).done, /was closed/);
  for (const end of ends) await until('the page says why', () => end.locator('body').innerText(), (seen) => /The operator closed this call/.test(seen));
  await until('it is gone', () => row(page, 'calls').count(), (count) => count === 0);

  await turnTo(page, 'rooms');
  const clients = [await connectMulti(server, 'initiator', { headers: { 'user-agent': AGENT } })];
  fixture.onClose(async () => closeAll(clients.map(({ socket }) => socket)));
  await clients[0].ask('open-room', room(MARKUP));
  await until('the room comes', () => row(page, 'rooms').count(), (count) => count === 1);
  await act(page, row(page, 'rooms'), 'close');
  await until('it is gone', () => row(page, 'rooms').count(), (count) => count === 0);
  await isHarmless(page);
});

browserTest('an operator finds an allocation, and ends it', {}, async (fixture, server) => {
  const browser = await fixture.browser(DEVICES);
  const page = await signedIn(browser, server, { view: 'allocations' });
  const credentials = async (name) => {
    const { username, password } = await (await fetch(`${server.url}/turn?username=${encodeURIComponent(name)}`)).json();
    return { username, password };
  };
  const allocations = new Allocations(server);
  fixture.onClose(async () => allocations.close());
  const marked = await allocations.allocated(await credentials(MARKUP));
  await allocations.allocated(await credentials('somebody-else'));
  await until('both are listed', () => row(page, 'allocations').count(), (count) => count === 2);
  await page.locator('[type=search]').fill('<img');
  await until('one is found', () => row(page, 'allocations').count(), (count) => count === 1);
  const { title } = await act(page, row(page, 'allocations'), 'end');
  assert.ok(title.includes('<img'), title);
  await until('it is gone', () => row(page, 'allocations').count(), (count) => count === 0);
  await page.locator('[type=search]').fill('');
  await until('the other one is left', () => row(page, 'allocations').count(), (count) => count === 1);
  assert.equal(await marked.refresh(), 437, 'the relay has forgotten it');
  await isHarmless(page);
});

browserTest('an operator disables users, and gives them passwords and quotas', {}, async (fixture, server) => {
  const browser = await fixture.browser(DEVICES);
  await server.addUser('alice', 'the-old-password');
  const page = await signedIn(browser, server, { view: 'users' });
  const alice = row(page, 'users', 'alice');
  await until('alice is listed', () => cell(alice, 'state').innerText(), (state) => /^enabled/.test(state));

  assert.match((await act(page, alice, 'disable')).title, /^Disable .*alice/);
  await until('she is disabled', () => cell(alice, 'state').innerText(), (state) => /^disabled/.test(state));
  await act(page, alice, 'enable');
  await until('she is enabled', () => cell(alice, 'state').innerText(), (state) => /^enabled/.test(state));

  await act(page, alice, 'quota', (dialog) => dialog.locator('[name=quota]').fill('50G'));
  await until('the quota is shown', () => cell(alice, 'quota').innerText(), (quota) => /^50\.0 GB/.test(quota));
  await alice.locator('[data-act=quota]').click();
  await page.locator('dialog [name=quota]').fill('fifty');
  await page.locator('dialog [type=submit]').click();
  await until('a wrong quota is refused', () => text(page, 'dialog .error'), (error) => /number with a unit/.test(error));
  await page.keyboard.press('Escape');
  assert.equal(await page.evaluate(() => document.activeElement.dataset.act), 'quota', 'the focus is where it was');

  assert.match((await act(page, alice, 'password')).done, /has a new password/);
  const password = await text(page, '.secret');
  assert.ok(password.length >= 12, 'it is no short one');
  await page.locator('dialog', { hasText: 'shown here once' }).locator('.primary').click();
  await page.locator('.secret').waitFor({ state: 'detached' });
  const allocations = new Allocations(server);
  fixture.onClose(async () => allocations.close());
  await allocations.allocated({ username: 'alice', password });
  await until('her allocation is counted', () => cell(alice, 'allocations').innerText(), (count) => count === '1');
});

browserTest('an operator blocks and unblocks, makes a key for a check, and reads the log', {}, async (fixture, server) => {
  const browser = await fixture.browser(DEVICES);
  const page = await signedIn(browser, server, { view: 'log' });
  await until('the log has the sign-in', () => text(page, '.lines-of-log'), (lines) => lines.includes(OPERATOR.name));
  await page.locator('#block').click();
  const { done } = await confirm(page, async (dialog) => {
    await dialog.locator('[name=target]').fill('203.0.113.0/24');
    await dialog.locator('[name=seconds][value="86400"]').check();
  });
  assert.match(done, /203\.0\.113\.0\/24.* is blocked/);
  const ban = row(page, 'bans', '203.0.113.0/24');
  await until('the ban is listed', () => ban.innerText(), (seen) => seen.includes(OPERATOR.name) && /in (1 day|23 hr)/.test(seen));
  await act(page, ban, 'unblock');
  await until('the ban is gone', () => ban.count(), (count) => count === 0);
  await page.locator('#block').click();
  await page.locator('dialog [name=target]').fill(MARKUP);
  await page.locator('dialog [type=submit]').click();
  await until('the server’s reason is shown', () => text(page, 'dialog .error'), (error) => error !== '');
  await page.keyboard.press('Escape');

  await turnTo(page, 'check');
  await page.locator('#new-key').click();
  await page.locator('#check-key').waitFor();
  const link = await page.locator('#check-key a').getAttribute('href');
  assert.match(link, /\/check\?k=\w+/);
  assert.equal(await page.locator('#check-key .qr').getAttribute('data-url'), link);
  await isHarmless(page);
});
