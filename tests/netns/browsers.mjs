// Browsers in the homes, which trust an authority of the tests, and which use only the wanted transport to the relay.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { CHROMIUM, FAKE_DEVICES } from '../e2e/support/browser.mjs';
import { openFirefox } from '../e2e/support/firefox.mjs';
import { openOld, through } from '../e2e/support/old-chromium.mjs';
import { homeThatTrusts } from '../e2e/support/trust.mjs';
import { until } from '../interop/support/wait.mjs';
import { isSettled } from './networks.mjs';

const { chromium } = createRequire(new URL('../e2e/', import.meta.url))('playwright-core');
const forward = fileURLToPath(new URL('forward.mjs', import.meta.url));

// A script that leaves a page only the relay's URLs of one transport; old browsers run it, too. TURN over TCP goes to the port of the page,
// which takes every protocol.
export const only = (transport) => `
  (function () {
    const Connection = window.RTCPeerConnection;
    const transport = ${JSON.stringify(transport)};
    const wanted = { udp: /^turn:.*transport=udp/, tcp: /^turn:.*transport=tcp/, tls: /^turns:/ }[transport];
    const atPage = (url) => (transport === 'tcp' ? 'turn:' + location.hostname + ':' + (location.port || 443) + '?transport=tcp' : url);
    const filtered = (configuration) => Object.assign({}, configuration, configuration && configuration.iceServers && {
      iceServers: configuration.iceServers
        .map((server) => Object.assign({}, server, { urls: [].concat(server.urls).filter((url) => wanted.test(url)).map(atPage) }))
        .filter((server) => server.urls.length > 0),
    });
    window.RTCPeerConnection = class extends Connection {
      constructor(configuration, more) { super(filtered(configuration), more); }
      setConfiguration(configuration) { super.setConfiguration(filtered(configuration)); }
    };
  })();`;

// A browser gives requests up when its host gets an address or a link.
const settled = (home) => until(`the addresses of ${home} are settled`, () => isSettled(home));

// A current Chromium in a home, with a screen to share. Playwright starts it through a script in `folder` that enters the home.
export async function launchIn(home, folder, { args = [], ...options } = {}) {
  const executablePath = join(folder, home);
  writeFileSync(executablePath, `#!/bin/sh\nexec ip netns exec ${home} ${CHROMIUM} "$@"\n`);
  chmodSync(executablePath, 0o755);
  await settled(home);
  const usual = ['--no-sandbox', '--auto-select-tab-capture-source-by-title=castway test picture', '--autoplay-policy=no-user-gesture-required'];
  return chromium.launch({ executablePath, ...options, args: [...usual, ...args] });
}

export class Browsers {
  #closers = [];

  constructor(ca) {
    this.ca = ca;
    this.folder = mkdtempSync(join(tmpdir(), 'castway-browsers-'));
    const { home, close } = homeThatTrusts(ca);
    this.home = home;
    this.#closers.push(close, () => rmSync(this.folder, { recursive: true, force: true }));
  }

  // A current Chromium in a home, with a camera and a screen to share.
  async chromium(home, args = []) {
    const browser = await launchIn(home, this.folder, { env: { ...process.env, HOME: this.home }, args: [FAKE_DEVICES, ...args] });
    this.#closers.push(() => browser.close());
    return browser;
  }

  // A page in a Firefox in a home.
  async firefox(home, url, script) {
    await settled(home);
    const reach = async (port) => through(await this.#socketTo(home, port), port).socket;
    const { page, close } = await openFirefox(url, { ca: this.ca, within: ['ip', 'netns', 'exec', home], reach, script });
    this.#closers.push(close);
    return page;
  }

  // A page in a Chromium of this version in a home.
  async old(version, home, url, script) {
    await settled(home);
    const reach = async (port) => through(await this.#socketTo(home, port), port);
    // Old versions know no store of certificates that a test can fill, or ignore what is in it.
    const old = await openOld(url, { version, within: ['ip', 'netns', 'exec', home], reach, home: this.home, args: ['--ignore-certificate-errors'], script });
    this.#closers.push(old.close);
    return old;
  }

  // The path of a Unix socket that leads to a port of 127.0.0.1 in a home.
  async #socketTo(home, port) {
    const path = join(this.folder, `${home}-${port}`);
    const child = spawn('ip', ['netns', 'exec', home, process.execPath, forward, path, String(port)], { stdio: ['pipe', 'pipe', 'inherit'] });
    await once(child.stdout, 'data');
    this.#closers.push(() => child.stdin.end());
    return path;
  }

  async close() {
    for (const close of this.#closers.splice(0).reverse()) await close();
  }

  // Closes the browsers that were opened since.
  get mark() {
    return this.#closers.length;
  }

  async closeSince(mark) {
    for (const close of this.#closers.splice(mark).reverse()) await close();
  }
}
