// The devices of a call and its keys, in the lobby and during the call.
import assert from 'node:assert/strict';
import { describe } from 'node:test';
import { FRAME_RATE, assertHears, assertPicture, inState, joinCall, openPage, seenColour, until } from './support/browser.mjs';
import { BROWSER_TESTS_AT_A_TIME, browserTest } from './support/browser-test.mjs';

const TWO_CAMERAS = { args: [`--use-fake-device-for-media-stream=device-count=2,fps=${FRAME_RATE}`] };
const PERMISSIONS = ['camera', 'microphone'];

const options = (page, id) => page.locator(`#${id} option`).allTextContents();
const chosen = (page, id) => page.locator(`#${id}`).evaluate((select) => select.selectedOptions[0]?.textContent);
const ownCamera = (page) => page.evaluate(() => document.getElementById('self').srcObject?.getVideoTracks()[0]?.label ?? null);
const loudness = (page) => page.locator('#settings .level > span').evaluate((bar) => Number(/\((.*)\)/.exec(bar.style.transform)?.[1] ?? 0));
const ready = (page) => until('the preview', () => page.locator('#join', { hasText: /^Join the call$/ }).isEnabled());
const state = (page) => page.evaluate(() => window.castway.state());

describe('devices and keys of a call', { concurrency: BROWSER_TESTS_AT_A_TIME }, () => {
  browserTest('camera, microphone and speaker can be chosen in the lobby and during the call, and are remembered', {}, async (fixture, server) => {
    const page = await openPage(await fixture.browser(TWO_CAMERAS), `${server.url}/r/devices?ice=relay`, { permissions: PERMISSIONS });
    await ready(page);
    await page.locator('#preferences').click();
    await until('two cameras', () => options(page, 'choose-camera'), ({ length }) => length === 2);
    const [first, second] = await options(page, 'choose-camera');
    const microphones = await until('microphones', () => options(page, 'choose-microphone'), ({ length }) => length > 1);
    const speakers = await until('speakers', () => options(page, 'choose-speaker'), ({ length }) => length > 1);
    assert.deepEqual([await chosen(page, 'choose-camera'), await ownCamera(page)], [first, first]);
    await until('beeps are shown', () => loudness(page), (level) => level > 0.05);
    await page.locator('#choose-camera').selectOption({ label: second });
    await until('the preview shows it', () => ownCamera(page), (label) => label === second);
    await page.locator('#choose-microphone').selectOption({ label: microphones.at(-1) });
    await page.locator('#choose-speaker').selectOption({ label: speakers.at(-1) });
    await until('the speaker is used', () => page.evaluate(() => document.getElementById('video').sinkId), Boolean);
    // Muted, it shows nothing, and stays muted with another microphone.
    await page.keyboard.press('Escape');
    await page.keyboard.press('m');
    await page.locator('#preferences').click();
    await until('silence', () => loudness(page), (level) => level === 0);
    await page.locator('#choose-microphone').selectOption({ label: microphones[0] });
    await until('it is used', () => chosen(page, 'choose-microphone'), (label) => label === microphones[0]);
    assert.equal(await page.locator('#microphone-text').textContent(), 'Unmute');

    await page.reload();
    await until('the preview', () => ownCamera(page), (label) => label === second);
    assert.equal(await state(page), 'lobby');
    await page.locator('#join').click();
    await inState(page, 'waiting');
    const other = await openPage(await fixture.browser(TWO_CAMERAS), `${server.url}/r/devices?ice=relay`, { permissions: PERMISSIONS });
    await joinCall(other);
    for (const each of [page, other]) await inState(each, 'talking');
    await assertPicture(other, 2);
    await page.locator('#preferences').click();
    assert.deepEqual([await chosen(page, 'choose-camera'), await chosen(page, 'choose-speaker')], [second, speakers.at(-1)]);
    const connection = await page.evaluateHandle(() => window.castway.pc());
    await page.locator('#choose-camera').selectOption({ label: first });
    await until('it is used', () => ownCamera(page), (label) => label === first);
    await assertPicture(other, 3);
    assert.equal(await page.evaluate((before) => before === window.castway.pc(), connection), true);
    assert.equal(await page.evaluate(() => window.castway.pc().getSenders().find(({ track }) => track?.kind === 'video').track.label), first);
  });

  browserTest('a device that ends is replaced or turned off, and the page says so', {}, async (fixture, server) => {
    const pages = [];
    for (let i = 0; i < 2; i += 1) {
      const page = await openPage(await fixture.browser(TWO_CAMERAS), `${server.url}/r/unplugged?ice=relay`, { permissions: PERMISSIONS });
      await joinCall(page);
      pages.push(page);
      await inState(page, i ? 'talking' : 'waiting');
    }
    const [page, other] = pages;
    await inState(page, 'talking');
    await until('both are told', () => other.locator('#theirs').innerText(), (text) => text.trim() === '');
    // What the browser does when a device is unplugged: it stops the track, and reports its end to the page.
    const unplug = (kind) =>
      page.evaluate((kind) => {
        const { track } = window.castway.pc().getSenders().find((sender) => sender.track?.kind === kind);
        track.stop();
        track.dispatchEvent(new Event('ended'));
        return track.label;
      }, kind);
    const microphone = await unplug('audio');
    await until('it is said', () => page.locator('#notice-title').textContent(), (text) => text === `${microphone} is no longer available`);
    assert.match(await page.locator('#notice-hint').textContent(), / is used now\./);
    await assertHears(other, 'the other hears again');

    const camera = await unplug('video');
    await until('it is said', () => page.locator('#notice-title').textContent(), (text) => text === `${camera} is no longer available`);
    assert.equal(await page.locator('#camera-text').textContent(), 'Camera on');
    await until('the other is told', () => other.locator('#no-picture').innerText(), (text) => text === 'The other person’s camera is off');
    await page.locator('#camera').click();
    await until('the panel goes', () => other.locator('#no-picture').isVisible(), (visible) => !visible);
    await assertPicture(other, 3);
    await until('a picture', () => seenColour(other), (rgb) => rgb?.some((value) => value > 60));

    // Permission that ends ends the devices, and nothing comes in their place.
    await page.context().clearPermissions();
    await until('the camera is off', () => page.locator('#camera-text').textContent(), (text) => text === 'Camera on');
    await until('the other is told of both', () => Promise.all([other.locator('#no-picture').isVisible(), other.locator('#theirs-muted').isVisible()]), (seen) => seen.every(Boolean));
  });

  browserTest('single keys can be turned off, and do nothing where one types or chooses', {}, async (fixture, server) => {
    const page = await openPage(await fixture.browser(TWO_CAMERAS), `${server.url}/r/keys?ice=relay`, { permissions: PERMISSIONS });
    await ready(page);
    const muted = () => page.locator('#microphone').getAttribute('data-off');
    await page.keyboard.press('m');
    assert.equal(await muted(), 'true');
    await page.locator('#preferences').click();
    await page.locator('#choose-camera').focus();
    await page.keyboard.press('m');
    assert.equal(await muted(), 'true');
    await page.locator('#use-keys').uncheck();
    await page.keyboard.press('Escape');
    assert.equal(await page.evaluate(() => document.activeElement.id), 'preferences');
    assert.equal(await page.locator('#settings').isVisible(), false);
    for (const again of [false, true]) {
      if (again) await page.reload();
      await ready(page);
      const before = await muted();
      for (const key of ['m', 'c', 'i']) await page.keyboard.press(key);
      assert.equal(await muted(), before);
      assert.equal(await page.locator('[aria-keyshortcuts]').count(), 0);
    }
    await page.locator('#join').click();
    await inState(page, 'waiting');
    await page.keyboard.press('h');
    assert.equal(await page.locator('#confirm').isVisible(), false);
    assert.equal(await state(page), 'waiting');
    await page.locator('#preferences').click();
    await page.locator('#use-keys').check();
    await page.keyboard.press('Escape');
    await page.keyboard.press('h');
    assert.equal(await page.locator('#confirm').isVisible(), true);
    await page.locator('#confirm').click({ position: { x: 5, y: 5 } });
    assert.equal(await state(page), 'waiting');
  });
});
