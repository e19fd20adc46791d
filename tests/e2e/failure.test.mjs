// What the pages say when no path works, and that they keep trying behind the sentence.
import assert from 'node:assert/strict';
import { after, describe } from 'node:test';
import { ownAuthority } from '../interop/support/authority.mjs';
import { assertPicture, DEVICES, inState, joinCall, openPage, openSource, openTv, shownCode, statistics, until } from './support/browser.mjs';
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

// The reports that a page sends over its WebSocket, as they are sent.
function reportsOf(page) {
  const reports = [];
  page.on('websocket', (socket) =>
    socket.on('framesent', ({ payload }) => {
      const event = /^\d+(\["CAST_REPORT".*)$/s.exec(String(payload));
      if (event) reports.push(JSON.parse(event[1])[1]);
    }));
  return reports;
}

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
    await joinCall(page);
    pages.push(page);
  }
  for (const page of pages) await verdict(page);
  return pages;
}

describe('a connection that fails', { concurrency: BROWSER_TESTS_AT_A_TIME }, () => {
  browserTest('the caster reads why, and the TV says who has the problem', DEAD_RELAY, async (fixture, server) => {
    const { tv, caster } = await failingCast(fixture, server);
    assert.equal(await attribute(caster, 'notice', 'data-error'), 'ice_failed');
    assert.equal(await attribute(caster, 'notice', 'data-verdict'), 'wrong_external_address');
    assert.equal(await caster.evaluate(() => window.castway.state()), 'failed');
    assert.match(await caster.locator('#notice-hint').innerText(), /127\.0\.0\.1 but it advertises 127\.0\.0\.77/);
    assert.notEqual(await caster.locator('#notice-title').innerText(), '');
    await caster.locator('#notice-more summary').click();
    assert.match(await caster.locator('#notice-fix').innerText(), /CASTWAY_EXTERNAL_IP/);
    assert.equal(await caster.locator('#retry-tls').isVisible(), false, 'this server offers no TLS');
    assert.equal(await caster.locator('#notice-action').isVisible(), true);
    assert.ok((await said(caster)).some((text) => /^Still trying: /.test(text)), 'the caster has said before what it waits for');
    assert.ok((await said(caster)).some((text) => /^No connection to the TV yet\. This page keeps trying/.test(text)), 'the caster says that it keeps trying');

    await until('the TV has the verdict', () => tv.locator('#status').innerText(), (text) => /The caster’s screen says why\.$/.test(text));
    assert.equal(await attribute(tv, 'status', 'data-verdict'), 'wrong_external_address');
    assert.equal(await attribute(tv, 'status', 'data-side'), 'server');

    await caster.locator('#send-report').click();
    await until('the operator has the report', () => caster.locator('#report-sent').innerText(), (text) => /^Thank you/.test(text));
    assert.equal(await caster.locator('#send-report').isDisabled(), true);
  });

  browserTest('a verdict that comes late replaces what the caster has seen itself', DEAD_RELAY, async (fixture, server) => {
    const [tvBrowser, castBrowser] = [await fixture.browser(), await fixture.browser()];
    await openSource(castBrowser);
    const { page: tv, code } = await openTv(tvBrowser, server);
    const caster = await openPage(castBrowser, 'about:blank');
    const held = [];
    let holds = true;
    await caster.routeWebSocket(/socket\.io/, (socket) => {
      const origin = socket.connectToServer();
      socket.onMessage((message) => origin.send(message));
      origin.onMessage((message) => (holds && /"verdict":\{/.test(String(message)) ? held.push(() => socket.send(message)) : socket.send(message)));
    });
    await caster.goto(`${server.url}/cast?ice=relay&code=${code}`);
    await caster.locator('#start').click();
    assert.equal(await verdict(caster), 'unknown');
    await until('the TV has the verdict', () => attribute(tv, 'status', 'data-verdict'), (found) => found === 'wrong_external_address');
    await until('the verdict is there', () => held.length);
    holds = false;
    held.forEach((send) => send());
    await until('the caster has the verdict', () => attribute(caster, 'notice', 'data-verdict'), (found) => found === 'wrong_external_address');
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
      assert.equal(await attribute(page, 'notice', 'data-verdict'), 'wrong_external_address');
      assert.notEqual(await page.locator('#notice-title').innerText(), '');
      assert.ok((await said(page)).some((text) => /^Still trying: /.test(text)), 'the page has said before what it waits for');
      assert.doesNotMatch(await page.locator('#notice').innerText(), /\b(TV|caster|[Cc]asts?)\b/, 'nobody in a call is a TV');
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

  browserTest('both ends report how a cast went, without addresses and credentials', {}, async (fixture, server) => {
    const [tvBrowser, castBrowser] = [await fixture.browser(), await fixture.browser()];
    await openSource(castBrowser);
    const tv = await openPage(tvBrowser, 'about:blank');
    const caster = await openPage(castBrowser, 'about:blank');
    const reports = [tv, caster].map(reportsOf);
    await tv.goto(`${server.url}/tv?ice=relay`);
    await caster.goto(`${server.url}/cast?ice=relay&code=${await shownCode(tv)}`);
    await caster.locator('#start').click();
    await inState(tv, 'playing');
    await assertPicture(tv, 2);
    const outcomes = (list) => list.map(({ outcome }) => outcome);
    for (const list of reports) await until('the connection is reported', () => outcomes(list), (seen) => seen.includes('connected'));
    await caster.locator('#stop').click();
    for (const list of reports) await until('the end is reported', () => outcomes(list), (seen) => seen.at(-1) === 'ended');
    for (const list of reports) {
      const last = list.at(-1);
      assert.equal(last.route, 'relay');
      assert.match(last.protocol, /^(udp|tcp)$/);
      assert.ok(last.bytes > 0 && last.rttMs >= 0 && last.seconds > 0 && last.checks.answered > 0, JSON.stringify(last));
      // A browser asks the other servers no more once one path works: a server may stay without a candidate, and none has an error.
      assert.ok(last.servers.some(({ candidates }) => candidates > 0) && last.servers.every(({ code }) => code === null), JSON.stringify(last.servers));
      assert.ok(last.local.relay > 0 && last.remote.relay > 0 && last.local.host === 0, JSON.stringify(last));
      assert.doesNotMatch(JSON.stringify(list), /credential|username|ufrag|candidate:|v=0/);
      assert.ok(JSON.stringify(last).length < 16 * 1024);
    }
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
