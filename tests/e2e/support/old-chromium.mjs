// Old versions of Chromium, such as 67, which televisions of 2018 have, driven by their debugging protocol.
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { get } from 'node:http';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { brotliDecompressSync } from 'node:zlib';
import WebSocket from 'ws';
import { until } from '../../interop/support/wait.mjs';
import { openBrowser, RemoteSession } from './remote-browser.mjs';

const modules = fileURLToPath(new URL('../node_modules/', import.meta.url));
const packages = { 64: 'chrome-aws-lambda-64', 67: 'chrome-aws-lambda', 70: 'chrome-aws-lambda-70', 79: 'chrome-aws-lambda-79' };
export const oldVersions = Object.keys(packages);

function binary(version) {
  const unpacked = join(modules, `.cache/chromium-${version}/chromium`);
  if (!existsSync(unpacked)) {
    const folder = join(modules, packages[version], 'bin');
    const [packed] = readdirSync(folder).filter((name) => /^chromium.*\.br$/.test(name));
    mkdirSync(dirname(unpacked), { recursive: true });
    writeFileSync(`${unpacked}.part`, brotliDecompressSync(readFileSync(join(folder, packed))));
    chmodSync(`${unpacked}.part`, 0o755);
    renameSync(`${unpacked}.part`, unpacked);
  }
  return unpacked;
}

// What an event of the debugging protocol adds to the page's messages.
function logged({ method, params }) {
  if (method === 'Runtime.consoleAPICalled') return params.args.map(({ value, description }) => value ?? description).join(' ');
  if (method === 'Log.entryAdded') return params.entry.text;
  if (method === 'Runtime.exceptionThrown') return JSON.stringify(params.exceptionDetails);
  return undefined;
}

class Page extends RemoteSession {
  constructor(socket) {
    super(socket, { logged, refused: ({ error }) => error?.message });
  }

  async evaluate(expression) {
    const { result, exceptionDetails } = await this.send('Runtime.evaluate', { expression, awaitPromise: true, returnByValue: true });
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return result.value;
  }

  async screenshot(path) {
    const { data } = await this.send('Page.captureScreenshot', { format: 'png' });
    writeFileSync(path, Buffer.from(data, 'base64'));
  }
}

// The debugging port of a browser of this machine: `json` gets a document, `socket` opens a WebSocket.
const here = (port) => ({
  json: async (path) => (await fetch(`http://127.0.0.1:${port}${path}`)).json(),
  socket: (path) => new WebSocket(`ws://127.0.0.1:${port}${path}`),
});

// The same for a port that can be reached only through a Unix socket, as in another network namespace.
export const through = (socketPath, port) => ({
  json: (path) =>
    new Promise((resolve, reject) => {
      const request = get({ socketPath, path, headers: { host: `127.0.0.1:${port}` } }, async (response) => resolve(JSON.parse(Buffer.concat(await response.toArray()))));
      request.on('error', reject);
    }),
  socket: (path) => new WebSocket(`ws+unix://${socketPath}:${path}`, { headers: { host: `127.0.0.1:${port}` } }),
});

const ARGS = [
  '--headless', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-zygote', '--allow-loopback-in-peer-connection',
  '--autoplay-policy=no-user-gesture-required', '--window-size=1280,720', '--remote-debugging-port=0',
  '--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream',
];

// Resolves to {page, version, close}. `within`: a command that starts the browser elsewhere; `reach` makes the access to its debugging port;
// `home`: a folder with a certificate store; `script` runs before the page's own.
export async function openOld(url, { version = '67', within = [], reach = here, home, args = [], script } = {}) {
  const name = `Chromium ${version}`;
  const profile = mkdtempSync(join(tmpdir(), `castway-chromium${version}-`));
  const browser = {
    name,
    command: [...within, binary(version), ...ARGS, ...args, `--user-data-dir=${profile}`, 'about:blank'],
    env: home && { HOME: home },
    profile,
    listening: /DevTools listening on ws:\/\/127\.0\.0\.1:(\d+)/,
  };
  return openBrowser(browser, async (port) => {
    const debug = await reach(port);
    const { Browser: product } = await debug.json('/json/version');
    // Chromium listens before it has a page.
    const pages = async () => (await debug.json('/json/list')).filter(({ type }) => type === 'page');
    const [{ id }] = await until(`${name} has a page`, pages, ({ length }) => length > 0);
    const socket = debug.socket(`/devtools/page/${id}`);
    await once(socket, 'open');
    const page = new Page(socket);
    await page.send('Runtime.enable');
    await page.send('Log.enable');
    await page.send('Page.enable');
    if (script) await page.send('Page.addScriptToEvaluateOnNewDocument', { source: script });
    await page.send('Page.navigate', { url });
    return { page, version: product };
  });
}

// An expression for the number of frames that our page has decoded; written for an engine without `?.` and `??`.
export const FRAMES = `(async () => {
  const pc = window.castway && window.castway.pc();
  if (!pc) return -1;
  let frames = 0;
  (await pc.getStats()).forEach((report) => {
    if (report.type === 'inbound-rtp' && (report.kind || report.mediaType) === 'video') frames += report.framesDecoded || 0;
  });
  return frames;
})()`;

// Asserts that frames keep being decoded in an old engine.
export async function assertOldPicture(page, frames = FRAMES) {
  for (let i = 0, seen = 0; i < 5; i += 1) {
    const last = seen;
    seen = await until(`more than ${last} decoded frames`, () => page.evaluate(frames), (now) => now > last);
  }
}
