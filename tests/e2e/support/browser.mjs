// Real Chromium processes, and the steps that the tests perform with our two pages.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';
import { TIMEOUT_MS, until as untilSeen } from '../../interop/support/wait.mjs';

const installed = process.env.CASTWAY_TEST_CHROMIUM ?? '/usr/bin/chromium';
// What starts it.
export const CHROMIUM = fileURLToPath(new URL('chromium', import.meta.url));
const SOURCE_TITLE = 'castway test picture';

// The pictures of the tests change so often in a second. Most of the time that the browsers cost is in pictures.
export const FRAME_RATE = 10;

// A camera that shows a moving figure, and a microphone that beeps every second.
export const FAKE_DEVICES = `--use-fake-device-for-media-stream=fps=${FRAME_RATE}`;
// A page still needs permission for both.
export const DEVICES = { args: [FAKE_DEVICES] };

// `home`: a folder with a certificate store that the browser trusts. `desktop`: the desktop for the browser's window, headless without it.
function options({ home, desktop, args = [] } = {}) {
  if (!existsSync(installed)) throw new Error(`${installed} is missing: install Debian's package chromium`);
  return {
    executablePath: CHROMIUM,
    env: { ...process.env, ...desktop?.env, ...(home && { HOME: home }) },
    headless: !desktop,
    args: [
      // The input method's module is for GTK 3.
      ...(desktop ? ['--ozone-platform=x11', '--gtk-version=3'] : []),
      '--no-sandbox',
      // The relay is at 127.0.0.1, and a test machine may have only loopback interfaces.
      '--allow-loopback-in-peer-connection',
      `--auto-select-tab-capture-source-by-title=${SOURCE_TITLE}`,
      '--autoplay-policy=no-user-gesture-required',
      ...args,
    ],
  };
}

export const launch = (wishes) => chromium.launch(options(wishes));

// A browser that can be killed without a clean shutdown.
export async function launchKillable(wishes) {
  const host = await chromium.launchServer(options(wishes));
  return { browser: await chromium.connect(host.wsEndpoint()), kill: () => host.kill() };
}

// A picture that moves all the time, and whose left side has a colour that the other side can check.
const SOURCE = `<!doctype html><title>${SOURCE_TITLE}</title><style>html,body{margin:0;height:100%}canvas{display:block;width:100%;height:100%}</style>
<canvas width="640" height="360"></canvas><script>
  const context = document.querySelector('canvas').getContext('2d');
  let tick = 0;
  (function draw() {
    tick += 1;
    context.fillStyle = 'rgb(255,0,255)';
    context.fillRect(0, 0, 320, 360);
    context.fillStyle = 'hsl(' + (tick * 3 % 360) + ',80%,50%)';
    context.fillRect(320, 0, 320, 360);
    context.fillStyle = '#fff';
    context.fillRect(320 + tick * 5 % 300, tick * 3 % 340, 20, 20);
    setTimeout(draw, ${1000 / FRAME_RATE});
  })();
</script>`;

// The source has a context of its own, because browsers draw a background tab of the same window only four times a second.
export async function openSource(browser) {
  const context = await browser.newContext({ viewport: { width: 640, height: 360 } });
  const page = await context.newPage();
  await page.setContent(SOURCE);
  return page;
}

// `script` runs in the page before the page's own scripts; `more` are options of Playwright's contexts.
export async function openPage(browser, url, { locale = 'en-US', viewport = { width: 1280, height: 720 }, permissions = [], script, ...more } = {}) {
  const context = await browser.newContext({ locale, viewport, permissions, ...more });
  const page = await context.newPage();
  page.setDefaultTimeout(TIMEOUT_MS);
  page.messages = [];
  page.on('console', (message) => page.messages.push(`${message.type()}: ${message.text()}`));
  page.on('pageerror', (error) => page.messages.push(`page error: ${error.stack ?? error}`));
  if (script) await page.addInitScript(script);
  await load(page, url);
  return page;
}

// What Chromium says of a page that it gives up, or never ends, since an interface has just got its address.
const GIVEN_UP = /ERR_NETWORK_CHANGED|chrome-error:|Timeout/;

// Chromium loads such a page again by itself, which Playwright does not wait for.
async function load(page, url) {
  const end = Date.now() + TIMEOUT_MS;
  for (;;) {
    try {
      return await page.goto(url, { timeout: TIMEOUT_MS / 4 });
    } catch (error) {
      if (!GIVEN_UP.test(error.message) || Date.now() > end) throw error;
    }
  }
}

// Like the interop tests' `until`, but with longer pauses, because reading the state of a page takes time.
export { TIMEOUT_MS };
export const until = (what, look, accept = Boolean, limit = TIMEOUT_MS) => untilSeen(what, look, accept, { limit, pause: 200 });

const bodyState = (page) => page.evaluate(() => `${document.body.dataset.state} ${document.body.dataset.online}`);
export const inState = (page, state, limit) => until(`the page is ${state}`, () => bodyState(page), (seen) => seen === `${state} true`, limit);

// Joins from the lobby with camera and microphone: after some seconds without an answer about them, the button offers to join without.
export const joinCall = (page) => page.locator('#join', { hasText: /^(Join the call|加入通话)$/ }).click();

export const shownCode = (page) =>
  until('the TV shows a code', () => page.locator('#code').evaluate((code) => (document.body.dataset.online === 'true' ? code.dataset.code : '')), (code) => /^[A-Z0-9]{6}$/.test(code ?? ''));

export async function openTv(browser, server, options = {}) {
  const page = await openPage(browser, `${server.url}/tv?ice=relay`, options);
  const code = await shownCode(page);
  await inState(page, 'waiting');
  return { page, code };
}

export async function startCast(browser, server, code, options = {}) {
  const page = await openPage(browser, `${server.url}/cast?ice=relay`, options);
  await page.locator('#code-input').fill(code);
  await page.locator('#start').click();
  await inState(page, 'sharing');
  return page;
}

// Reads the browser's own statistics, not those that the page shows. `frames`: the received frames or, if none are received, the sent
// ones. `energy`: of the sound that was heard, 0 before the first packet of it.
export function statistics(page) {
  return page.evaluate(async () => {
    const result = { decoded: 0, encoded: 0, energy: 0 };
    const pc = window.castway.pc();
    if (!pc) return { ...result, frames: -1 };
    result.state = pc.iceConnectionState;
    const all = new Map();
    for (const [id, report] of await pc.getStats()) all.set(id, report);
    for (const report of all.values()) {
      if (report.type === 'inbound-rtp' && report.kind === 'video') result.decoded += report.framesDecoded ?? 0;
      if (report.type === 'inbound-rtp' && report.kind === 'audio') result.energy = report.totalAudioEnergy ?? 0;
      if (report.type === 'outbound-rtp' && report.kind === 'video') result.encoded += report.framesEncoded ?? 0;
      if (report.type === 'transport' && report.selectedCandidatePairId) {
        const pair = all.get(report.selectedCandidatePairId);
        const local = all.get(pair.localCandidateId);
        const remote = all.get(pair.remoteCandidateId);
        Object.assign(result, { local: local.candidateType, remote: remote.candidateType, url: local.url, address: `${local.address}:${local.port}` });
      }
    }
    const comes = [...all.values()].some(({ type, kind }) => type === 'inbound-rtp' && kind === 'video');
    return { ...result, frames: comes ? result.decoded : result.encoded };
  });
}

// The number of new frames that count as one step, half a second.
const FRAMES_A_STEP = FRAME_RATE / 2;

// Asserts that the picture moves: from `from` frames on, the number of frames grows `steps` times. The test does not count seconds,
// because the whole machine may pause for some.
export async function assertPicture(page, steps = 5, from = 1) {
  let { frames } = await until('frames are decoded', () => statistics(page), (seen) => seen.frames >= from);
  for (let i = 1; i <= steps; i += 1) {
    const before = frames;
    ({ frames } = await until(`step ${i}: more than ${before} decoded frames`, () => statistics(page), (seen) => seen.frames >= before + FRAMES_A_STEP));
  }
}

// A beep of a fake microphone has a hundred times this energy.
const HEARD_ENERGY = 0.001;

// Waits for sound that comes from now on.
export async function assertHears(page, what) {
  const { energy } = await statistics(page);
  await until(what, () => statistics(page), (seen) => seen.energy > energy + HEARD_ENERGY);
}

// The colour on the left of the picture as the other side shows it.
export const seenColour = (page) =>
  page.evaluate(() => {
    const video = document.getElementById('video');
    if (!video.videoWidth) return null;
    const canvas = document.createElement('canvas');
    canvas.width = video.videoWidth;
    canvas.height = video.videoHeight;
    const context = canvas.getContext('2d');
    context.drawImage(video, 0, 0);
    return [...context.getImageData(Math.floor(canvas.width / 4), Math.floor(canvas.height / 2), 1, 1).data].slice(0, 3);
  });

// The left of the source is magenta.
export const assertMagenta = (page) =>
  until('the picture is the source', () => seenColour(page), (rgb) => rgb !== null && rgb[0] > 180 && rgb[1] < 90 && rgb[2] > 180);

// Without a `transport` it may be UDP or TCP: Chromium sometimes stays with the first pair that works.
export async function assertRelayed(page, server, transport = 'udp|tcp', port = server.turnPort) {
  // A URL with TLS has the name of the certificate that the client used.
  const [scheme, host, under] = transport === 'tls' ? ['turns', 'localhost', 'tcp'] : ['turn', '127\\.0\\.0\\.1', transport];
  const expected = new RegExp(`^${scheme}:${host}:${port}\\?transport=(?:${under})$`);
  const { local, remote } = await until(`the relay's URL is ${expected}`, () => statistics(page), ({ url }) => expected.test(url));
  assert.deepEqual({ local, remote }, { local: 'relay', remote: 'relay' });
}
