// The unmodified browser library of RTCMultiConnection in Chromium, on a page like those of its demos.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { FAKE_DEVICES, launch, TIMEOUT_MS, until } from './browser.mjs';

const require = createRequire(import.meta.url);
const library = (name) => readFileSync(require.resolve(`${name}/dist/RTCMultiConnection.js`));
// By the version that they report, the newest last.
const libraries = { '3.5': library('rtcmulticonnection-3.5'), '3.6': library('rtcmulticonnection-3.6'), '3.7': library('rtcmulticonnection') };
const client2 = readFileSync(require.resolve('socket.io-client-2/dist/socket.io.js'));

// The server itself serves version 4.
const clients = { '2.5': client2, '4.8': null };

// The tested combinations. Version 3.5 captures screens with a Chrome extension that no longer exists.
export const kinds = [
  { library: '3.5', version: '2.5', screen: false },
  { library: '3.6', version: '4.8', screen: true },
  { library: '3.7', version: '2.5', screen: true },
  { library: '3.7', version: '4.8', screen: true },
];

export const launchWithDevices = () => launch({ args: [FAKE_DEVICES, '--use-fake-ui-for-media-stream'] });

// Defines what the tests call in a page. The relay is the only way between two peers.
const DEFINITIONS = `
  window.start = async (session, receives) => {
    const connection = (window.connection = new RTCMultiConnection());
    connection.socketURL = '/';
    connection.enableLogs = false;
    connection.iceServers = (await (await fetch('/v1alpha/iceconfig')).json()).iceServers;
    // The library's defaults are null, which browsers reject; the library then continues without iceTransportPolicy.
    Object.assign(connection, { iceTransportPolicy: 'relay', bundlePolicy: 'balanced', rtcpMuxPolicy: 'require', iceCandidatePoolSize: 0 });
    connection.session = session;
    connection.sdpConstraints.mandatory = { OfferToReceiveAudio: Boolean(session.audio) && receives, OfferToReceiveVideo: receives };
    connection.videosContainer = document.getElementById('videos');
    window.left = [];
    connection.onleave = ({ userid }) => window.left.push(userid);
  };
  // Browsers allow screen capture only after a click.
  window.act = (name, ...args) => new Promise((resolve, reject) => {
    setTimeout(() => reject(new Error(name + ' was not answered')), ${TIMEOUT_MS});
    document.getElementById('go').onclick = () => window.connection[name](...args, (...answer) => resolve(answer));
  });`;

const PAGE = `<!doctype html><meta charset="utf-8"><title>session</title>
<script src="/socket.io/socket.io.js"></script>
<script src="/test/RTCMultiConnection.js"></script>
<button id="go">go</button><div id="videos"></div>
<script>${DEFINITIONS}</script>`;

// Makes a page of any browser one with a connection that has not connected yet. `run` runs a script in it.
export async function makeSession(run, { library, session }) {
  for (const script of [client2, libraries[library], DEFINITIONS]) await run(`${script}\n;0`);
  await run(`document.body.innerHTML = '<button id="go">go</button><div id="videos"></div>'; window.start(${JSON.stringify(session)}, true).then(() => 0)`);
}

// Opens a page with a connection that has not connected yet.
// `script` runs in the page before its own scripts.
export async function openSession(browser, server, { version, session, receives = true, userid, before, library, script }) {
  const context = await browser.newContext({ viewport: { width: 640, height: 480 }, permissions: ['camera', 'microphone'] });
  const page = await context.newPage();
  if (script) await page.addInitScript(script);
  page.setDefaultTimeout(TIMEOUT_MS);
  page.messages = [];
  page.on('console', (message) => page.messages.push(`${message.type()}: ${message.text()}`));
  page.on('pageerror', (error) => page.messages.push(`page error: ${error.stack ?? error}`));
  await page.route('**/test/RTCMultiConnection.js', (route) => route.fulfill({ contentType: 'text/javascript', body: libraries[library] }));
  if (clients[version]) {
    await page.route('**/socket.io/socket.io.js', (route) => route.fulfill({ contentType: 'text/javascript', body: clients[version] }));
  }
  // If the test answered the request for the page itself, the page would have no address, and could open no WebSocket to a local one.
  await page.goto(`${server.url}/healthz`);
  await page.setContent(PAGE);
  await page.evaluate(([session, receives]) => window.start(session, receives), [session, receives]);
  if (userid) await page.evaluate((userid) => (window.connection.userid = userid), userid);
  if (before) await page.evaluate(before);
  return page;
}

// Crashes the page, like a killed app: it does not disconnect.
export async function crash(page) {
  const cdp = await page.context().newCDPSession(page);
  const crashed = page.waitForEvent('crash', { timeout: TIMEOUT_MS });
  cdp.send('Page.crash').catch(() => {});
  await crashed;
}

// Calls a method of the connection after a click; resolves to the arguments of its callback.
export async function act(page, name, ...args) {
  const answer = page.evaluate(([name, args]) => window.act(name, ...args), [name, args]);
  await page.locator('#go').click();
  return answer;
}

// For each peer: decoded frames, and the type of the selected candidates.
export function peers(page) {
  return page.evaluate(async () => {
    const result = {};
    for (const id of window.connection.getAllParticipants()) {
      const pc = window.connection.peers[id]?.peer;
      if (!pc || pc.signalingState === 'closed') continue;
      const all = new Map(await pc.getStats());
      const peer = (result[id] = { frames: 0 });
      for (const report of all.values()) {
        if (report.type === 'inbound-rtp' && report.kind === 'video') peer.frames += report.framesDecoded ?? 0;
        if (report.type === 'transport' && report.selectedCandidatePairId) {
          const pair = all.get(report.selectedCandidatePairId);
          peer.local = all.get(pair.localCandidateId)?.candidateType;
          peer.remote = all.get(pair.remoteCandidateId)?.candidateType;
        }
      }
    }
    return result;
  });
}

// Asserts that the frames of `count` peers arrive over the relay and are decoded, and that their number grows.
export async function assertReceives(page, count) {
  const first = await until(`frames of ${count} peers`, () => peers(page), (seen) => Object.values(seen).filter(({ frames }) => frames > 0).length >= count);
  const ids = Object.keys(first).filter((id) => first[id].frames > 0);
  let last = first;
  for (let second = 0; second < 3; second += 1) {
    const before = last;
    last = await until('more frames', () => peers(page), (seen) => ids.every((id) => (seen[id]?.frames ?? 0) > before[id].frames));
  }
  for (const id of ids) {
    if (last[id].local !== 'relay' || last[id].remote !== 'relay') throw new Error(`not relayed: ${JSON.stringify(last[id])}`);
  }
  return ids;
}

export const userid = (page) => page.evaluate(() => window.connection.userid);
