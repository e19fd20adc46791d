// What the drivers of Firefox and of old versions of Chromium have in common: a browser process, and the session with it.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { excerpt } from '../../interop/support/excerpt.mjs';
import { TIMEOUT_MS, until } from '../../interop/support/wait.mjs';

// Requests and events as JSON over a WebSocket.
export class RemoteSession {
  #next = 0;
  #pending = new Map();
  messages = [];

  // `logged` returns what an event adds to `messages`, if anything; `refused` the text of an answer that is an error.
  constructor(socket, { logged, refused }) {
    this.socket = socket;
    socket.on('message', (text) => {
      const message = JSON.parse(text);
      const line = logged(message);
      if (line !== undefined) this.messages.push(line);
      const waiter = this.#pending.get(message.id);
      this.#pending.delete(message.id);
      const error = refused(message);
      if (error !== undefined) waiter?.reject(new Error(error));
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
}

// Starts a browser with a profile, calls `drive` with the debugging port that it prints as `listening` says, and resolves to what that
// resolves to, with a function `close`.
export async function openBrowser({ name, command: [program, ...args], env, profile, listening }, drive) {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], detached: true, env: { ...process.env, ...env } });
  let output = '';
  child.stdout.on('data', (chunk) => (output += chunk));
  child.stderr.on('data', (chunk) => (output += chunk));
  const close = async () => {
    // The process group belongs to this child: its renderers end with it.
    if (child.exitCode === null && child.pid) process.kill(-child.pid, 'SIGKILL');
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
  };
  try {
    const port = await until(`${name} starts`, () => {
      if (child.exitCode !== null) throw new Error(`${name} did not start: ${excerpt(output)}`);
      return output.match(listening)?.[1];
    });
    return { ...(await drive(port)), close };
  } catch (error) {
    await close();
    throw error;
  }
}
