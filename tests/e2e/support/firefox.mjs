// Firefox, driven by WebDriver BiDi.
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import WebSocket from 'ws';
import { excerpt } from '../../interop/support/excerpt.mjs';
import { TIMEOUT_MS, until } from '../../interop/support/wait.mjs';

// A camera and a microphone that a page may use, videos that play by themselves, and no requests to Mozilla.
const PREFERENCES = {
  'media.navigator.streams.fake': true,
  'media.navigator.permission.disabled': true,
  'media.autoplay.default': 0,
  'media.gmp-manager.updateEnabled': false,
  'network.captive-portal-service.enabled': false,
  'network.connectivity-service.enabled': false,
  'app.normandy.enabled': false,
  'browser.safebrowsing.update.enabled': false,
  'datareporting.policy.dataSubmissionEnabled': false,
  'remote.log.truncate': true,
};

// A profile that trusts the authority in the file `ca`.
function profileThatTrusts(ca) {
  const profile = mkdtempSync(join(tmpdir(), 'castway-firefox-'));
  const lines = Object.entries(PREFERENCES).map(([name, value]) => `user_pref(${JSON.stringify(name)}, ${JSON.stringify(value)});`);
  writeFileSync(join(profile, 'user.js'), `${lines.join('\n')}\n`);
  execFileSync('certutil', ['-d', `sql:${profile}`, '-N', '--empty-password']);
  execFileSync('certutil', ['-d', `sql:${profile}`, '-A', '-t', 'C,,', '-n', 'castway test authority', '-i', ca]);
  return profile;
}

class Session {
  #next = 0;
  #pending = new Map();
  messages = [];

  constructor(socket) {
    this.socket = socket;
    socket.on('message', (text) => {
      const message = JSON.parse(text);
      if (message.method === 'log.entryAdded') this.messages.push(`${message.params.level}: ${message.params.text}`);
      const waiter = this.#pending.get(message.id);
      this.#pending.delete(message.id);
      if (message.type === 'error') waiter?.reject(new Error(`${message.error}: ${message.message}`));
      else waiter?.resolve(message.result);
    });
  }

  send(method, params) {
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
}

class Page {
  constructor(session, context) {
    this.session = session;
    this.context = context;
  }

  get messages() {
    return this.session.messages;
  }

  // Calls a function in the page, as Playwright does. The page regards the call as an action of its user.
  async evaluate(act, argument) {
    const expression = `(async () => JSON.stringify((await (${act})(${JSON.stringify(argument)})) ?? null))()`;
    const { result, exceptionDetails } = await this.session.send('script.evaluate', { expression, target: { context: this.context }, awaitPromise: true, userActivation: true });
    if (exceptionDetails) throw new Error(exceptionDetails.text);
    return JSON.parse(result.value);
  }

  click(selector) {
    return this.evaluate((name) => document.querySelector(name).click(), selector);
  }
}

const here = async (port) => (path) => new WebSocket(`ws://127.0.0.1:${port}${path}`);

// Opens a page in a Firefox of its own: {page, close}. `within`, `reach` and `script` are as in old-chromium.mjs.
export async function openFirefox(url, { ca, within = [], reach = here, script }) {
  const profile = profileThatTrusts(ca);
  const [command, ...args] = [...within, 'firefox-esr', '--headless', '--no-remote', '--profile', profile, '--remote-debugging-port', '0', 'about:blank'];
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], detached: true, env: { ...process.env, HOME: profile } });
  let output = '';
  child.stdout.on('data', (chunk) => (output += chunk));
  child.stderr.on('data', (chunk) => (output += chunk));
  const close = async () => {
    if (child.exitCode === null && child.pid) process.kill(-child.pid, 'SIGKILL');
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
  };
  try {
    const port = await until('Firefox starts', () => {
      if (child.exitCode !== null) throw new Error(`Firefox did not start: ${excerpt(output)}`);
      return output.match(/WebDriver BiDi listening on ws:\/\/127\.0\.0\.1:(\d+)/)?.[1];
    });
    const socket = (await reach(port))('/session');
    await once(socket, 'open');
    const session = new Session(socket);
    await session.send('session.new', { capabilities: {} });
    await session.send('session.subscribe', { events: ['log.entryAdded'] });
    const { contexts } = await session.send('browsingContext.getTree', {});
    if (script) await session.send('script.addPreloadScript', { functionDeclaration: `() => { ${script} }` });
    await session.send('browsingContext.navigate', { context: contexts[0].context, url, wait: 'complete' });
    return { page: new Page(session, contexts[0].context), close };
  } catch (error) {
    await close();
    throw error;
  }
}
