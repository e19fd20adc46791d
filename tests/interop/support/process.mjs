// Runs other programs: until they end, or beside a test.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { ends, excerpt } from './excerpt.mjs';
import { TIMEOUT_MS, until } from './wait.mjs';

// Resolves to {code, output, stdout, stderr}; `code` is null if the program was killed after `limit` ms. `output` is both streams together, without
// the middle if it is long.
export async function run(command, args, { limit = 3 * TIMEOUT_MS, cwd, env } = {}) {
  const child = spawn(command, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] });
  const said = { output: '', stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr']) {
    child[name].setEncoding('utf8').on('data', (text) => {
      said[name] += text;
      said.output += text;
    });
  }
  const timer = setTimeout(() => child.kill('SIGKILL'), limit);
  const [code] = await once(child, 'close');
  clearTimeout(timer);
  return { code, ...said, output: ends(said.output) };
}

// A program that serves until it is closed.
export class Program {
  output = '';
  ended;
  #child;

  constructor(command, args, options = {}) {
    this.command = command;
    this.#child = spawn(command, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [this.#child.stdout, this.#child.stderr]) stream.on('data', (chunk) => (this.output += chunk));
    this.ended = once(this.#child, 'close').catch((error) => (this.output += error));
  }

  get pid() {
    return this.#child.pid;
  }

  get running() {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  // Resolves to the first result of `look`. While `look` fails or returns nothing, the program is not ready. A program that never becomes
  // ready is closed.
  async ready(look) {
    const answer = async () => {
      if (!this.running) throw new Error(`${this.command} has ended`);
      return look().catch(() => null);
    };
    try {
      return await until(`${this.command} serves`, answer);
    } catch (error) {
      await this.close();
      throw new Error(`${error.message}\n${excerpt(this.output)}`);
    }
  }

  async close() {
    this.#child.kill('SIGKILL');
    await this.ended;
  }
}
