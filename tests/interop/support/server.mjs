// Starts the release binary on free loopback ports, with a data folder of its own, and ends it by its pid.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { brief, excerpt } from './excerpt.mjs';
import { freePort, onFreePorts } from './ports.mjs';
import { closeOf } from './sockets.mjs';
import { TIMEOUT_MS, until } from './wait.mjs';

const root = fileURLToPath(new URL('../../../', import.meta.url));
export const binary = process.env.CASTWAY_TEST_BINARY ?? join(root, 'target/release/castway');

// A developer's own CASTWAY_* settings must not leak into a test.
export const cleanEnv = () => Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('CASTWAY_')));

class Server {
  #child = null;
  log = '';

  constructor(dataDir, settings) {
    this.dataDir = dataDir;
    this.settings = settings;
  }

  // The first of several addresses, or Castway's default if a test unsets the setting.
  get httpAddr() {
    return (this.settings.CASTWAY_HTTP_ADDR ?? '127.0.0.1:8080').split(',')[0];
  }

  get url() {
    return `http://${this.httpAddr}`;
  }

  get httpPort() {
    return Number(this.httpAddr.split(':').at(-1));
  }

  get turnPort() {
    return Number((this.settings.CASTWAY_TURN_ADDR ?? '127.0.0.1:3478').split(':').at(-1));
  }

  get httpsPort() {
    return Number(this.settings.CASTWAY_HTTPS_ADDR?.split(':').at(-1));
  }

  get pid() {
    return this.#child?.pid;
  }

  get running() {
    return this.#child !== null && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  // The working folder is the data folder, so that no .env of the repository is read.
  #spawn(args, stdio) {
    const options = { cwd: this.dataDir, env: { ...cleanEnv(), ...this.settings }, stdio };
    // The limit of open descriptors and the network namespace, which are no settings of Castway; nor is TEST_READY_PATH, the path whose
    // success ends the start.
    const { TEST_OPEN_FILES: limit, TEST_NAMESPACE: namespace } = this.settings;
    const within = namespace ? ['ip', 'netns', 'exec', namespace] : [];
    const [command, ...all] = limit ? ['sh', '-c', 'ulimit -n "$0"; exec "$@"', limit, ...within, binary, ...args] : [...within, binary, ...args];
    return spawn(command, all, options);
  }

  async start() {
    const child = this.#spawn([], ['ignore', 'pipe', 'pipe']);
    this.#child = child;
    const collect = (chunk) => {
      this.log += chunk;
    };
    child.stdout.on('data', collect);
    child.stderr.on('data', collect);
    let failure = null;
    child.on('error', (error) => {
      failure = error;
    });
    const deadline = Date.now() + TIMEOUT_MS;
    while (Date.now() < deadline) {
      if (failure) throw failure;
      if (!this.running) throw new Error(`castway ended while starting (${child.exitCode ?? child.signalCode}):\n${excerpt(this.log)}`);
      const ready = await fetch(`${this.url}${this.settings.TEST_READY_PATH ?? '/readyz'}`, { signal: AbortSignal.timeout(2000) }).catch(() => null);
      await ready?.arrayBuffer();
      if (ready?.status === 200 && this.running) return this;
      await sleep(30);
    }
    await this.stop();
    throw new Error(`castway was not ready within ${TIMEOUT_MS / 1000} s:\n${excerpt(this.log)}`);
  }

  // Resolves to {code, signal}. A process that ignores the signal is killed, and the result is an error.
  async stop(signal = 'SIGTERM', limit = TIMEOUT_MS) {
    const child = this.#child;
    if (!child || !this.running) return { code: child?.exitCode ?? null, signal: child?.signalCode ?? null };
    const exited = once(child, 'exit');
    child.kill(signal);
    const ended = await Promise.race([exited, sleep(limit, null, { ref: false })]);
    if (!ended) {
      child.kill('SIGKILL');
      await exited;
      throw new Error(`castway did not end within ${limit / 1000} s of ${signal}:\n${excerpt(this.log)}`);
    }
    return { code: ended[0], signal: ended[1] };
  }

  async restart() {
    await this.stop();
    await this.start();
  }

  async close() {
    try {
      await this.stop();
    } finally {
      rmSync(this.dataDir, { recursive: true, force: true });
    }
  }

  // Runs a subcommand of the binary against the same data folder: {code, stdout, stderr}.
  async cli(args, input = '') {
    const child = this.#spawn(args, ['pipe', 'pipe', 'pipe']);
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (chunk) => (stdout += chunk));
    child.stderr.on('data', (chunk) => (stderr += chunk));
    child.stdin.on('error', () => {});
    child.stdin.end(input);
    const timer = setTimeout(() => child.kill('SIGKILL'), TIMEOUT_MS);
    const [code] = await once(child, 'close');
    clearTimeout(timer);
    return { code, stdout, stderr };
  }

  // The number of users that the running server knows; it adopts changes of the command line after a moment.
  get knownUsers() {
    return Number([...this.log.matchAll(/users reloaded\D+(\d+)/g)].at(-1)?.[1] ?? 0);
  }

  // Resolves when the running server knows the user.
  async addUser(name, password = `${name}-password-1`) {
    const known = this.knownUsers;
    const { code, stderr } = await this.cli(['user', 'add', name, '--password-stdin'], `${password}\n`);
    if (code !== 0) throw new Error(`castway user add ${name} ended with ${code}: ${excerpt(stderr)}`);
    await until(`${name} is known`, () => this.knownUsers > known);
  }

  // The matching lines of the log, for a test that expects none.
  logged(pattern) {
    return this.log.split('\n').filter((line) => pattern.test(line)).slice(0, 10).map((line) => brief(line, 400));
  }

  // The value of a metric in /metrics; `series` is its name, with labels if it has any.
  async metric(series) {
    const lines = (await (await fetch(`${this.url}/metrics`)).text()).split('\n');
    const line = lines.find((text) => text.startsWith(`${series} `));
    if (!line) throw new Error(`/metrics has no ${series}`);
    return Number(line.slice(series.length + 1));
  }
}

// `extra`: settings, or a function that makes them for each attempt, since another process may take a port before the server binds it.
export async function startServer(extra = {}) {
  if (!existsSync(binary)) throw new Error(`${binary} is missing: run cargo build --release`);
  return onFreePorts(async () => {
    const dataDir = mkdtempSync(join(tmpdir(), 'castway-test-'));
    const server = new Server(dataDir, {
      CASTWAY_DATA_DIR: dataDir,
      CASTWAY_HTTP_ADDR: `127.0.0.1:${await freePort()}`,
      CASTWAY_HTTPS_ADDR: `127.0.0.1:${await freePort()}`,
      CASTWAY_TURNS_ADDR: `127.0.0.1:${await freePort()}`,
      CASTWAY_TURN_ADDR: `127.0.0.1:${await freePort()}`,
      CASTWAY_EXTERNAL_IP: '127.0.0.1',
      CASTWAY_RELAY_IP: '127.0.0.1',
      // The higher ports are UNUSED_RELAY_PORTS.
      CASTWAY_MAX_PORT: '60999',
      CASTWAY_CREDENTIALS_RATE: '100000',
      CASTWAY_LOG: 'info,castway::users::directory=debug',
      ...(typeof extra === 'function' ? await extra() : extra),
    });
    try {
      return await server.start();
    } catch (error) {
      await server.close().catch(() => {});
      throw error;
    }
  });
}

// Runs `body` with a server of its own, and then ends its clients and the server. Tests that use this may run side by side.
export async function withServer(settings, body) {
  const server = await startServer(settings);
  try {
    await body(server);
  } finally {
    closeOf([server.httpPort, server.httpsPort]);
    await server.close();
  }
}
