// Ways in which people enter the TV's code on the casting page: with an input method, by pasting, with a link.
import assert from 'node:assert/strict';
import { assertPicture, DEVICES, inState, openPage, openSource, openTv, shownCode, startCast, until } from './support/browser.mjs';
import { startDesktop } from './support/desktop.mjs';
import { browserTest } from './support/browser-test.mjs';

const CODE = 'EP37DR';
const SHOWN = 'EP3 7DR';
const WIDE = 'ＥＰ３７ＤＲ';

// The key code of a key that an input method handles.
const KEY_TAKEN_BY_INPUT_METHOD = 229;

const field = (page) => page.locator('#code-input');
const caret = (page) => field(page).evaluate((input) => [input.selectionStart, input.selectionEnd]);
const problem = (page) => page.locator('#notice').getAttribute('data-error');
const named = (page, id) => until(`the page says ${id}`, () => problem(page), (seen) => seen === id);
const holds = (page, text) => until(`the field holds "${text}"`, () => field(page).inputValue(), (seen) => seen === text);

async function openCast(fixture, server, { query = '', locale } = {}) {
  const page = await openPage(await fixture.browser(), `${server.url}/cast${query}`, { locale });
  await until('the page is online', () => page.evaluate(() => window.castway.online()));
  return page;
}

// Simulates an input method with Chromium's own events.
async function composer(page) {
  const session = await page.context().newCDPSession(page);
  return {
    compose: (text) => session.send('Input.imeSetComposition', { text, selectionStart: text.length, selectionEnd: text.length }),
    commit: (text) => session.send('Input.insertText', { text }),
  };
}

browserTest('what an input method composes is left alone, and what it commits is read', {}, async (fixture, server) => {
  const page = await openCast(fixture, server);
  const { compose, commit } = await composer(page);
  for (const [composed, committed] of [
    [['e', 'ep', 'ep3', 'ep37dr'], 'ep37dr'],
    [['Ｅ', 'ＥＰ', 'ＥＰ３'], WIDE],
    [['e p', "e p'3", 'ep-3 7 dr'], 'ep-3 7 dr'],
  ]) {
    await field(page).fill('');
    for (const text of composed) {
      await compose(text);
      assert.equal(await field(page).inputValue(), text);
    }
    await commit(committed);
    assert.equal(await field(page).inputValue(), SHOWN);
    assert.equal(await problem(page), null);
  }
  // A composition in the middle of existing text.
  await field(page).fill('EPDR');
  await field(page).evaluate((input) => input.setSelectionRange(2, 2));
  await compose('3 7');
  assert.equal(await field(page).inputValue(), 'EP3 7D R');
  await commit('３７');
  assert.equal(await field(page).inputValue(), SHOWN);
  assert.deepEqual(await caret(page), [5, 5]);
});

browserTest('Enter confirms what is composed, and only the next one starts', {}, async (fixture, server) => {
  const page = await openCast(fixture, server);
  const { compose } = await composer(page);
  await compose('epr');
  await page.keyboard.press('Enter');
  await holds(page, 'EPR');
  assert.equal(await problem(page), null, 'nothing was submitted');
  assert.equal(await field(page).evaluate((input) => input === document.activeElement), true);
  await page.keyboard.press('Enter');
  await named(page, 'code_incomplete');

  // Safari sends the Enter that confirmed a composition after the composition's end, with the key code of a handled key.
  const passed = () => field(page).evaluate((input) => input.dispatchEvent(new KeyboardEvent('keydown', { key: 'Enter', keyCode: 229, bubbles: true, cancelable: true })));
  assert.equal(await passed(), false);
});

browserTest('Chinese characters stay to be seen, and the page says what to do', {}, async (fixture, server) => {
  for (const [locale, title] of [['en-US', /English letters/], ['zh-CN', /英文字母/]]) {
    const page = await openCast(fixture, server, { locale });
    const { compose, commit } = await composer(page);
    await compose('e pai');
    await commit('俄拍');
    assert.equal(await field(page).inputValue(), '俄拍');
    await named(page, 'code_letters');
    assert.match(await page.locator('#notice-title').textContent(), title);
    assert.equal(await field(page).getAttribute('aria-invalid'), 'true');
    // A correct code is accepted, whatever was in the field before it.
    await field(page).pressSequentially(CODE.toLowerCase());
    assert.equal(await field(page).inputValue(), SHOWN);
    assert.equal(await problem(page), null);
    await until('it is checked', () => page.locator('#code-status').getAttribute('data-code-state'), (state) => state === 'unknown');
    assert.equal(await problem(page), null);
  }
});

browserTest('the caret stays where somebody edits', {}, async (fixture, server) => {
  const page = await openCast(fixture, server);
  await field(page).fill('EP7DR');
  assert.equal(await field(page).inputValue(), 'EP7 DR');
  await field(page).evaluate((input) => input.setSelectionRange(2, 2));
  await page.keyboard.type('3');
  assert.equal(await field(page).inputValue(), SHOWN);
  assert.deepEqual(await caret(page), [3, 3]);
  await page.keyboard.press('Backspace');
  assert.equal(await field(page).inputValue(), 'EP7 DR');
  assert.deepEqual(await caret(page), [2, 2]);
});

const LINK = `https://cast.example.org/cast?code=${CODE}`;
const PASTED = {
  [CODE]: SHOWN,
  'ep3–7dr': SHOWN,
  [` ${WIDE}\n`]: SHOWN,
  'ｅｐ３－７ｄｒ': SHOWN,
  'ep3\u200b7dr\ufeff': SHOWN,
  'O1': '01',
  [`投屏码：${CODE}`]: SHOWN,
  [LINK]: SHOWN,
  [LINK.replace('https', 'http')]: SHOWN,
  [LINK.toUpperCase()]: SHOWN,
  [`${LINK}&from=chat#x`]: SHOWN,
  [`${LINK.replace('?', '?ice=relay&')}.`]: SHOWN,
  [`My screen: ${LINK}, open it now`]: SHOWN,
  [`快来看（${LINK}），马上开始`]: SHOWN,
  [LINK.replace(CODE, 'ep3-7dr')]: SHOWN,
  [LINK.replace(CODE, 'EP3+7DR')]: SHOWN,
  [LINK.replace(CODE, WIDE)]: SHOWN,
  [LINK.replace(CODE, encodeURIComponent(WIDE))]: SHOWN,
  [`https://chat.example.org/jump?to=${encodeURIComponent(LINK)}`]: SHOWN,
  [[...LINK].map((char) => String.fromCharCode(char.charCodeAt(0) + 0xfee0)).join('')]: SHOWN,
  [LINK.replace(CODE, `${CODE}%`)]: SHOWN,
  [LINK.replace(CODE, '%E5%A4%B1')]: '',
};

browserTest('a code is read from whatever is pasted', {}, async (fixture, server) => {
  const page = await openCast(fixture, server);
  await page.context().grantPermissions(['clipboard-read', 'clipboard-write']);
  for (const [text, shown] of Object.entries(PASTED)) {
    await page.evaluate((clip) => navigator.clipboard.writeText(clip), text);
    await field(page).focus();
    await page.keyboard.press('Control+A');
    await page.keyboard.press('Control+V');
    await until(`"${text}" is read`, () => field(page).inputValue(), (seen) => seen === shown);
    if (shown === SHOWN) assert.deepEqual(await caret(page), [7, 7], text);
    await field(page).fill('');
  }
});

const QUERIES = {
  '?code=EP37DR': SHOWN,
  '?ice=relay&code=ep3-7dr#x': SHOWN,
  '?code=EP3+7DR': SHOWN,
  [`?code=${WIDE}`]: SHOWN,
  [`?code=${encodeURIComponent(WIDE)}`]: SHOWN,
  [`?code=${encodeURIComponent(LINK)}`]: SHOWN,
  '?code=EP37DR%': SHOWN,
  '?code=EP3%ff7DR': SHOWN,
  '?code=EP3%E5%37DR': SHOWN,
  '?code=EP3%E5%7DR': 'EP3',
  '?code=%': '',
  '?code=%E5%8': '',
  '?code=': '',
  '?kode=EP37DR': '',
};

browserTest('the address may give the code in any spelling, and nonsense in it breaks nothing', {}, async (fixture, server) => {
  const browser = await fixture.browser();
  for (const [query, shown] of Object.entries(QUERIES)) {
    const page = await openPage(browser, `${server.url}/cast${query}`);
    await until(`${query}: the page is online`, () => page.evaluate(() => window.castway?.online()));
    assert.equal(await field(page).inputValue(), shown, query);
    assert.deepEqual(page.messages.filter((text) => text.startsWith('page error')), [], query);
    assert.equal(await page.locator('#start').isVisible(), true, query);
    await page.close();
  }
});

browserTest('a real input method, and its English mode', {}, async (fixture, server) => {
  const desktop = await startDesktop();
  fixture.onClose(() => desktop.close());
  const browser = await fixture.browser({ desktop });
  const script = () => {
    window.numbers = [];
    window.inserted = window.composed = '';
    document.addEventListener('keydown', ({ keyCode }) => window.numbers.push(keyCode), true);
    document.addEventListener('compositionupdate', (event) => (window.composed = event.data), true);
    document.addEventListener('input', (event) => (window.inserted += event.data), true);
    document.addEventListener('compositionend', () => (window.composed = ''), true);
  };
  const page = await openPage(browser, `${server.url}/cast`, { locale: 'zh-CN', script });
  await page.bringToFront();
  await field(page).focus();
  const windows = () => desktop.ask('xdotool', 'getwindowfocus', 'getwindowname').catch((error) => error.message);
  await until('the window has the focus', windows, (name) => name.startsWith('Castway'));
  await desktop.usePinyin();
  const numbers = () => page.evaluate(() => window.numbers);
  const numberOf = async (key) => {
    const { length } = await numbers();
    await desktop.press(key);
    return (await until('the page has seen the key', numbers, (seen) => seen.length > length)).at(-1);
  };
  const composes = (what) => until(`it composes ${what}`, () => page.evaluate(() => window.composed), (text) => what.test(text));

  // The input method notices the focused field a moment later.
  await until('the input method takes the keys of the field', () => numberOf('a'), (number) => number === KEY_TAKEN_BY_INPUT_METHOD);
  await composes(/./);
  await desktop.press('Escape');
  await composes(/^$/);
  await field(page).fill('');

  await desktop.press(...'abcdef');
  await composes(/^[\u4e00-\u9fff]/);
  assert.equal(await problem(page), null);
  await desktop.press('Return');
  await holds(page, 'ABC DEF');
  assert.equal(await problem(page), null, 'Enter confirmed the letters, and submitted nothing');

  await page.evaluate(() => document.getElementById('code-input').select());
  await desktop.press(...'ep');
  await composes(/^[\u4e00-\u9fff]/);
  // A digit selects one of the candidates.
  await desktop.press('1');
  await named(page, 'code_letters');
  assert.match(await field(page).inputValue(), /[\u4e00-\u9fff]/);
  assert.match(await page.locator('#notice-hint').textContent(), /Shift/);

  await page.evaluate(() => document.getElementById('code-input').select());
  await desktop.press('Shift_L', ...CODE.toLowerCase());
  await holds(page, SHOWN);
  assert.equal(await problem(page), null);
  // The input method writes full-width letters.
  await page.evaluate(() => document.getElementById('code-input').select());
  await desktop.press('shift+space', ...CODE.toLowerCase());
  await until('they were full-width', () => page.evaluate(() => window.inserted), (text) => text.endsWith('ｅｐ３７ｄｒ'));
  await holds(page, SHOWN);
  // An input method that is late to answer takes the key.
  await until('Enter reaches the page', () => numberOf('Return'), (number) => number !== KEY_TAKEN_BY_INPUT_METHOD);
  // Enter submits the code, which no TV has.
  await named(page, 'unknown_code');
});

browserTest("the name of a room is the person's own while it is composed", {}, async (fixture, server) => {
  const page = await openPage(await fixture.browser(DEVICES), `${server.url}/r?ice=relay`);
  const { compose } = await composer(page);
  await page.locator('#room-input').focus();
  await compose('ｍｙ－ｒｏｏｍ');
  await page.keyboard.press('Enter');
  await until('the name is taken over', () => page.locator('#room-input').inputValue(), (name) => name === 'ｍｙ－ｒｏｏｍ');
  assert.equal(new URL(page.url()).pathname, '/r');
  await page.keyboard.press('Enter');
  await page.waitForURL(`${server.url}/r/my-room?ice=relay`);
  await until('the lobby is there', () => page.evaluate(() => document.body.dataset.state), (state) => state === 'lobby');
});

// Opens a TV page that is waiting. `qr` and `kept` read its QR code and its stored data.
async function openWaitingTv(fixture, server, options) {
  const tv = await openTv(await fixture.browser(), server, options);
  const qr = () => tv.page.locator('#qr').innerHTML();
  const kept = () => tv.page.evaluate(() => JSON.parse(localStorage.getItem('castway.tv')));
  return { ...tv, qr, kept };
}

const changed = (page, before) => until('the code is another one', () => shownCode(page), (code) => code !== before);
const says = (page, text) => until(`the TV says "${text}"`, () => page.locator('#status-text').innerText(), (seen) => seen === text);

async function castTo(browser, server, code) {
  const page = await openPage(browser, `${server.url}/cast?ice=relay&code=${code}`);
  await page.locator('#start').click();
  return page;
}

async function withSource(fixture) {
  const browser = await fixture.browser(DEVICES);
  await openSource(browser);
  return browser;
}

const NEW_CODE = {
  'en-US': ['New code', 'This is a new code – the old one no longer works.'],
  'zh-CN': ['更换投屏码', '投屏码已更换，旧投屏码不再有效。'],
};

for (const [locale, [label, notice]] of Object.entries(NEW_CODE)) {
  browserTest(`the button on the TV gives it a new code, by remote control too, and the old one opens nothing (${locale})`, {}, async (fixture, server) => {
    const { page: tv, code: first, qr, kept } = await openWaitingTv(fixture, server, { locale });
    const [firstQr, firstKept] = [await qr(), await kept()];
    assert.equal(await tv.locator('#new-code').innerText(), label);
    assert.equal(firstKept.code, first);
    // The arrow keys and OK of a remote control.
    await tv.keyboard.press('ArrowDown');
    assert.equal(await tv.evaluate(() => document.activeElement.id), 'new-code');
    await tv.keyboard.press('Enter');
    const second = await changed(tv, first);
    await says(tv, notice);
    assert.equal(await tv.locator('#code').getAttribute('data-new'), 'true');
    assert.notEqual(await qr(), firstQr);
    const secondKept = await kept();
    assert.equal(secondKept.code, second);
    assert.notEqual(secondKept.resumeToken, firstKept.resumeToken);

    const browser = await withSource(fixture);
    await named(await castTo(browser, server, first), 'unknown_code');
    const current = await castTo(browser, server, second);
    await inState(current, 'sharing');
    await inState(tv, 'playing');
    assert.equal(await tv.locator('#new-code').isVisible(), false, 'not in the middle of a cast');
    await current.locator('#stop').click();
    await inState(tv, 'waiting');
    assert.equal(await shownCode(tv), second, 'by itself it changes after 12 idle hours only');
    await tv.reload();
    assert.equal(await shownCode(tv), second);
  });
}

browserTest('a TV that asks again too soon is told how long to wait', {}, async (fixture, server) => {
  const { page: tv, code: first } = await openWaitingTv(fixture, server);
  await tv.locator('#new-code').click();
  const second = await changed(tv, first);
  await tv.locator('#new-code').click();
  await until('it is told to wait', () => tv.locator('#status-text').innerText(), (text) => /^The code has just been changed\. Wait [1-5] s/.test(text));
  assert.equal(await shownCode(tv), second);
});

browserTest('after each cast the TV shows a new code where that is set, and never during one', { CASTWAY_NEW_CODE: 'after-cast' }, async (fixture, server) => {
  const { page: tv, code: first, kept } = await openWaitingTv(fixture, server);
  const browser = await withSource(fixture);
  const caster = await startCast(browser, server, first);
  await inState(tv, 'playing');
  await assertPicture(tv, 2);
  // The server restarts: the TV keeps showing that a cast is running, and keeps its code for the caster.
  await server.restart();
  await inState(tv, 'playing');
  await inState(caster, 'sharing');
  await assertPicture(tv, 2);
  assert.equal(await tv.evaluate(() => window.castway.code()), first);
  await caster.locator('#stop').click();
  await inState(tv, 'waiting');
  const second = await changed(tv, first);
  await says(tv, NEW_CODE['en-US'][1]);
  assert.equal((await kept()).code, second);
  await named(await castTo(browser, server, first), 'unknown_code');
});
