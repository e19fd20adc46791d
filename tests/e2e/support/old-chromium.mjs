// Chromium 67, which televisions of 2018 have, driven by its debugging protocol.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { brotliDecompressSync } from 'node:zlib';
import WebSocket from 'ws';
import { excerpt } from '../../interop/support/excerpt.mjs';
import { TIMEOUT_MS, until } from '../../interop/support/wait.mjs';

const packed = fileURLToPath(new URL('../node_modules/chrome-aws-lambda/bin/chromium.br', import.meta.url));
const unpacked = fileURLToPath(new URL('../node_modules/.cache/chromium-67/chromium', import.meta.url));

function binary() {
  if (!existsSync(unpacked)) {
    mkdirSync(dirname(unpacked), { recursive: true });
    writeFileSync(`${unpacked}.part`, brotliDecompressSync(readFileSync(packed)));
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

// Resolves to {page, version, close}.
export async function openOld(url) {
  const profile = mkdtempSync(join(tmpdir(), 'castway-chromium67-'));
  const child = spawn(
    binary(),
    [
      '--headless', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-zygote', '--allow-loopback-in-peer-connection',
      '--autoplay-policy=no-user-gesture-required', '--window-size=1280,720', '--remote-debugging-port=0', `--user-data-dir=${profile}`, 'about:blank',
    ],
    { stdio: ['ignore', 'pipe', 'pipe'], detached: true },
  );
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
    const port = await until('Chromium 67 starts', () => {
      if (child.exitCode !== null) throw new Error(`Chromium 67 did not start: ${excerpt(output)}`);
      return output.match(/DevTools listening on ws:\/\/127\.0\.0\.1:(\d+)/)?.[1];
    });
    const { Browser: version } = await (await fetch(`http://127.0.0.1:${port}/json/version`)).json();
    // Chromium listens before it has a page.
    const pages = async () => (await (await fetch(`http://127.0.0.1:${port}/json/list`)).json()).filter(({ type }) => type === 'page');
    const [{ webSocketDebuggerUrl }] = await until('Chromium 67 has a page', pages, ({ length }) => length > 0);
    const socket = new WebSocket(webSocketDebuggerUrl);
    await once(socket, 'open');
    const page = new Page(socket);
    await page.send('Runtime.enable');
    await page.send('Log.enable');
    await page.send('Page.enable');
    await page.send('Page.navigate', { url });
    return { page, version, close };
  } catch (error) {
    await close();
    throw error;
  }
}
