// Calls of more than 13 minutes through the relay, over UDP, TCP and TLS at the same time. In that time every permission (5 minutes), every
// channel, nonce and allocation (10 minutes each) would end if the client could not refresh it. CASTWAY_TEST_LONG: seconds, 810 by default.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { assertRelayed, inState, launch, openPage, openSource, openTv, startCast, statistics } from '../e2e/support/browser.mjs';
import { openFirefox } from '../e2e/support/firefox.mjs';
import { homeThatTrusts } from '../e2e/support/trust.mjs';
import { ownAuthority } from '../interop/support/authority.mjs';
import { Program } from '../interop/support/process.mjs';
import { startServer } from '../interop/support/server.mjs';
import { until } from '../interop/support/wait.mjs';

const SECONDS = Number(process.env.CASTWAY_TEST_LONG ?? 810);
// All clients share the machine with their server, and some encode video in software.
const MAX_STILL_S = 20;
const START_LIMIT_MS = 180_000;
const path = (name) => fileURLToPath(new URL(name, import.meta.url));

// In a page: a call between two connections for each list of ICE servers. `window.counts` has the number of messages that came back.
async function startCalls(servers) {
  window.counts = {};
  for (const [name, iceServers] of Object.entries(servers)) {
    const config = { iceServers, iceTransportPolicy: 'relay' };
    const [a, b] = [new RTCPeerConnection(config), new RTCPeerConnection(config)];
    a.onicecandidate = ({ candidate }) => candidate && b.addIceCandidate(candidate);
    b.onicecandidate = ({ candidate }) => candidate && a.addIceCandidate(candidate);
    b.ondatachannel = ({ channel }) => (channel.onmessage = ({ data }) => channel.send(data));
    const channel = a.createDataChannel('call');
    window.counts[name] = 0;
    channel.onmessage = () => (window.counts[name] += 1);
    channel.onopen = () => setInterval(() => channel.send('here'), 250);
    await a.setLocalDescription(await a.createOffer());
    await b.setRemoteDescription(a.localDescription);
    await b.setLocalDescription(await b.createAnswer());
    await a.setRemoteDescription(b.localDescription);
    window.calls = [...(window.calls ?? []), a, b];
  }
}

// Fixture of the test: `calls` has a function for each call, which counts what has arrived.
class Calls {
  calls = {};
  // The last output of programs that ended too early.
  ended = new Map();
  #closers = [];

  constructor(server, { ca, home }, credentials) {
    Object.assign(this, { server, ca, home, credentials });
  }

  later(close) {
    this.#closers.unshift(close);
  }

  async close() {
    for (const close of this.#closers) await close().catch(() => {});
  }

  ice(transport) {
    const { server, credentials } = this;
    const urls = transport === 'tls' ? `turns:localhost:${server.httpsPort}?transport=tcp` : `turn:127.0.0.1:${server.turnPort}?transport=${transport}`;
    return [{ urls, username: credentials.username, credential: credentials.password }];
  }

  // A program that prints its count, which `pattern` finds.
  program(name, command, args, pattern, env = {}) {
    const program = new Program(command, args, { env: { ...process.env, ...env } });
    this.later(() => program.close());
    this.calls[name] = () => {
      if (!program.running && !this.ended.has(name)) this.ended.set(name, program.output.slice(-1000));
      return Number([...program.output.slice(-4000).matchAll(pattern)].at(-1)?.[1] ?? 0);
    };
  }

  uclients() {
    const { server, credentials } = this;
    for (const [transport, flags, port] of [['UDP', [], server.turnPort], ['TCP', ['-t'], server.turnPort], ['TLS', ['-t', '-S'], server.httpsPort]]) {
      const args = [...flags, '-y', '-c', '-m', '2', '-n', String(SECONDS * 10), '-z', '250', '-u', credentials.username, '-w', credentials.password, '-p', String(port), '127.0.0.1'];
      this.program(`turnutils_uclient over ${transport}`, 'stdbuf', ['-oL', 'turnutils_uclient', ...args], /tot_recv_msgs=(\d+)/g);
    }
  }

  libraries() {
    const { server, credentials } = this;
    const python = path('../.venv/bin/python');
    for (const [transport, host, port] of [['udp', '127.0.0.1', server.turnPort], ['tcp', '127.0.0.1', server.turnPort], ['tls', 'localhost', server.httpsPort]]) {
      const args = [path('../interop/aioice_client.py'), host, port, transport, credentials.username, credentials.password, 2 * SECONDS];
      this.program(`aioice over ${transport.toUpperCase()}`, python, args.map(String), /count (\d+)/g, { SSL_CERT_FILE: this.ca });
    }
    for (const transport of ['udp', 'tcp']) {
      const config = { iceServers: this.ice(transport), iceTransportPolicy: 'relay', forceTurnTCP: transport === 'tcp' };
      this.program(`werift over ${transport.toUpperCase()}`, process.execPath, [path('../interop/support/werift-call.mjs'), JSON.stringify(config)], /count (\d+)/g);
    }
  }

  async browsers() {
    const pages = [];
    const browser = await launch({ home: this.home });
    this.later(() => browser.close());
    const chromium = await openPage(browser, `${this.server.url}/`);
    pages.push(['Chromium', chromium, ['tcp', 'tls']]);
    const firefox = await openFirefox(`${this.server.url}/`, { ca: this.ca, preferences: { 'media.peerconnection.ice.loopback': true } });
    this.later(() => firefox.close());
    pages.push(['Firefox', firefox.page, ['udp', 'tcp', 'tls']]);
    for (const [name, page, transports] of pages) {
      await page.evaluate(startCalls, Object.fromEntries(transports.map((transport) => [transport, this.ice(transport)])));
      for (const transport of transports) {
        this.calls[`${name} over ${transport.toUpperCase()}`] = async () => (await page.evaluate(() => window.counts))[transport];
      }
    }
  }

  async cast() {
    const [tvBrowser, castBrowser] = [await launch(), await launch()];
    this.later(() => Promise.all([tvBrowser.close(), castBrowser.close()]));
    await openSource(castBrowser);
    const { page: tv, code } = await openTv(tvBrowser, this.server);
    await startCast(castBrowser, this.server, code);
    await inState(tv, 'playing');
    await assertRelayed(tv, this.server);
    this.calls["frames of a cast between Chromium's pages over UDP"] = async () => (await statistics(tv)).frames;
  }
}

test(`calls of ${SECONDS} s`, { timeout: (SECONDS + 900) * 1000 }, async (context) => {
  const authority = ownAuthority();
  const { home, close: forgetHome } = homeThatTrusts(authority.ca);
  const server = await startServer({ ...authority.settings, CASTWAY_TURN_ACCESS: 'open' });
  const calls = new Calls(server, { ca: authority.ca, home }, await (await fetch(`${server.url}/turn?username=long`)).json());
  try {
    await calls.cast();
    await calls.browsers();
    calls.libraries();
    calls.uclients();
    const names = Object.keys(calls.calls);
    const counts = () => Promise.all(names.map((name) => calls.calls[name]()));
    await until('all calls have begun', counts, (seen) => seen.every((count) => count > 0), { limit: START_LIMIT_MS, pause: 1000, show: (seen) => names.filter((_, at) => !(seen[at] > 0)).join(', ') });
    const begun = Date.now();
    const seen = names.map(() => ({ count: 0, at: begun, longest: 0, since: 0 }));
    const look = async () => {
      const now = await counts();
      names.forEach((_, at) => {
        const [one, still] = [seen[at], (Date.now() - seen[at].at) / 1000];
        if (still > one.longest) Object.assign(one, { longest: still, since: (one.at - begun) / 1000 });
        if (now[at] > one.count) Object.assign(one, { count: now[at], at: Date.now() });
      });
      return Date.now() > begun + SECONDS * 1000;
    };
    await until('the calls have lasted', look, Boolean, { limit: SECONDS * 1000 + START_LIMIT_MS, pause: 1000 });
    const lines = names.map((name, at) => `${name}: ${seen[at].count} arrived, the longest pause was ${seen[at].longest.toFixed(1)} s after ${seen[at].since.toFixed()} s`);
    lines.forEach((line) => context.diagnostic(line));
    assert.deepEqual([...calls.ended], []);
    assert.deepEqual(lines.filter((_, at) => seen[at].longest >= MAX_STILL_S), [], 'calls with a pause');
    assert.deepEqual(server.logged(/panicked/), []);
  } finally {
    await calls.close();
    await server.close();
    forgetHome();
    authority.close();
  }
});
