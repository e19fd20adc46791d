// A desktop without a screen (Xvfb), with ibus and its pinyin input method, which is common in China.
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { until, within } from '../../interop/support/wait.mjs';

const run = promisify(execFile);
const ENGINE = 'libpinyin';
// Libpinyin does not start without a settings service.
const CONFIG = '/usr/libexec/ibus-memconf';
// By default libpinyin has no key for full-width letters.
const SETTINGS = `[com/github/libpinyin/ibus-libpinyin/${ENGINE}]\nletter-switch='<Shift>space'\n`;

class Desktop {
  output = '';
  #children = [];

  constructor(home) {
    this.home = home;
    const settings = join(home, 'config/glib-2.0/settings');
    mkdirSync(settings, { recursive: true });
    writeFileSync(join(settings, 'keyfile'), SETTINGS);
    this.env = {
      HOME: home,
      XDG_CONFIG_HOME: join(home, 'config'),
      XDG_CACHE_HOME: join(home, 'cache'),
      XDG_DATA_HOME: join(home, 'data'),
      XDG_RUNTIME_DIR: home,
      GSETTINGS_BACKEND: 'keyfile',
      GTK_IM_MODULE: 'ibus',
      XMODIFIERS: '@im=ibus',
      LANG: 'C.UTF-8',
      WAYLAND_DISPLAY: '',
      NO_AT_BRIDGE: '1',
    };
  }

  // Resolves to the first line at `descriptor`, or to undefined without a descriptor.
  async start(command, args, descriptor) {
    const child = spawn(command, args, { env: { ...process.env, ...this.env }, stdio: ['ignore', 'pipe', 'pipe', 'pipe'], detached: true });
    this.#children.push(child);
    child.on('error', (error) => (this.output += error));
    for (const stream of child.stdio.slice(1)) stream.on('data', (chunk) => (this.output += chunk));
    if (!descriptor) return undefined;
    const ended = once(child, 'exit').then(() => Promise.reject(new Error(`${command} has ended:\n${this.output}`)));
    const [line] = await within(Promise.race([once(child.stdio[descriptor], 'data'), ended]), `word of ${command}`);
    return String(line).trim();
  }

  // Runs a program and resolves to its output; rejects if it fails.
  async ask(command, ...args) {
    const { stdout } = await run(command, args, { env: { ...process.env, ...this.env } });
    return stdout.trim();
  }

  // Selects the input method for the focused window. It is active when this resolves.
  async usePinyin() {
    const engine = () => this.ask('ibus', 'engine').catch((error) => error.message);
    const choose = () => this.ask('ibus', 'engine', ENGINE).then(engine, engine);
    await until(`ibus uses ${ENGINE}`, choose, (name) => name === ENGINE);
  }

  // Presses keys, which have the names of X.
  press(...keys) {
    return this.ask('xdotool', 'key', ...keys);
  }

  async close() {
    for (const child of this.#children.reverse()) {
      if (child.exitCode !== null || child.signalCode !== null || !child.pid) continue;
      const ended = once(child, 'exit');
      // The process group belongs to this child: the processes that it started end with it.
      process.kill(-child.pid, 'SIGKILL');
      await ended;
    }
    rmSync(this.home, { recursive: true, force: true, maxRetries: 10 });
  }
}

export async function startDesktop() {
  const desktop = new Desktop(mkdtempSync(join(tmpdir(), 'castway-desktop-')));
  try {
    desktop.env.DISPLAY = `:${await desktop.start('Xvfb', ['-displayfd', '3', '-screen', '0', '1280x720x24', '-nolisten', 'tcp'], 3)}`;
    desktop.env.DBUS_SESSION_BUS_ADDRESS = await desktop.start('dbus-daemon', ['--session', '--nofork', '--print-address=3'], 3);
    await desktop.start('ibus-daemon', ['--panel=disable', '--emoji-extension=disable', `--config=${CONFIG}`, '--cache=refresh']);
    const engines = () => desktop.ask('ibus', 'list-engine', '--name-only').catch((error) => error.message);
    await until(`ibus has ${ENGINE}`, engines, (names) => names.split('\n').includes(ENGINE));
    return desktop;
  } catch (error) {
    await desktop.close();
    throw new Error(`${error.message}\n${desktop.output}`);
  }
}
