// What the caster's page does besides beginning a cast: it checks the code, controls the running cast, and helps people on phones.
import assert from 'node:assert/strict';
import { after, describe } from 'node:test';
import { closeAll, connect } from '../interop/support/clients.mjs';
import { assertHears, assertPicture, DEVICES, inState, openPage, openSource, shownCode, statistics, until } from './support/browser.mjs';
import { BROWSER_TESTS_AT_A_TIME, browserTest } from './support/browser-test.mjs';

// Counts how often the picker opens. `window.refusePicker`: the user closes it.
const PICKER = () => {
  window.picked = 0;
  const real = MediaDevices.prototype.getDisplayMedia;
  MediaDevices.prototype.getDisplayMedia = function (...wishes) {
    window.picked += 1;
    return window.refusePicker ? Promise.reject(new DOMException('no', 'NotAllowedError')) : real.apply(this, wishes);
  };
};

after(closeAll);

const field = (page) => page.locator('#code-input');
const start = (page) => page.locator('#start');
const text = async (page, id) => (await page.locator(id).innerText()).replace(/[\u2066-\u2069]/g, '');
const codeIs = (page, state) => until(`the code is ${state}`, () => page.locator('#code-status').getAttribute('data-code-state'), (seen) => seen === state);
const named = (page, id) => until(`the page says ${id}`, () => page.locator('#notice').getAttribute('data-error'), (seen) => seen === id);
const labelled = (page, label) => until(`the button says "${label}"`, () => start(page).innerText(), (seen) => seen === label);
const picked = (page) => page.evaluate(() => window.picked);

async function openCast(browser, server, query = '', options = {}) {
  const page = await openPage(browser, `${server.url}/cast?ice=relay${query}`, { script: PICKER, ...options });
  await until('the page is online', () => page.evaluate(() => window.castway.online()));
  return page;
}

async function openTv(browser, server, query = '') {
  const page = await openPage(browser, `${server.url}/tv?ice=relay${query}`);
  const code = await shownCode(page);
  await inState(page, 'waiting');
  return { page, code };
}

// The video that is sent: the number of connections is one as long as `pc` stays the same.
const sent = (page) =>
  page.evaluate(() => {
    const pc = window.castway.pc();
    window.firstPc = window.firstPc ?? pc;
    const [video, audio] = ['video', 'audio'].map((kind) => pc.getSenders().find(({ track }) => track?.kind === kind));
    const [encoding] = video ? video.getParameters().encodings : [];
    return { same: window.firstPc === pc, video: video?.track.id ?? null, audio: audio?.track.id ?? null, maxBitrate: encoding?.maxBitrate, offer: pc.localDescription.sdp };
  });

describe('the page of the caster', { concurrency: BROWSER_TESTS_AT_A_TIME }, () => {
  browserTest('a code is checked before the picker opens, and nobody takes over unknowingly', {}, async (fixture, server) => {
    const [tvBrowser, browser] = [await fixture.browser(), await fixture.browser()];
    await openSource(browser);
    const { page: tv, code } = await openTv(tvBrowser, server, '&name=Kitchen');
    const first = await openCast(browser, server);
    const wrong = (code[0] === 'A' ? 'B' : 'A') + code.slice(1);

    await field(first).fill(wrong);
    await codeIs(first, 'unknown');
    assert.match(await text(first, '#code-status'), /^No TV has this code/);
    assert.equal(await field(first).getAttribute('aria-invalid'), 'true');
    await start(first).click();
    await named(first, 'unknown_code');
    assert.equal(await picked(first), 0);

    await field(first).fill(code);
    await codeIs(first, 'ready');
    assert.equal(await text(first, '#code-status'), 'Kitchen is ready.');
    assert.equal(await field(first).getAttribute('aria-invalid'), 'false');
    assert.equal(await first.locator('#name-input').getAttribute('placeholder'), 'Chrome on Linux');
    await first.locator('#name-input').fill(' Ａｎｎａ\u202e ');
    await start(first).click();
    await inState(first, 'sharing');
    await inState(tv, 'playing');
    assert.equal(await text(first, '#status'), 'You are sharing to Kitchen');

    const second = await openCast(browser, server, `&code=${code}`);
    await second.locator('#name-input').fill('Ben');
    await codeIs(second, 'busy');
    assert.equal(await text(second, '#code-status'), 'Ａｎｎａ is casting to Kitchen. If you start, your screen replaces that cast.');
    assert.equal(await start(second).innerText(), 'Take over and share');
    await start(second).click();
    await inState(second, 'sharing');
    await named(first, 'taken_over');
    assert.equal(await text(first, '#notice-title'), 'Ben has taken over');
    await inState(tv, 'playing');
    await assertPicture(tv, 2);

    // A click that is faster than the check takes nothing over, either.
    const third = await openCast(browser, server);
    await third.evaluate((typed) => {
      const input = document.getElementById('code-input');
      input.value = typed;
      input.dispatchEvent(new InputEvent('input', { bubbles: true }));
      document.getElementById('start').click();
    }, code);
    await labelled(third, 'Take over and share');
    assert.equal(await picked(third), 0);
    await inState(second, 'sharing');

    await second.locator('#stop').click();
    await codeIs(third, 'ready');
    // Somebody begins while the picker is open.
    const rival = await connect(server, { label: 'rival' });
    await third.exposeFunction('meanwhile', async () => assert.equal((await rival.ask('JOIN_ROOM', code, { username: 'Cleo' })).ok, true));
    await third.evaluate(() => {
      const real = navigator.mediaDevices.getDisplayMedia.bind(navigator.mediaDevices);
      navigator.mediaDevices.getDisplayMedia = async (...wishes) => {
        const stream = await real(...wishes);
        await window.meanwhile();
        return stream;
      };
    });
    await start(third).click();
    await codeIs(third, 'busy');
    await labelled(third, 'Take over and share');
    assert.equal(await third.evaluate(() => window.castway.state()), 'setup');
    await start(third).click();
    await inState(third, 'sharing');
    assert.equal(await picked(third), 1, 'the chosen screen was kept');
    assert.deepEqual(await rival.next('CAST_TAKEN_OVER'), { by: 'Chrome on Linux' });
    await tv.keyboard.press('Escape');
    await tv.keyboard.press('Escape');
    await named(third, 'ended_by_tv');
  });

  browserTest('a TV that is taken or away says so, and the page waits for it', { CASTWAY_TAKEOVER: 'false' }, async (fixture, server) => {
    const browser = await fixture.browser();
    await openSource(browser);
    const tv = await connect(server, { label: 'TV' });
    const { code, resumeToken } = await tv.ask('TV_INIT', { name: 'Küche' });
    const caster = await connect(server, { label: 'caster' });
    assert.equal((await caster.ask('JOIN_ROOM', code, { username: 'Anna' })).ok, true);

    const page = await openCast(browser, server, `&code=${code}`);
    await codeIs(page, 'taken');
    assert.match(await text(page, '#code-status'), /^Anna is casting to Küche\. .*wait/);
    assert.equal(await start(page).isEnabled(), false);
    await caster.ask('LEAVE_ROOM');
    await codeIs(page, 'ready');
    assert.equal(await start(page).isEnabled(), true);

    tv.drop();
    await page.reload();
    await codeIs(page, 'away');
    const back = await connect(server, { label: 'TV again' });
    assert.equal((await back.ask('TV_INIT', { resumeToken })).code, code);
    await codeIs(page, 'ready');

    // Each wrong code costs a guess, and each is asked for once.
    let wrong = 0;
    const guess = () => `${'ABCDEFGH'[wrong++ % 8]}${code[1] === 'A' ? 'B' : 'A'}${code.slice(2)}`;
    await until('the server takes no more guesses', async () => {
      await field(page).fill(guess());
      return until('an answer', () => page.locator('#code-status').getAttribute('data-code-state'), (seen) => seen !== 'asking').then(() => page.locator('#notice').getAttribute('data-error'));
    }, (error) => error === 'too_many_attempts');
    assert.equal(await start(page).isEnabled(), false);
    assert.match(await text(page, '#notice-hint'), /^Wait \d+ s/);
  });

  browserTest('a running cast is paused, gets another screen and a microphone, and goes on after a reload', {}, async (fixture, server) => {
    const [tvBrowser, browser] = [await fixture.browser(), await fixture.browser(DEVICES)];
    await openSource(browser);
    const { page: tv, code } = await openTv(tvBrowser, server);
    const page = await openCast(browser, server, `&code=${code}`, { permissions: ['microphone'] });
    await codeIs(page, 'ready');
    await start(page).click();
    await inState(tv, 'playing');
    await assertPicture(tv, 2);
    const before = await sent(page);

    await page.locator('#pause').click();
    await until('nothing is sent', () => sent(page), ({ video }) => video === null);
    assert.match(await text(page, '#status'), /^Paused/);
    await until('the TV says so', () => tv.locator('body').innerText(), (shown) => /Paused|paused/.test(shown));
    await inState(tv, 'playing');
    await page.locator('#pause').click();
    await assertPicture(tv, 2, (await statistics(tv)).frames + 1);

    await page.evaluate(() => (window.refusePicker = true));
    await page.locator('#share-else').click();
    await named(page, 'capture_cancelled');
    assert.equal((await sent(page)).video, before.video, 'what was shared is still shared');
    await page.evaluate(() => (window.refusePicker = false));
    await page.locator('#share-else').click();
    const other = await until('another picture is sent', () => sent(page), ({ video }) => video !== null && video !== before.video);
    assert.equal(other.same, true);
    assert.equal(other.offer, before.offer, 'without a negotiation');
    await assertPicture(tv, 2, (await statistics(tv)).frames + 1);

    await page.locator('label:has(#live-smooth)').click();
    const smooth = await until('less is sent', () => sent(page), ({ maxBitrate }) => maxBitrate !== before.maxBitrate);
    assert.ok(smooth.maxBitrate > 0);

    await page.locator('#microphone').click();
    await until('the microphone is sent', () => sent(page), ({ audio }) => audio !== null);
    await assertHears(tv, 'the microphone is heard');
    assert.equal((await sent(page)).same, true);
    // With the sound of a tab, both are mixed into one track.
    const voice = (await sent(page)).audio;
    await page.locator('#mute').click();
    await until('the sound of the tab is there', () => page.locator('#mute').innerText(), (label) => label === 'Mute the sound');
    await until('both are one track', () => sent(page), ({ audio }) => audio !== null && audio !== voice);
    await assertHears(tv, 'the microphone is heard in it');
    await page.locator('#mute').click();
    await assertHears(tv, 'and still when the sound of the tab is off');
    await page.locator('#microphone').click();
    await until('the microphone is gone', () => page.locator('#microphone').innerText(), (label) => label === 'Add my microphone');

    await page.locator('#more summary').click();
    await until('the details say what is sent', () => text(page, '#figures'), (shown) => /\d+ × \d+/.test(shown));

    const asked = [];
    page.on('dialog', async (dialog) => {
      asked.push(dialog.type());
      await dialog.accept();
    });
    await page.reload();
    assert.deepEqual(asked, ['beforeunload']);
    await named(page, 'interrupted');
    await inState(tv, 'waiting');
    await codeIs(page, 'ready');
    assert.equal(await page.locator('#preset-smooth').isChecked(), true);
    await labelled(page, 'Share again');
    await start(page).click();
    await inState(page, 'sharing');
    await inState(tv, 'playing');
    await assertPicture(tv, 2);
    await page.locator('#stop').click();
    await inState(tv, 'waiting');
    await page.reload();
    assert.equal(asked.length, 1, 'nothing is lost any more');
    await until('nothing goes on', () => start(page).innerText(), (label) => label === 'Choose the screen and start');
  });

  browserTest('a page that is loaded again says that the TV has another code', { CASTWAY_NEW_CODE: 'after-cast' }, async (fixture, server) => {
    const browser = await fixture.browser();
    await openSource(browser);
    const tv = await connect(server, { label: 'TV' });
    const { code } = await tv.ask('TV_INIT', { understands: ['TV_CODE_CHANGED'] });
    const page = await openCast(browser, server, `&code=${code}`);
    page.on('dialog', (dialog) => dialog.accept());
    await codeIs(page, 'ready');
    await start(page).click();
    await tv.next('CLIENT_OFFER_TO_TV');
    await page.reload();
    const changed = await tv.next('TV_CODE_CHANGED');
    await codeIs(page, 'unknown');
    await named(page, 'interrupted');
    assert.match(await text(page, '#notice-hint'), /another code/);
    await labelled(page, 'Choose the screen and start');
    await field(page).fill(changed.code);
    await codeIs(page, 'ready');
    await until('nothing is interrupted any more', () => page.locator('#notice').isHidden());
  });

  browserTest('a phone sends its camera, or the link to a computer', {}, async (fixture, server) => {
    const [tvBrowser, browser] = [await fixture.browser(), await fixture.browser(DEVICES)];
    const { page: tv, code } = await openTv(tvBrowser, server);
    const script = () => {
      delete MediaDevices.prototype.getDisplayMedia;
      navigator.share = (what) => ((window.shared = what.url), Promise.resolve());
    };
    const page = await openPage(browser, `${server.url}/cast?ice=relay&code=${code}`, { script, permissions: ['camera', 'clipboard-read', 'clipboard-write'], viewport: { width: 390, height: 844 } });
    await codeIs(page, 'ready');
    await named(page, 'no_capture');
    const link = `${server.url}/cast?code=${code}`;
    assert.equal((await text(page, '#elsewhere-link')).replace('localhost', '127.0.0.1'), link.replace('localhost', '127.0.0.1'));
    await page.locator('#elsewhere-send').click();
    assert.equal(await page.evaluate(() => window.shared), await text(page, '#elsewhere-link'));
    await page.locator('#elsewhere-copy').click();
    await until('it says so', () => text(page, '#elsewhere-done'), (said) => said === 'The link is copied.');
    assert.equal(await page.evaluate(() => navigator.clipboard.readText()), await text(page, '#elsewhere-link'));
    await page.locator('#elsewhere-more summary').click();
    await until('the QR code has the link', () => page.locator('#elsewhere-qr').getAttribute('data-url'), (url) => url?.endsWith(`/cast?code=${code}`));
    assert.equal(await page.locator('#facing').isVisible(), true);
    await start(page).click();
    await inState(page, 'sharing');
    await inState(tv, 'playing');
    await assertPicture(tv, 2);
    const rear = (await sent(page)).video;
    assert.equal(await page.locator('#share-else').innerText(), 'Switch the camera');
    await page.locator('#share-else').click();
    await until('the other camera is sent', () => sent(page), ({ video }) => video !== null && video !== rear);
    await assertPicture(tv, 2, (await statistics(tv)).frames + 1);
  });
});
