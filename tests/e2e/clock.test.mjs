// The server's clock is set while pages are open: a running cast goes on, and the next cast uses new credentials.
import assert from 'node:assert/strict';
import { after } from 'node:test';
import { SettableClock } from '../interop/support/clock.mjs';
import { assertPicture, inState, openSource, openTv, startCast, statistics, until } from './support/browser.mjs';
import { browserTest } from './support/browser-test.mjs';

const clock = new SettableClock('+0');
after(() => clock.close());

// By how many seconds the page's credentials outlive the real time.
const ahead = (page) =>
  page.evaluate(() => {
    const server = window.castway.pc()?.getConfiguration().iceServers.find(({ username }) => username);
    return server ? Number(server.username.split(':')[0]) - Date.now() / 1000 : 0;
  });

browserTest('the clock is set in mid-cast and between casts', clock.settings, async (fixture, server) => {
  const [tvBrowser, castBrowser] = [await fixture.browser(), await fixture.browser()];
  await openSource(castBrowser);
  const { page: tv, code } = await openTv(tvBrowser, server);
  const caster = await startCast(castBrowser, server, code);
  await inState(tv, 'playing');
  for (const [offset, seconds] of [['+3d', 259_200], ['-3650d', -315_360_000], ['+0', 0]]) {
    const { frames } = await statistics(tv);
    clock.set(offset);
    for (const page of [tv, caster]) {
      // A lifetime of a day, from now by the server's clock.
      await until(`new credentials, ${offset}`, () => ahead(page), (now) => Math.abs(now - seconds - 86_400) < 600);
    }
    await assertPicture(tv, 3, frames + 1);
    await caster.locator('#stop').click();
    await inState(tv, 'waiting');
    await until('the caster can start again', () => caster.locator('#start').isEnabled());
    await caster.locator('#start').click();
    await inState(tv, 'playing');
    await assertPicture(tv, 3);
    const { local, remote } = await until('a candidate pair is selected', () => statistics(tv), (seen) => Boolean(seen.local));
    assert.deepEqual([local, remote], ['relay', 'relay']);
    assert.ok(Math.abs((await ahead(tv)) - seconds - 86_400) < 600, 'the next cast has them, too');
  }
});
