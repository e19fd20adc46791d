// What our pages say when an operator ends their cast or closes their call, and what the operator sees of them before.
import assert from 'node:assert/strict';
import { describe } from 'node:test';
import { end, rows } from '../interop/support/operator.mjs';
import { assertPicture, DEVICES, inState, joinCall, openPage, openSource, shownCode, until } from './support/browser.mjs';
import { BROWSER_TESTS_AT_A_TIME, browserTest } from './support/browser-test.mjs';

const named = (page, id) => until(`the page says ${id}`, () => page.locator('#notice').getAttribute('data-error'), (seen) => seen === id);
const says = (page, id, text) => until(`the page says "${text}"`, async () => (await page.locator(id).innerText()).trim(), (seen) => seen === text);

describe('an operator', { concurrency: BROWSER_TESTS_AT_A_TIME }, () => {
  browserTest('sees how a cast goes and ends it, and both pages say so', {}, async (fixture, server) => {
    const [tvBrowser, browser] = [await fixture.browser(), await fixture.browser()];
    await openSource(browser);
    const tv = await openPage(tvBrowser, `${server.url}/tv?ice=relay&name=Kitchen`);
    const code = await shownCode(tv);
    const caster = await openPage(browser, `${server.url}/cast?ice=relay`);
    const share = async () => {
      await caster.locator('#code-input').fill(code);
      await caster.locator('#start').click();
      await inState(caster, 'sharing');
      await inState(tv, 'playing');
    };
    await share();
    await assertPicture(tv, 3);
    const of = async () => (await rows(server, 'casts'))[0];
    const first = await until('the page reports the path', of, (row) => /^relay\/(udp|tcp)$/.test(row.media.path));
    assert.deepEqual([first.tv.name, first.tv.address, first.caster.address], ['Kitchen', '127.0.0.1', '127.0.0.1']);
    assert.match(first.caster.agent, /Chrome/);
    const seen = new Set();
    await until('the rate is reported again and again', async () => seen.add((await of()).media.kbps), () => [...seen].filter((kbps) => kbps > 0).length >= 2);

    assert.equal(await end(server, first.id), `Ended the cast ${first.id}.`);
    await says(tv, '#status', 'The operator ended this cast.');
    await inState(tv, 'waiting');
    await named(caster, 'ended_by_operator');
    await says(caster, '#notice-title', 'The operator ended this cast');
    await inState(caster, 'setup');
    assert.equal(await caster.evaluate(() => window.castway.pc()), null, 'nothing is sent any more');
    // Whoever wants to may cast again.
    await share();
    await until('it is another cast', of, (row) => row.caster !== null);
    await until('the line is there', () => server.logged(/cast ended/), (lines) => lines.length === 1 && lines[0].includes('reason=ended_by_operator'));
  });

  browserTest('closes a call, and both pages say so and stay out of it', {}, async (fixture, server) => {
    const enter = async (locale) => {
      const browser = await fixture.browser(DEVICES);
      const page = await openPage(browser, `${server.url}/r/e2e-room?ice=relay`, { permissions: ['camera', 'microphone'], locale });
      await joinCall(page);
      return page;
    };
    const [first, second] = [await enter('en-US'), await enter('zh-CN')];
    for (const page of [first, second]) await inState(page, 'talking');
    const [row] = await rows(server, 'calls');
    assert.deepEqual([row.id, row.members.length, row.room], ['call-1', 2, 'e2•••m']);
    assert.equal(await end(server, 'call-1'), 'Closed the call call-1.');
    for (const page of [first, second]) {
      await named(page, 'closed_by_operator');
      assert.equal(await page.evaluate(() => document.body.dataset.state), 'failed');
    }
    await says(first, '#notice-title', 'The operator closed this call');
    await says(second, '#notice-title', '管理员已关闭此通话');
    assert.deepEqual(await rows(server, 'calls'), [], 'no page joins by itself');
    await until('the line is there', () => server.logged(/call ended/), (lines) => lines.length === 1 && lines[0].includes('reason=ended_by_operator'));
    await first.locator('#join').click();
    await until('whoever wants to may call again', () => rows(server, 'calls'), (calls) => calls.length === 1 && calls[0].id !== 'call-1');
  });
});
