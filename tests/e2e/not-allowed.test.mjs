// The operator's own server decides who may have a seat (CASTWAY_AUTHORIZE_URL): the pages show its sentence, as text, below a title of
// their own; and they say when that server does not answer.
import assert from 'node:assert/strict';
import { Operator } from '../interop/support/authorizer.mjs';
import { startServer } from '../interop/support/server.mjs';
import { assertAccessible, assertFits } from './support/axe.mjs';
import { DEVICES, joinCall, openPage, shownCode, until } from './support/browser.mjs';
import { browserTest } from './support/browser-test.mjs';
import { assertChinese } from './support/chinese.mjs';

// The longest one that the server passes on. It would set `window.hacked` if a page took it for markup, and turns the text around.
const SENTENCE = `Only employees may do this. <img src=x onerror="window.hacked=1"> \u202e${'Please ask for the badge. '.repeat(20)}`.slice(0, 300).trim();
const SIZES = [[390, 844], [1280, 720]];
const LANGUAGES = {
  'en-US': {
    tv: /^The server refuses this TV: its operator does not allow it \(“Only employees may do this\./,
    tvPlain: 'The server refuses this TV: its operator does not allow it. Trying again …',
    tvDown: 'The server refuses this TV: the service that decides does not answer. Trying again …',
    call: ['The operator does not allow this call', 'Ask the operator of this server.'],
    callDown: ['The server can’t find out whether you may call', 'The service that decides does not answer. Try again later.'],
    cast: ['The operator does not allow this cast', 'Ask the operator of this server.'],
    castDown: ['The server can’t find out whether you may cast', 'The service that decides does not answer. Try again later.'],
  },
  'zh-CN': {
    tv: /^服务器拒绝了此电视：管理员不允许（“Only employees may do this\./,
    tvPlain: '服务器拒绝了此电视：管理员不允许。正在重试……',
    tvDown: '服务器拒绝了此电视：负责确认权限的服务没有响应。正在重试……',
    call: ['管理员不允许此次通话', '请联系此服务器的管理员。'],
    callDown: ['服务器无法确认您能否通话', '负责确认权限的服务没有响应，请稍后再试。'],
    cast: ['管理员不允许此次投屏', '请联系此服务器的管理员。'],
    castDown: ['服务器无法确认您能否投屏', '负责确认权限的服务没有响应，请稍后再试。'],
  },
};

const decided = (settings) => async (fixture) => {
  const operator = await Operator.start();
  fixture.onClose(async () => operator.close());
  fixture.operator = operator;
  return startServer({ ...operator.settings, ...settings });
};
// TVs are refused as the others; `allowTv` lets them in.
const refuse = (operator, answer, allowTv = false) => (operator.decide = ({ kind }) => (allowTv && kind === 'tv' ? { allow: true } : answer));
const isHarmless = async (page) => {
  assert.equal(await page.evaluate(() => window.hacked), undefined);
  assert.equal(await page.locator('[src=x]').count(), 0);
};
const notice = (page, id, [title, hint]) => until(`the notice ${id}`, () => page.evaluate(() => ['notice-title', 'notice-hint'].map((part) => document.getElementById(part).textContent)), (now) => now[0] === title && now[1] === hint);

for (const [locale, says] of Object.entries(LANGUAGES)) {
  browserTest(`who is not allowed reads the sentence of the operator’s server on /r, /tv and /cast, in ${locale}`, decided({}), async (fixture, server) => {
    const { operator } = fixture;
    const browser = await fixture.browser(DEVICES);

    refuse(operator, { allow: false, reason: SENTENCE });
    const call = await openPage(browser, `${server.url}/r/meeting`, { locale, permissions: ['camera', 'microphone'] });
    await joinCall(call);
    await notice(call, 'not_allowed', [says.call[0], SENTENCE]);
    assert.equal(await call.locator('#notice').getAttribute('data-error'), 'not_allowed');
    await isHarmless(call);
    await assertAccessible(call, 'a refused call');
    await assertFits(call, 'a refused call', SIZES);
    if (locale === 'zh-CN') await assertChinese(call, 'a refused call', [SENTENCE, 'meeting']);
    const again = () => call.locator('#join:not([disabled])').click();
    refuse(operator, { allow: false });
    await again();
    await notice(call, 'not_allowed', says.call);
    refuse(operator, 500);
    await again();
    await notice(call, 'not_decided', says.callDown);
    refuse(operator, { allow: true });
    await again();
    await until('the call is joined', () => call.evaluate(() => document.body.dataset.state), (state) => state === 'waiting');
    await call.context().close();

    refuse(operator, { allow: false, reason: SENTENCE });
    const tv = await openPage(browser, `${server.url}/tv`, { locale });
    const status = () => tv.locator('#status-text').textContent();
    await until('the TV says why', status, (text) => says.tv.test(text) && text.includes(SENTENCE));
    assert.equal(await tv.locator('#status-text bdi').textContent(), SENTENCE);
    await isHarmless(tv);
    await assertAccessible(tv, 'a refused TV');
    await assertFits(tv, 'a refused TV', SIZES);
    for (const [answer, text] of [[{ allow: false }, says.tvPlain], [500, says.tvDown]]) {
      refuse(operator, answer);
      await tv.reload();
      await until('the TV says it', status, (now) => now === text);
    }
    refuse(operator, { allow: true });
    await tv.reload();
    const code = await shownCode(tv);

    const cast = await openPage(browser, `${server.url}/cast?code=${code}`, { locale, permissions: ['camera'] });
    // A camera needs no picker, which this page would open three times.
    await cast.locator('#source-camera').check({ force: true });
    for (const [answer, expected, id] of [[{ allow: false, reason: SENTENCE }, [says.cast[0], SENTENCE], 'refused'], [{ allow: false }, says.cast, 'refused'], [500, says.castDown, 'unavailable']]) {
      refuse(operator, answer, true);
      await cast.locator('#start:not([disabled])').click();
      await notice(cast, id, expected);
      assert.equal(await cast.locator('#notice').getAttribute('data-error'), id);
      await isHarmless(cast);
    }
  });
}

browserTest('where casters sign in, the sign-in comes first and the sentence after it, and TVs and calls need none', decided({ CASTWAY_CAST_ACCESS: 'users' }), async (fixture, server) => {
  const { operator } = fixture;
  await server.addUser('alice');
  const browser = await fixture.browser(DEVICES);
  const { 'zh-CN': says } = LANGUAGES;
  const tv = await openPage(browser, `${server.url}/tv`, { locale: 'zh-CN' });
  const code = await shownCode(tv);
  refuse(operator, { allow: false, reason: SENTENCE }, true);
  const call = await openPage(browser, `${server.url}/r/meeting`, { locale: 'zh-CN', permissions: ['camera', 'microphone'] });
  await joinCall(call);
  await notice(call, 'not_allowed', [says.call[0], SENTENCE]);

  const cast = await openPage(browser, `${server.url}/cast?code=${code}`, { locale: 'zh-CN', permissions: ['camera'] });
  const enter = async () => {
    await cast.locator('#user-name').fill('alice');
    await cast.locator('#user-password').fill('alice-password-1');
    await cast.locator('#sign-in-button').click();
  };
  await enter();
  await cast.locator('#source-camera').check({ force: true });
  await cast.locator('#start:not([disabled])').click();
  await notice(cast, 'refused', [says.cast[0], SENTENCE]);
  assert.equal(operator.of('caster').at(-1).user, 'alice');

  // A user whom the operator of this server has blocked gets no sentence of another server.
  await cast.locator('#sign-out').click();
  assert.equal((await server.cli(['block', 'user:alice'])).code, 0);
  const attempt = async () => (await fetch(`${server.url}/api/sign-in`, { method: 'POST', body: JSON.stringify({ name: 'alice', password: 'alice-password-1' }) })).json();
  await until('the ban is in force', attempt, ({ error }) => error?.code === 'refused');
  await enter();
  await until('the form says why', () => cast.locator('#sign-in-status').innerText(), (text) => text === '管理员已封禁此用户。');
});
