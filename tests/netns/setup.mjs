// A server and what three people see of it: the operator (`castway doctor`), a visitor (`/check`), and a caster with a TV. The networks are
// those of internet.mjs.
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { assertPicture, inState, openPage, openSource, shownCode, statistics, until } from '../e2e/support/browser.mjs';
import { ownAuthority } from '../interop/support/authority.mjs';
import { excerpt } from '../interop/support/excerpt.mjs';
import { run } from '../interop/support/process.mjs';
import { startServer } from '../interop/support/server.mjs';
import { within } from '../interop/support/wait.mjs';
import { Browsers } from './browsers.mjs';
import { NAMES, ORIGIN } from './internet.mjs';

// Each of four links may take half a minute to fail.
const LINKS_TIMEOUT_MS = 180_000;
const probe = fileURLToPath(new URL('probe.mjs', import.meta.url));
// Castway's own addresses and ports, except for 443.
const OWN = Object.fromEntries(['HTTP_ADDR', 'TURNS_ADDR', 'TURN_ADDR', 'EXTERNAL_IP', 'RELAY_IP', 'MAX_PORT'].map((name) => [`CASTWAY_${name}`, undefined]));

// Runs in the pages, before their own scripts: notes in ms since 1970 when the last candidate came, when ICE failed, and when a verdict stood
// on the page.
function noteTimes() {
  const times = {};
  window.noted = times;
  const Native = window.RTCPeerConnection;
  window.RTCPeerConnection = class extends Native {
    constructor(...args) {
      super(...args);
      this.addEventListener('icecandidate', () => (times.candidate = Date.now()));
      this.addEventListener('iceconnectionstatechange', () => this.iceConnectionState === 'failed' && (times.failed ??= Date.now()));
    }
  };
  addEventListener('click', ({ target }) => target.closest?.('#start') && (times.started ??= Date.now()), true);
  const observer = new MutationObserver(() => document.querySelector('[data-verdict]')?.dataset.verdict && (times.verdict ??= Date.now()));
  observer.observe(document, { subtree: true, childList: true, attributes: true, attributeFilter: ['data-verdict'] });
}

// What stands on a page: the code of its verdict, its sentence, and its side.
const shownVerdict = (page, selector = '[data-verdict]') =>
  page.evaluate((wanted) => {
    const shown = [...document.querySelectorAll(wanted)].find(({ dataset }) => dataset.verdict);
    return shown ? { code: shown.dataset.verdict, side: shown.dataset.side, text: shown.textContent.replace(/\s+/g, ' ').trim() } : null;
  }, selector);

// The route of the selected pair, or nothing if there is none.
async function selectedRoute(page) {
  const { local, remote, url = '' } = await statistics(page);
  if (!local) return '';
  const protocol = /^turns:/.test(url) ? 'tls' : (url.match(/transport=(\w+)/)?.[1] ?? 'udp');
  return `${[local, remote].includes('relay') ? 'relay' : 'direct'}/${protocol}`;
}

export class Setup {
  #homes = {};

  // A server with these settings and the browsers; without settings, there is no server yet. `names` are in the certificate that the
  // browsers trust. `authority` has signed another one, which the server uses.
  static async start(settings, { names = NAMES, authority } = {}) {
    const setup = new Setup();
    setup.trusted = ownAuthority(names);
    setup.authority = authority ?? setup.trusted;
    setup.browsers = new Browsers(setup.trusted.ca);
    const open = async (home) => {
      setup.#homes[home] = await setup.browsers.chromium(home);
    };
    try {
      // All of them come before an error ends the start, so that `close` finds them.
      const begun = await Promise.allSettled([settings && setup.serve(settings), open('home1'), open('home2')]);
      for (const { reason } of begun.filter(({ status }) => status === 'rejected')) throw reason;
      return setup;
    } catch (error) {
      await setup.close();
      throw error;
    }
  }

  // Replaces the server by one with these settings, whose pages are at `origin`. `accept`: visitors accept the browser's warning about the
  // certificate.
  async serve(settings, { origin = ORIGIN, accept = this.authority !== this.trusted } = {}) {
    await this.server?.close();
    this.origin = origin;
    this.accept = accept;
    // The server's machine knows the authority, too.
    const trust = { SSL_CERT_FILE: this.trusted.ca };
    this.server = await startServer({ ...OWN, ...trust, CASTWAY_HTTPS_ADDR: '[::]:443', ...this.authority.settings, ...settings });
  }

  async close() {
    await this.browsers?.close();
    await this.server?.close();
    this.trusted.close();
    if (this.authority !== this.trusted) this.authority.close();
  }

  page(home, path, options) {
    return openPage(this.#homes[home], `${this.origin}${path}`, options);
  }

  async closePages() {
    const contexts = Object.values(this.#homes).flatMap((browser) => browser.contexts());
    await Promise.all(contexts.map((context) => context.close()));
  }

  // What probe.mjs finds in a home, by transport.
  async probe(home, { ca = this.trusted.ca, origin = this.origin, credentials } = {}) {
    const more = credentials ? [JSON.stringify(credentials)] : [];
    const { code, output } = await run('ip', ['netns', 'exec', home, 'env', `NODE_EXTRA_CA_CERTS=${ca}`, process.execPath, probe, origin, ...more]);
    assert.equal(code, 0, output);
    const found = Object.entries(JSON.parse(output.split('\n').find((line) => line.startsWith('{'))));
    const transport = (uri) => (uri.startsWith('turns:') ? 'tls' : uri.match(/transport=(\w+)/)[1]);
    return Object.fromEntries(found.map(([uri, outcome]) => [transport(uri), outcome]));
  }

  // What `castway doctor` says on the server's machine, and its exit code.
  async doctor() {
    const { code, stdout, stderr } = await this.server.cli(['doctor', '--json', '--no-wait']);
    assert.ok(code === 0 || code === 1, `castway doctor ended with ${code}: ${excerpt(stderr)}`);
    const told = JSON.parse(stdout);
    assert.equal(code, told.ok ? 0 : 1, stdout);
    return { ...told, code };
  }

  // Asks the running server through its control socket.
  async ask(request) {
    const socket = connect(join(this.server.dataDir, 'castway.sock'));
    try {
      const lines = createInterface({ input: socket })[Symbol.asyncIterator]();
      socket.write(`${JSON.stringify(request)}\n`);
      const { value } = await within(lines.next(), `answer to ${request.ask}`);
      return JSON.parse(value);
    } finally {
      socket.destroy();
    }
  }

  // The first step of /check in a home: {verdict, rows, page}, with the state of each row by its path; `texts` are for the message of a failure.
  async check(home) {
    const { key, error } = await this.ask({ ask: 'check_key' });
    assert.ok(key, error);
    const page = await openPage(this.#homes[home], `${this.origin}/check?k=${key}`, { ignoreHTTPSErrors: this.accept });
    const answers = [];
    page.on('response', async (response) => {
      const path = new URL(response.url()).pathname;
      if (path.startsWith('/check/') && !response.ok()) answers.push(`${path}: ${response.status()} ${await response.text().catch(() => '')}`);
    });
    const begun = Date.now();
    await page.locator('#start-check').click();
    const verdict = await until('a verdict of /check', () => shownVerdict(page, '#verdict'), Boolean);
    const rows = await page.evaluate(() => [...document.querySelectorAll('[data-path]')].map(({ dataset, innerText }) => [dataset.path, dataset.state, innerText]));
    const states = {};
    // Two rows may have one path (TURN over TLS at two ports): the worse one counts.
    for (const [path, state] of rows) states[path] = states[path] === 'failed' ? 'failed' : state;
    return { verdict, rows: states, texts: [...rows, ...answers], seconds: (Date.now() - begun) / 1000, page };
  }

  // The second step, with a device in a home: the verdict that stands on the first device's page afterwards, and the states of the links.
  async checkWith(home, { page }) {
    const digits = await until('digits', () => page.locator('#digits').textContent(), (text) => /^\d{4}$/.test(text));
    const second = await openPage(this.#homes[home], `${this.origin}/check?d=${digits}`, { ignoreHTTPSErrors: this.accept });
    await second.locator('#join-check').click();
    const seen = () =>
      page.evaluate(() => ({ state: document.body.dataset.state, links: Object.fromEntries([...document.querySelectorAll('[data-link]')].map(({ dataset }) => [dataset.link, dataset.state])) }));
    const { links } = await until('the links are tested', seen, (now) => now.state === 'done' && Object.keys(now.links).length > 0, LINKS_TIMEOUT_MS);
    return { verdict: await shownVerdict(page, '#verdict'), links };
  }

  // A TV in home 1 that waits for a caster in home 2, which has a picture to share: {tv, start}. `start` resolves to the caster's page once its cast has begun.
  async seat(query = '') {
    const options = { script: noteTimes, ignoreHTTPSErrors: this.accept };
    await openSource(this.#homes.home2);
    const tv = await openPage(this.#homes.home1, `${this.origin}/tv${query}`, options);
    const code = await shownCode(tv);
    await inState(tv, 'waiting');
    const caster = await openPage(this.#homes.home2, `${this.origin}/cast${query}`, options);
    await caster.locator('#code-input').fill(code);
    const start = async () => {
      await caster.locator('#start').click();
      return caster;
    };
    return { tv, start };
  }

  // Casts from a `seat` until the TV shows a moving picture, and resolves to the route that the browser's own statistics name, such as
  // `relay/udp`, where the protocol is the caster's, or `direct/udp`; Chromium may begin with another one than the expected. The pages stay
  // open.
  async casting(query, expected = /./, seat = this.seat(query)) {
    const { tv, start } = await seat;
    const caster = await start();
    await inState(caster, 'sharing');
    await assertPicture(tv, 2);
    assert.equal(await shownVerdict(caster), null);
    const route = await until(`the route is ${expected}`, () => selectedRoute(caster), (seen) => expected.test(seen));
    return { tv, caster, route };
  }

  // Casts until the TV shows a moving picture, ends the cast, and resolves to the fields of its line in the log, and to the route that the
  // browser has `seen`; Chromium may change to another pair in between.
  async cast(query, expected, seat) {
    const from = this.server.log.length;
    const { tv, caster, route } = await this.casting(query, expected, seat);
    await caster.context().close();
    await tv.context().close();
    const line = await until('the line of the cast', () => this.server.log.slice(from).match(/cast ended .*/)?.[0]);
    const fields = Object.fromEntries([...line.matchAll(/(\w+)=("[^"]*"|\S+)/g)].map(([, name, value]) => [name, value.replaceAll('"', '')]));
    return { ...fields, seen: route };
  }

  // Casts in vain: {verdict, tv, seconds}, with the verdict that stands on the caster's page and what the TV says.
  async failedCast(query, { change } = {}) {
    const { tv, start } = await this.seat(query);
    await change?.();
    const caster = await start();
    const verdict = await until('a verdict on /cast', () => shownVerdict(caster), Boolean);
    const onTv = await until('a side on /tv', () => shownVerdict(tv), Boolean);
    const { started, candidate, failed, verdict: shown } = await caster.evaluate(() => window.noted);
    const since = (time) => (time ? (shown - time) / 1000 : null);
    return { verdict, tv: onTv, seconds: { 'since the start': since(started), 'since the last candidate': since(candidate), 'since ICE failed': since(failed) } };
  }
}
