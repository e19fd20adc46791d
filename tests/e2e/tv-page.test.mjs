// What the TV's page does besides showing a picture: the remote control, names, pauses, take-overs and the sound.
import assert from 'node:assert/strict';
import { describe } from 'node:test';
import { assertPicture, inState, openPage, shownCode, until } from './support/browser.mjs';
import { BROWSER_TESTS_AT_A_TIME, browserTest } from './support/browser-test.mjs';
import { startPlainCast } from './support/plain-caster.mjs';

// The sound of a page that nobody has touched is blocked, as on most TVs.
const SILENT = { args: ['--autoplay-policy=document-user-activation-required'] };

const text = (page, id) => page.locator(id).innerText();
const says = (page, id, sentence) => until(`${id} says "${sentence}"`, () => text(page, id), (seen) => seen.trim() === sentence);
const visible = (page, id) => until(`${id} is visible`, () => page.locator(id).isVisible());
const hidden = (page, id) => until(`${id} is hidden`, () => page.locator(id).isHidden());
const focused = (page, id) => until(`${id} has the focus`, () => page.evaluate(() => document.activeElement?.id), (seen) => seen === id.slice(1));

async function press(page, ...keys) {
  for (const key of keys) await page.keyboard.press(key);
}

async function openNamedTv(browser, server, query = '') {
  const page = await openPage(browser, `${server.url}/tv?ice=relay${query}`);
  const code = await shownCode(page);
  await inState(page, 'waiting');
  return { page, code };
}

// The left of what covers the video.
const heldColour = (page) =>
  page.evaluate(() => {
    const still = document.getElementById('still');
    return [...still.getContext('2d').getImageData(still.width / 4, still.height / 2, 1, 1).data].slice(0, 3);
  });
const assertHeld = async (page) => {
  await visible(page, '#still');
  const [red, green, blue] = await heldColour(page);
  assert.ok(red > 180 && green < 90 && blue > 180, `${[red, green, blue]} is not magenta`);
};

describe('the page of the TV', { concurrency: BROWSER_TESTS_AT_A_TIME }, () => {
  browserTest('a remote control ends casts, and no name breaks the page', {}, async (fixture, server) => {
    const [tvBrowser, browser] = [await fixture.browser(), await fixture.browser()];
    const markup = '<b>厨房</b>';
    const { page: tv, code } = await openNamedTv(tvBrowser, server, `&name=${encodeURIComponent(` ${markup}\u202e `)}`);
    assert.equal(await text(tv, '#tv-name'), markup);
    assert.equal(await tv.title(), `${markup} – Castway TV`);
    await tv.goto(`${server.url}/tv?ice=relay`);
    await inState(tv, 'waiting');
    assert.equal(await text(tv, '#tv-name'), markup, 'the name is remembered');

    const long = 'ש'.repeat(20) + '宽'.repeat(30);
    let caster = await startPlainCast(browser, server, code, { username: `${long}\u202e` });
    assert.equal(caster.joined.tv.name, markup);
    await inState(tv, 'playing');
    await says(tv, '#banner', `${long.slice(0, 40)} is casting`);
    const box = await tv.locator('#banner').boundingBox();
    assert.ok(box.x >= 0 && box.width < 1280 && box.height < 80, `the name stays on its line: ${JSON.stringify(box)}`);

    // OK twice ends nothing.
    await press(tv, 'Enter');
    await visible(tv, '#menu');
    await focused(tv, '#menu-details');
    await press(tv, 'Enter');
    await visible(tv, '#overlay');
    await hidden(tv, '#menu');
    await press(tv, 'Backspace');
    await hidden(tv, '#overlay');
    await press(tv, 'Enter', 'Backspace');
    await hidden(tv, '#menu');
    await press(tv, 'Backspace');
    await says(tv, '#prompt', 'Press Back again to end the cast');
    await hidden(tv, '#prompt');
    await inState(tv, 'playing');
    await press(tv, 'Escape', 'Escape');
    assert.deepEqual(await caster.hears('CAST_ENDED'), [{ by: 'tv' }]);
    await inState(tv, 'waiting');
    await says(tv, '#status', 'The cast was ended on this TV.');

    // Back of a browser that sends no key for it.
    caster = await startPlainCast(browser, server, code);
    await inState(tv, 'playing');
    await tv.evaluate(() => history.back());
    await visible(tv, '#prompt');
    await tv.evaluate(() => history.back());
    await caster.hears('CAST_ENDED');
    await inState(tv, 'waiting');

    caster = await startPlainCast(browser, server, code);
    await inState(tv, 'playing');
    await tv.locator('#video').click();
    await press(tv, 'ArrowLeft', 'ArrowLeft');
    await focused(tv, '#menu-code');
    await press(tv, 'Enter');
    await caster.hears('CAST_ENDED');
    await until('there is a new code', () => shownCode(tv), (now) => now !== code);
    await inState(tv, 'waiting');
    await says(tv, '#status', 'This is a new code – the old one no longer works.');

    // A caster that shows nothing can be sent away, too.
    caster = await startPlainCast(browser, server, await shownCode(tv), { username: 'Anna', patient: true });
    await says(tv, '#status', 'Anna is about to share a screen …');
    await press(tv, 'Backspace', 'Backspace');
    await caster.hears('CAST_ENDED');

    await tv.goto(`${server.url}/tv?name=`);
    await inState(tv, 'waiting');
    await hidden(tv, '#tv-name');
    assert.equal(await tv.title(), 'Castway – TV');
  });

  browserTest('a pause keeps the last frame, a take-over has names, and the hint is for a sound that is there', {}, async (fixture, server) => {
    const [tvBrowser, browser] = [await fixture.browser(SILENT), await fixture.browser()];
    const { page: tv, code } = await openNamedTv(tvBrowser, server);
    const anna = await startPlainCast(browser, server, code, { username: 'Anna', sound: true });
    await inState(tv, 'playing');
    await visible(tv, '#sound-hint');
    await anna.do('sound', false);
    await hidden(tv, '#sound-hint');
    await anna.do('sound', true);
    await visible(tv, '#sound-hint');
    await press(tv, 'Enter');
    await until('the sound is on', () => tv.locator('#video').evaluate((video) => !video.muted));
    await hidden(tv, '#sound-hint');
    assert.equal(await tv.locator('#menu').isVisible(), false);

    await anna.do('pause', true);
    await says(tv, '#banner', 'Paused by Anna');
    await assertHeld(tv);
    await anna.do('pause', false);
    await hidden(tv, '#still');
    await hidden(tv, '#banner');
    await assertPicture(tv, 2);

    await anna.do('pause', true);
    await tv.reload();
    await says(tv, '#status', 'Paused by Anna');
    await inState(tv, 'starting');
    await anna.do('pause', false);
    await inState(tv, 'playing');
    await assertPicture(tv, 2);

    const ben = await startPlainCast(browser, server, code, { username: 'Ben' });
    assert.deepEqual(await anna.hears('CAST_TAKEN_OVER'), [{ by: 'Ben' }]);
    await inState(tv, 'playing');
    await says(tv, '#banner', 'Ben has taken over from Anna');
    await hidden(tv, '#sound-hint');
    await ben.do('leave');
    await inState(tv, 'waiting');
  });
});
