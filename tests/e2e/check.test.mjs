// The page for checks in real browsers: healthy networks are not blamed, two devices test each other, and the operator reads the result.
import assert from 'node:assert/strict';
import { after, describe } from 'node:test';
import { ownAuthority } from '../interop/support/authority.mjs';
import { ask } from '../interop/support/check.mjs';
import { openPage, until } from './support/browser.mjs';
import { BROWSER_TESTS_AT_A_TIME, browserTest } from './support/browser-test.mjs';
import { openFirefox } from './support/firefox.mjs';
import { openOld } from './support/old-chromium.mjs';
import { homeThatTrusts } from './support/trust.mjs';

const authority = ownAuthority();
const { home, close: forgetHome } = homeThatTrusts(authority.ca);
after(() => {
  authority.close();
  forgetHome();
});

const CHECK_TIMEOUT_MS = 60_000;

const at = (server, path) => `${server.url}${path}`;

// Runs in the page: each row with its state, and the verdict.
const seen = () => ({
  state: document.body.dataset.state,
  paths: Object.fromEntries([...document.querySelectorAll('[data-path]')].map((row) => [row.dataset.path, row.dataset.state])),
  links: Object.fromEntries([...document.querySelectorAll('[data-link]')].map((row) => [row.dataset.link, row.dataset.state])),
  notice: document.querySelector('#notice-hint').textContent,
  verdict: document.querySelector('#verdict').getAttribute('data-verdict'),
  title: document.querySelector('#verdict-title').textContent,
});

async function key(server) {
  const { key } = await ask(server, { ask: 'check_key' });
  const waiting = ask(server, { ask: 'check_wait', key, seconds: 120 });
  // Most tests don't wait for it, and their server ends first.
  waiting.catch(() => {});
  return { key, waiting };
}

const done = (page) => until('the check is done', () => page.evaluate(seen), ({ state, verdict }) => state === 'done' && verdict !== null, CHECK_TIMEOUT_MS);

describe('the page for checks', { concurrency: BROWSER_TESTS_AT_A_TIME }, () => {
  browserTest('a healthy network is not blamed, and the operator reads the result', {}, async (fixture, server) => {
    const { key: typed, waiting } = await key(server);
    const page = await openPage(await fixture.browser(), at(server, `/check?k=${typed}`));
    assert.equal(new URL(page.url()).search, '', 'the key is not left in the address bar');
    await page.locator('#start-check').press('Enter');
    const { paths, verdict, title } = await done(page);
    assert.deepEqual([paths.udp, paths.tcp], ['ok', 'ok']);
    assert.notEqual(paths.stun, 'failed');
    assert.equal(verdict, 'fine');
    assert.ok(title);
    const { result } = await waiting;
    assert.deepEqual([result.verdict.code, result.report.paths.filter(({ kind }) => kind === 'udp').length], ['fine', 1]);
    assert.equal(await page.locator('#sent').isVisible(), true);

    await page.locator('#copy-report').click();
    await until('it is copied', () => page.locator('#copy-report').textContent(), (text) => text === 'Copied');
  });

  browserTest('what the relay never sends to is not tested, and not blamed', { CASTWAY_API_KEYS: 'a-key-of-a-front-end' }, async (fixture, server) => {
    const { key: typed } = await key(server);
    const page = await openPage(await fixture.browser(), at(server, `/check?k=${typed}`));
    await page.locator('#start-check').click();
    const { paths, verdict } = await done(page);
    assert.deepEqual([paths.udp, paths.range], ['ok', 'untested']);
    assert.ok(['fine', 'not_tested'].includes(verdict), verdict);
  });

  browserTest('two devices test each way between them', {}, async (fixture, server) => {
    const { key: typed } = await key(server);
    const first = await openPage(await fixture.browser(), at(server, `/check?k=${typed}`), { viewport: { width: 390, height: 844 } });
    await first.locator('#start-check').click();
    await done(first);
    const digits = await until('the first device shows digits', () => first.locator('#digits').textContent(), (text) => /^\d{4}$/.test(text));
    assert.ok((await first.locator('#qr').getAttribute('data-url')).endsWith(`/check?d=${digits}`));

    const second = await openPage(await fixture.browser(), at(server, `/check?d=${digits}`), { locale: 'zh-CN' });
    await second.locator('#join-check').click();
    const links = await until('each link has a result', () => first.evaluate(seen), (page) => page.state === 'done' && Object.keys(page.links).length === 4, CHECK_TIMEOUT_MS);
    assert.deepEqual(links.links, { direct: 'ok', 'relay-udp': 'ok', 'relay-tcp': 'ok', 'relay-tls': 'untested' });
    assert.equal(links.verdict, 'fine');
    const widths = await first.evaluate(() => [...document.querySelectorAll('[data-link] .name')].map((name) => name.clientWidth));
    assert.ok(widths.every((width) => width >= 140), `a phone breaks no word of a name: ${widths}`);
    await until('the second device is done', () => second.evaluate(seen), ({ state }) => state === 'done');
    const { checks } = await ask(server, { ask: 'checks' });
    assert.deepEqual(checks[0].result.report.links.map(({ connected }) => connected), [true, true, true]);
    assert.ok(checks[0].result.report.links.every(({ rttMs, mbits }) => rttMs > 0 && mbits > 0), JSON.stringify(checks[0].result.report.links));
  });

  browserTest('TURN over TLS is tested where the certificate is one that clients trust', authority.settings, async (fixture, server) => {
    const { key: typed } = await key(server);
    const page = await openPage(await fixture.browser({ home }), `https://localhost:${server.httpsPort}/check?k=${typed}`);
    await page.locator('#start-check').click();
    const { paths, verdict } = await done(page);
    assert.deepEqual([paths.udp, paths.tcp, paths.tls, verdict], ['ok', 'ok', 'ok', 'fine']);
  });

  browserTest('without a key the page says how to get one, and a used key says so', {}, async (fixture, server) => {
    const browser = await fixture.browser();
    const empty = await openPage(browser, at(server, '/check'));
    assert.match(await empty.locator('#key-hint').textContent(), /castway doctor/);
    assert.equal(await empty.evaluate(() => document.activeElement.id), 'key-input');
    await empty.locator('#start-check').click();
    await until('it asks for a key', () => empty.locator('#notice').isVisible());

    const { key: typed } = await key(server);
    for (const [locale, refusal] of [['en-US', null], ['en-US', /has been used/], ['zh-CN', /已使用过/]]) {
      const page = await openPage(browser, at(server, `/check?k=${typed}`), { locale });
      await page.locator('#start-check').click();
      if (!refusal) await done(page);
      else await until('the refusal is shown', () => page.locator('#notice-hint').textContent(), (text) => refusal.test(text));
    }
  });

  browserTest('Firefox tests the same ways', {}, async (fixture, server) => {
    const { key: typed } = await key(server);
    const preferences = { 'media.peerconnection.ice.loopback': true, 'media.peerconnection.ice.obfuscate_host_addresses': false };
    const { page, close } = await openFirefox(at(server, `/check?k=${typed}`), { ca: authority.ca, preferences });
    fixture.onClose(close);
    await until('the page is there', () => page.evaluate(() => document.querySelector('#start-check').disabled), (disabled) => disabled === false);
    await page.click('#start-check');
    const { paths, verdict } = await done(page);
    assert.deepEqual([paths.udp, paths.tcp], ['ok', 'ok']);
    assert.equal(verdict, 'fine');
  });

  browserTest('a television of 2018 tests what it can', {}, async (fixture, server) => {
    const { key: typed } = await key(server);
    const { page, version, close } = await openOld(at(server, `/check?k=${typed}`));
    fixture.onClose(close);
    assert.match(version, /Chrome\/67\./);
    await until('the page is there', () => page.evaluate("(document.getElementById('start-check') || { disabled: true }).disabled"), (disabled) => disabled === false);
    await page.evaluate("document.getElementById('start-check').click()");
    const old = `JSON.stringify((${seen})())`;
    const { paths, verdict } = await until('the check is done', async () => JSON.parse(await page.evaluate(old)), (now) => now.state === 'done' && now.verdict !== null, CHECK_TIMEOUT_MS);
    assert.deepEqual([paths.udp, paths.tcp], ['ok', 'ok']);
    assert.equal(verdict, 'fine');
  });
});
