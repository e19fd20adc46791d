// Runs other programs: until they end, or beside a test.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { ends, excerpt } from './excerpt.mjs';
import { TIMEOUT_MS, until } from './wait.mjs';

// Resolves to {code, output}; `code` is null if the program was killed after `limit` ms. The middle of a long output is left out.
export async function run(command, args, limit = 3 * TIMEOUT_MS) {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  child.stdout.on('data', (chunk) => (output += chunk));
  child.stderr.on('data', (chunk) => (output += chunk));
  const timer = setTimeout(() => child.kill('SIGKILL'), limit);
  const [code] = await once(child, 'close');
  clearTimeout(timer);
  return { code, output: ends(output) };
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
