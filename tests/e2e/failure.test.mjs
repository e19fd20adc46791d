// What the pages say when no path works, and that they keep trying behind the sentence.
import assert from 'node:assert/strict';
import { after, describe } from 'node:test';
import { ownAuthority } from '../interop/support/authority.mjs';
import { assertPicture, DEVICES, inState, openPage, openSource, openTv, statistics, until } from './support/browser.mjs';
import { BROWSER_TESTS_AT_A_TIME, browserTest } from './support/browser-test.mjs';
import { DEAD_RELAY, openTheWay } from './support/dead-relay.mjs';
import { homeThatTrusts } from './support/trust.mjs';

const authority = ownAuthority();
const { home, close } = homeThatTrusts(authority.ca);
after(() => {
  authority.close();
  close();
});

// Collects each text of the page's status.
const RECORD = `addEventListener('DOMContentLoaded', () => {
  const status = document.getElementById('status');
  window.said = [];
  new MutationObserver(() => window.said.push(status.innerText.trim())).observe(status, { childList: true, subtree: true, characterData: true });
})`;
const said = (page) => page.evaluate(() => window.said);
const attribute = (page, id, name) => page.locator(`#${id}`).getAttribute(name);
const isCode = (code) => /^[a-z_]+$/.test(code ?? '');
const verdict = (page, id = 'notice') => until('the page shows a verdict', () => attribute(page, id, 'data-verdict'), isCode);

async function failingCast(fixture, server, { tvLocale = 'en-US', casterHome } = {}) {
  const [tvBrowser, castBrowser] = [await fixture.browser(), await fixture.browser(casterHome ? { home: casterHome } : {})];
  await openSource(castBrowser);
  const { page: tv, code } = await openTv(tvBrowser, server, { locale: tvLocale, script: RECORD });
  const caster = await openPage(castBrowser, `${server.url}/cast?ice=relay&code=${code}`, { script: RECORD });
  await caster.locator('#start').click();
  await verdict(caster);
  return { tv, caster };
}

async function failingCall(fixture, server, room) {
  const pages = [];
  for (let i = 0; i < 2; i += 1) {
    const page = await openPage(await fixture.browser(DEVICES), `${server.url}/r/${room}?ice=relay`, { permissions: ['camera', 'microphone'], script: RECORD });
    await page.locator('#join').click();
    pages.push(page);
  }
  for (const page of pages) await verdict(page);
  return pages;
}

describe('a connection that fails', { concurrency: BROWSER_TESTS_AT_A_TIME }, () => {
  browserTest('the caster reads why, and the TV says who has the problem', DEAD_RELAY, async (fixture, server) => {
    const { tv, caster } = await failingCast(fixture, server);
    assert.equal(await attribute(caster, 'notice', 'data-error'), 'ice_failed');
    assert.equal(await caster.evaluate(() => window.castway.state()), 'failed');
    assert.notEqual(await caster.locator('#notice-title').innerText(), '');
    assert.notEqual(await caster.locator('#notice-hint').innerText(), '');
    assert.equal(await caster.locator('#retry-tls').isVisible(), false, 'this server offers no TLS');
    assert.equal(await caster.locator('#notice-action').isVisible(), true);
    assert.ok((await said(caster)).some((text) => /^Still trying: /.test(text)), 'the caster has said before what it waits for');

    await until('the TV has the verdict', () => tv.locator('#status').innerText(), (text) => /The caster’s screen says why\.$/.test(text));
    assert.ok(isCode(await attribute(tv, 'status', 'data-verdict')));
    assert.match(await attribute(tv, 'status', 'data-side'), /^(caster|tv|both|server|unknown)$/);

    await caster.locator('#send-report').click();
    await until('the operator has the report', () => caster.locator('#report-sent').innerText(), (text) => /^Thank you/.test(text));
    assert.equal(await caster.locator('#send-report').isDisabled(), true);
  });

  browserTest('a path that opens late wins over the sentence', { ...DEAD_RELAY, CASTWAY_NO_TCP: 'true' }, async (fixture, server) => {
    const { tv, caster } = await failingCast(fixture, server, { tvLocale: 'zh-CN' });
    await verdict(tv, 'status');
    assert.match(await tv.locator('#status').innerText(), /[\u4e00-\u9fff]{3}/);
    fixture.onClose(await openTheWay(server));
    await inState(caster, 'sharing');
    await inState(tv, 'playing');
    await assertPicture(tv, 2);
    assert.equal(await caster.locator('#notice').isVisible(), false);
    assert.equal(await attribute(caster, 'notice', 'data-verdict'), null);
    assert.equal(await attribute(tv, 'status', 'data-verdict'), null);
  });

  browserTest('"Try again over TLS" on the side of the caster reaches a TV that has UDP alone', { ...authority.settings, ...DEAD_RELAY }, async (fixture, server) => {
    const { tv, caster } = await failingCast(fixture, server, { casterHome: home });
    await caster.locator('#retry-tls').click();
    fixture.onClose(await openTheWay(server));
    await inState(caster, 'sharing');
    await inState(tv, 'playing');
    await assertPicture(tv, 2);
    const { iceTransportPolicy, iceServers } = await caster.evaluate(() => window.castway.pc().getConfiguration());
    assert.equal(iceTransportPolicy, 'relay');
    assert.ok(iceServers.length > 0 && iceServers.flatMap(({ urls }) => urls).every((url) => url.startsWith('turns:')));
    assert.match((await statistics(caster)).url, /^turns:/);
    assert.match((await statistics(tv)).url, /^turn:.*transport=udp$/);
  });

  browserTest('both callers read why, and a path that opens late wins', { ...DEAD_RELAY, CASTWAY_NO_TCP: 'true' }, async (fixture, server) => {
    const pages = await failingCall(fixture, server, 'late');
    for (const page of pages) {
      assert.equal(await attribute(page, 'notice', 'data-error'), 'ice_failed');
      assert.notEqual(await page.locator('#notice-title').innerText(), '');
      assert.ok((await said(page)).some((text) => /^Still trying: /.test(text)), 'the page has said before what it waits for');
    }
    await pages[0].locator('#send-report').click();
    await until('the operator has the report', () => pages[0].locator('#report-sent').innerText(), (text) => /^Thank you/.test(text));
    fixture.onClose(await openTheWay(server));
    for (const page of pages) {
      await inState(page, 'talking');
      assert.equal(await attribute(page, 'notice', 'data-verdict'), null);
    }
    await assertPicture(pages[0], 2);
  });

  browserTest('the pages say that they use nothing but the relay', {}, async (fixture, server) => {
    const browser = await fixture.browser();
    const visible = async (path, script) => (await openPage(browser, server.url + path, { script })).locator('#relay-only').isVisible();
    for (const path of ['/tv?ice=relay', '/cast?code=ABCDEF&ice=relay', '/cast?ice=relay&code=ABCDEF', '/r/relay-only?ice=relay']) {
      assert.equal(await visible(path), true, path);
    }
    for (const path of ['/tv', '/cast?code=ABCDEF', '/r/any']) assert.equal(await visible(path), false, path);
    const page = await openPage(browser, `${server.url}/cast?code=ABCDEF&ice=relay`);
    assert.equal((await page.locator('#code-input').inputValue()).replaceAll(' ', ''), 'ABCDEF');
  });
});
