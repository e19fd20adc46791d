// Old versions of Chromium, such as 67, which televisions of 2018 have, driven by their debugging protocol.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { get } from 'node:http';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { brotliDecompressSync } from 'node:zlib';
import WebSocket from 'ws';
import { excerpt } from '../../interop/support/excerpt.mjs';
import { TIMEOUT_MS, until } from '../../interop/support/wait.mjs';

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

class Page {
  #next = 0;
  #pending = new Map();
  messages = [];

  constructor(socket) {
    this.socket = socket;
    socket.on('message', (text) => {
      const message = JSON.parse(text);
      if (message.method === 'Runtime.consoleAPICalled') this.messages.push(message.params.args.map(({ value, description }) => value ?? description).join(' '));
      if (message.method === 'Log.entryAdded') this.messages.push(message.params.entry.text);
      if (message.method === 'Runtime.exceptionThrown') this.messages.push(JSON.stringify(message.params.exceptionDetails));
      const waiter = this.#pending.get(message.id);
      this.#pending.delete(message.id);
      if (message.error) waiter?.reject(new Error(message.error.message));
      else waiter?.resolve(message.result);
    });
  }

  send(method, params = {}) {
    this.#next += 1;
    const id = this.#next;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`${method} was not answered`)), TIMEOUT_MS);
      const settle = (done) => (value) => {
        clearTimeout(timer);
        done(value);
      };
      this.#pending.set(id, { resolve: settle(resolve), reject: settle(reject) });
      this.socket.send(JSON.stringify({ id, method, params }));
    });
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
];

// Resolves to {page, version, close}. `within`: a command that starts the browser elsewhere; `reach` makes the access to its debugging port;
// `home`: a folder with a certificate store; `script` runs before the page's own.
export async function openOld(url, { version = '67', within = [], reach = here, home, args = [], script } = {}) {
  const name = `Chromium ${version}`;
  const profile = mkdtempSync(join(tmpdir(), `castway-chromium${version}-`));
  const [command, ...rest] = [...within, binary(version), ...ARGS, ...args, `--user-data-dir=${profile}`, 'about:blank'];
  const child = spawn(command, rest, { stdio: ['ignore', 'pipe', 'pipe'], detached: true, env: { ...process.env, ...(home && { HOME: home }) } });
  let output = '';
  child.stdout.on('data', (chunk) => (output += chunk));
  child.stderr.on('data', (chunk) => (output += chunk));
  const close = async () => {
    // The process group belongs to this child: its renderers end with it.
    if (child.exitCode === null && child.pid) process.kill(-child.pid, 'SIGKILL');
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    rmSync(profile, { recursive: true, force: true });
  };
  try {
    const port = await until(`${name} starts`, () => {
      if (child.exitCode !== null) throw new Error(`${name} did not start: ${excerpt(output)}`);
      return output.match(/DevTools listening on ws:\/\/127\.0\.0\.1:(\d+)/)?.[1];
    });
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
    return { page, version: product, close };
  } catch (error) {
    await close();
    throw error;
  }
}
