// Each view of the operator's page, full and empty, its dialogs, and what it shows when it is off: for people with disabilities, in both
// languages, dark and light, from a phone to a television, with forced colours; and what it costs.
import assert from 'node:assert/strict';
import { Allocations } from '../interop/support/allocations.mjs';
import { Web } from '../interop/support/apprtc.mjs';
import { closeAll, connect } from '../interop/support/clients.mjs';
import { closeAll as closeMulti, connect as connectMulti, room } from '../interop/support/multi.mjs';
import { signed } from '../interop/support/strangers.mjs';
import { assertAccessible, assertFits } from './support/axe.mjs';
import { openPage, until } from './support/browser.mjs';
import { browserTest } from './support/browser-test.mjs';
import { assertChinese } from './support/chinese.mjs';
import { firstLoad } from './support/first-load.mjs';
import { EMPTY, FULL, startMockAdmin } from './support/mock-admin.mjs';
import { act, OPERATOR, row, shows, signedIn } from './support/operator.mjs';

const VIEWS = ['now', 'casts', 'calls', 'rooms', 'allocations', 'users', 'check', 'log', 'settings'];
const LOOKS = [
  { locale: 'en-US', colorScheme: 'dark' },
  { locale: 'zh-CN', colorScheme: 'light' },
];
const SIZES = [[390, 844], [640, 360], [1024, 768], [1280, 720], [1920, 1080]];
const SIGNED_OUT = { operator: null, csrf: null };
const signInAnswer = (status, error) => ({ signIn: [status, { error }] });

// What is in front of the views.
const OUTSIDE = {
  'no operator yet': [{ available: false, why: 'no_operator' }, {}, '#off-command-row'],
  'without HTTPS': [{ available: false, why: 'not_secure' }, {}, '#off'],
  'under a path': [{ available: false, why: 'under_path' }, {}, '#off'],
  'the sign-in': [{}, {}, '#sign-in-card'],
  'a wrong password': [{}, signInAnswer(401, { code: 'wrong_password', message: 'Wrong.' }), '#sign-in-error'],
  'too many wrong passwords': [{}, signInAnswer(429, { code: 'too_many_attempts', message: 'Wait.', retryAfter: 42 }), '#sign-in-error'],
};
const DIALOGS = { casts: ['end', 'new-code', 'block'], users: ['disable', 'password', 'quota', 'usage'], log: ['unblock'] };

const mocked = () => startMockAdmin(FULL());

// What clients and operators have named in the data of the mock: users, rooms, whom a ban is for, and programs; and commands.
function named(data) {
  if (Array.isArray(data)) return data.flatMap(named);
  if (!data || typeof data !== 'object') return [];
  const names = ['name', 'user', 'room', 'agent', 'target', 'operator', 'command'].map((key) => data[key]).filter((value) => typeof value === 'string');
  return [...names, ...Object.values(data).flatMap(named)];
}
const NAMED = named(FULL());

const turnTo = async (page, view) => {
  await page.evaluate((name) => (location.hash = name), view);
  await shows(page, view);
};

for (const look of LOOKS) {
  browserTest(`every view of the operator's page is accessible and fits into each window, in ${look.locale} and ${look.colorScheme}`, mocked, async (fixture, mock) => {
    const browser = await fixture.browser();
    for (const [what, data] of [['full', FULL()], ['empty', EMPTY()]]) {
      Object.assign(mock.data, data);
      const page = await openPage(browser, `${mock.url}/admin`, look);
      for (const view of VIEWS) {
        await turnTo(page, view);
        if (view === 'check') await page.locator('#new-key').click();
        await assertAccessible(page, `${what} ${view}`);
        await assertFits(page, `${what} ${view}`, SIZES);
        if (look.locale === 'zh-CN') await assertChinese(page, `${what} ${view}`, NAMED);
      }
      assert.equal(await page.evaluate(() => document.documentElement.lang), look.locale === 'zh-CN' ? 'zh-CN' : 'en');
      // As cards, too.
      await page.setViewportSize({ width: 390, height: 844 });
      for (const view of ['casts', 'allocations', 'log']) {
        await turnTo(page, view);
        await assertAccessible(page, `${what} ${view} on a phone`);
      }
      await page.context().close();
    }
  });

  browserTest(`the dialogs and the sign-in of the operator's page are accessible, in ${look.locale} and ${look.colorScheme}`, mocked, async (fixture, mock) => {
    const browser = await fixture.browser();
    const page = await openPage(browser, `${mock.url}/admin`, look);
    for (const [view, acts] of Object.entries(DIALOGS)) {
      await turnTo(page, view);
      for (const name of acts) {
        await page.locator(`[data-act="${name}"]:visible`).first().click();
        await page.locator('dialog').waitFor();
        await assertAccessible(page, name);
        await assertFits(page, name, SIZES);
        if (look.locale === 'zh-CN') await assertChinese(page, name, NAMED);
        await page.keyboard.press('Escape');
      }
    }
    const { state } = mock.data;
    for (const [name, [changes, answers, shown]] of Object.entries(OUTSIDE)) {
      Object.assign(mock.data, answers, { state: { ...state, ...SIGNED_OUT, ...changes } });
      await page.reload();
      if (answers.signIn) {
        await page.locator('#name').fill('anna');
        await page.locator('#password').fill('wrong');
        await page.locator('#sign-in-submit').click();
      }
      await page.locator(shown).waitFor();
      await assertAccessible(page, name);
      await assertFits(page, name, SIZES);
      if (look.locale === 'zh-CN') await assertChinese(page, name, NAMED);
    }
    assert.match(await page.locator('#sign-in-submit').innerText(), /\d/, 'the wait is counted down');
  });
}

// Most of these settings are worth a warning.
const WARNED_OF = {
  CASTWAY_STATIC_AUTH_SECRET: 'short',
  CASTWAY_TURN_ACCESS: 'open',
  CASTWAY_REALM: '"castway"',
  CASTWAY_EXTERNAL_IP: '127.0.0.1,2001:db8::7',
  CASTWAY_WRONG_CODES: '6',
};
const CLIENTS = ['Kitchen', 'owner', 'a program'];

browserTest('an operator who reads Chinese finds no English sentence of a real server', WARNED_OF, async (fixture, server) => {
  fixture.onClose(async () => closeAll());
  const tv = await connect(server, { label: 'TV', extraHeaders: { 'user-agent': 'a program' } });
  assert.equal((await tv.ask('TV_INIT', { name: 'Kitchen' })).ok, true);
  const guesser = await connect(server, { label: 'guesser' });
  assert.ok(await new Web(server.url).join('call-of-nobody'));
  const owner = await connectMulti(server, 'owner', { headers: { 'user-agent': 'a program' } });
  fixture.onClose(async () => closeMulti([owner.socket]));
  assert.deepEqual(await owner.ask('open-room', room('room-of-nobody')), [true]);
  const allocations = new Allocations(server);
  fixture.onClose(async () => allocations.close());
  await allocations.allocated(signed('anyone', WARNED_OF.CASTWAY_STATIC_AUTH_SECRET, 'zoe'));
  assert.equal((await server.cli(['block', '203.0.113.0/24'])).code, 0);

  const page = await signedIn(await fixture.browser(), server, { locale: 'zh-CN' });
  const warnings = page.locator('[data-fact=warnings] li');
  await until('its warnings', () => warnings.count(), (count) => count >= 5);
  for (const view of VIEWS) {
    await turnTo(page, view);
    if (!['now', 'users', 'check', 'log'].includes(view)) await row(page, view).first().waitFor();
    // Wrong codes until this address has to wait.
    const guessed = async () => {
      const { error } = await guesser.ask('CHECK_CODE', 'AAAAAA');
      assert.match(error.code, /^(unknown_code|too_many_attempts)$/);
      return row(page, 'throttled').count();
    };
    if (view === 'log') await until('the throttle', guessed, (count) => count > 0);
    await assertChinese(page, view, [OPERATOR.name, 'zoe', ...CLIENTS]);
  }

  // Why the server refuses something is said in Chinese as well.
  await turnTo(page, 'log');
  for (const target of ['127.0.0.0/8', '203.0.113.0/2', 'nonsense', 'user:anna', '0.0.0.0']) {
    await page.locator('#block').click();
    await page.locator('dialog [name=target]').fill(target);
    await page.locator('dialog [type=submit]').click();
    await page.locator('dialog .error').waitFor();
    await assertChinese(page, target, [OPERATOR.name]);
    await page.keyboard.press('Escape');
  }
});

browserTest('rows keep their places and the focus while the operator’s page changes', mocked, async (fixture, mock) => {
  const page = await openPage(await fixture.browser(), `${mock.url}/admin#casts`);
  await shows(page, 'casts');
  const ids = () => row(page, 'casts').evaluateAll((rows) => rows.map(({ dataset }) => dataset.id));
  await page.locator('[data-id="cast-2"] [data-act=block]').focus();
  const focused = () => page.evaluate(() => `${document.activeElement.closest('tr')?.dataset.id} ${document.activeElement.dataset.act}`);
  const casts = [...mock.data.casts].reverse();
  mock.data.casts = [{ ...casts[0], id: 'cast-4' }, ...casts];
  mock.tell('casts', { rows: mock.data.casts, total: mock.data.casts.length });
  await until('a new row comes last', ids, (now) => now.join() === 'cast-1,cast-2,cast-3,cast-4');
  assert.equal(await focused(), 'cast-2 block');
  mock.data.casts = mock.data.casts.filter(({ id }) => id !== 'cast-2');
  mock.tell('casts', { rows: mock.data.casts, total: mock.data.casts.length });
  await until('its row has gone', ids, (now) => now.join() === 'cast-1,cast-3,cast-4');
  assert.equal(await focused(), 'cast-3 block', 'the row in its place has the focus');

  // What the server refuses is said in the dialog, and each change has the session's token.
  mock.data.refuse = [409, { error: { code: 'refused', message: 'The TV is away.' } }];
  await page.locator('[data-id="cast-1"] [data-act=new-code]').click();
  await page.locator('dialog [type=submit]').click();
  await until('the reason is shown', () => page.locator('dialog .error').innerText(), (error) => error === 'The TV is away.');
  await page.keyboard.press('Escape');
  delete mock.data.refuse;
  const { title } = await act(page, page.locator('[data-id="cast-1"]'), 'block', (dialog) => dialog.locator('[name=target][value="user:anna"]').check());
  assert.equal(title, 'Block somebody');
  assert.deepEqual(mock.posts.slice(-2), [
    ['new-code', { id: 'cast-1' }, 'token'],
    ['block', { target: 'user:anna', seconds: 3600 }, 'token'],
  ]);

  // When the server goes away the page says so, and it is live again when the server is back.
  const live = () => page.locator('#live').getAttribute('data-tone');
  await until('it is live', live, (tone) => tone === 'good');
  const { port } = new URL(mock.url);
  await mock.close();
  await until('it is not live', live, (tone) => tone === 'busy');
  const again = await startMockAdmin(FULL(), Number(port));
  fixture.onClose(() => again.close());
  await until('it is live again', live, (tone) => tone === 'good');
});

browserTest('forced colours keep the edges of the operator’s page', mocked, async (fixture, mock) => {
  const page = await openPage(await fixture.browser(), `${mock.url}/admin#casts`, { forcedColors: 'active' });
  await shows(page, 'casts');
  const edge = (selector) => page.locator(selector).first().evaluate((element) => {
    const { borderTopWidth, borderTopStyle } = getComputedStyle(element);
    return borderTopStyle !== 'none' && parseFloat(borderTopWidth) >= 1;
  });
  for (const selector of ['#rail [aria-current]', '[data-act=end]', '#sign-out']) assert.ok(await edge(selector), selector);
  await page.locator('[data-act=block]').first().click();
  assert.ok(await edge('dialog'));
});

browserTest('the operator’s page costs at most 80 kB on a first visit', {}, async (fixture, server) => {
  const { bytes } = await firstLoad(await fixture.browser(), server, '/admin');
  assert.ok(bytes > 20_000 && bytes <= 80_000, `${bytes}`);
});
