// Firefox, driven by WebDriver BiDi.
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import WebSocket from 'ws';
import { openBrowser, RemoteSession } from './remote-browser.mjs';

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
function profileThatTrusts(ca, preferences) {
  const profile = mkdtempSync(join(tmpdir(), 'castway-firefox-'));
  const lines = Object.entries({ ...PREFERENCES, ...preferences }).map(([name, value]) => `user_pref(${JSON.stringify(name)}, ${JSON.stringify(value)});`);
  writeFileSync(join(profile, 'user.js'), `${lines.join('\n')}\n`);
  execFileSync('certutil', ['-d', `sql:${profile}`, '-N', '--empty-password']);
  execFileSync('certutil', ['-d', `sql:${profile}`, '-A', '-t', 'C,,', '-n', 'castway test authority', '-i', ca]);
  return profile;
}

const session = (socket) =>
  new RemoteSession(socket, {
    logged: ({ method, params }) => (method === 'log.entryAdded' ? `${params.level}: ${params.text}` : undefined),
    refused: ({ type, error, message }) => (type === 'error' ? `${error}: ${message}` : undefined),
  });

class Page {
  constructor(session, context) {
    this.session = session;
    this.context = context;
  }

  get messages() {
    return this.session.messages;
  }

  // Runs a script in the page, whatever the page's policy says, and resolves to its value if that is a number, a string or a boolean.
  async run(expression) {
    const { result, exceptionDetails } = await this.session.send('script.evaluate', { expression, target: { context: this.context }, awaitPromise: true });
    if (exceptionDetails) throw new Error(exceptionDetails.text);
    return result.value;
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

// Opens a page in a Firefox of its own, with more preferences: {page, close}. `within`, `reach` and `script` are as in old-chromium.mjs.
export async function openFirefox(url, { ca, within = [], reach = here, script, preferences }) {
  const profile = profileThatTrusts(ca, preferences);
  const browser = {
    name: 'Firefox',
    command: [...within, 'firefox-esr', '--headless', '--no-remote', '--profile', profile, '--remote-debugging-port', '0', 'about:blank'],
    env: { HOME: profile },
    profile,
    listening: /WebDriver BiDi listening on ws:\/\/127\.0\.0\.1:(\d+)/,
  };
  return openBrowser(browser, async (port) => {
    const socket = (await reach(port))('/session');
    await once(socket, 'open');
    const remote = session(socket);
    await remote.send('session.new', { capabilities: {} });
    await remote.send('session.subscribe', { events: ['log.entryAdded'] });
    const { contexts } = await remote.send('browsingContext.getTree');
    if (script) await remote.send('script.addPreloadScript', { functionDeclaration: `() => { ${script} }` });
    await remote.send('browsingContext.navigate', { context: contexts[0].context, url, wait: 'complete' });
    return { page: new Page(remote, contexts[0].context) };
  });
}
