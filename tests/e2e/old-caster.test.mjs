// Other engines cast from our page: an old Chromium and Firefox, with their cameras, since no picker of a screen can be operated in them.
import { after, describe } from 'node:test';
import { ownAuthority } from '../interop/support/authority.mjs';
import { BROWSER_TESTS_AT_A_TIME, browserTest } from './support/browser-test.mjs';
import { assertPicture, inState, openTv, until } from './support/browser.mjs';
import { openFirefox } from './support/firefox.mjs';
import { openOld } from './support/old-chromium.mjs';

const authority = ownAuthority();
after(() => authority.close());

const CASTS = `(function () {
  document.getElementById('source-camera').click();
  document.getElementById('start').click();
  return document.body.dataset.state;
})()`;
const STATE = 'document.body && document.body.dataset.state';

// Casts with the code that the page was opened with, pauses, and ends the cast at the TV.
async function casts(fixture, server, open) {
  const { page: tv, code } = await openTv(await fixture.browser(), server);
  const run = await open(`${server.url}/cast?ice=relay&code=${code}`);
  await until('the code is checked', () => run("document.getElementById('start') && !document.getElementById('start').disabled && document.body.dataset.online"), (online) => online === 'true');
  await run(CASTS);
  await until('the page shares', () => run(STATE), (state) => state === 'sharing');
  await inState(tv, 'playing');
  await assertPicture(tv, 3);
  await run("document.getElementById('pause').click()");
  const banner = () => tv.locator('#banner-text').textContent();
  await until('the TV says so', banner, (text) => /^Paused/.test(text));
  await run("document.getElementById('pause').click()");
  await until('the TV goes on', banner, (text) => !/^Paused/.test(text));
  await assertPicture(tv, 2, 0);
  await run("document.getElementById('stop').click()");
  await inState(tv, 'waiting');
}

describe('our page casts', { concurrency: BROWSER_TESTS_AT_A_TIME }, () => {
  browserTest('from Chromium 79', {}, (fixture, server) =>
    casts(fixture, server, async (url) => {
      const { page, close } = await openOld(url, { version: '79' });
      fixture.onClose(close);
      return (expression) => page.evaluate(expression);
    }));

  browserTest('from Firefox', {}, (fixture, server) =>
    casts(fixture, server, async (url) => {
      const preferences = { 'media.peerconnection.ice.loopback': true };
      const { page, close } = await openFirefox(url, { ca: authority.ca, preferences });
      fixture.onClose(close);
      return (expression) => page.run(expression);
    }));
});
