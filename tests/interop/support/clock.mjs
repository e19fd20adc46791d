// A clock that a test sets while a program runs, by libfaketime. Monotonic time is not affected.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { withServer } from './server.mjs';

// `settings` are for a server. An offset from the real clock is a text such as `-3650d`, `+2h` or `+0`.
export class SettableClock {
  #folder = mkdtempSync(join(tmpdir(), 'castway-clock-'));
  #file = join(this.#folder, 'offset');

  constructor(offset) {
    this.set(offset);
    this.settings = {
      // The library that `faketime` preloads into programs.
      LD_PRELOAD: execFileSync('faketime', ['-m', '-f', '+0', 'printenv', 'LD_PRELOAD'], { encoding: 'utf8' }).trim(),
      FAKETIME_TIMESTAMP_FILE: this.#file,
      FAKETIME_DONT_FAKE_MONOTONIC: '1',
      FAKETIME_DONT_RESET: '1',
      FAKETIME_NO_CACHE: '1',
    };
  }

  // The program reads the file whenever it asks for the time, so it never finds it half written.
  set(offset) {
    const next = `${this.#file}.next`;
    writeFileSync(next, `${offset}\n`);
    renameSync(next, this.#file);
  }

  close() {
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

// A server whose clock `set` changes.
export async function withClock(offset, settings, body) {
  const clock = new SettableClock(offset);
  try {
    await withServer({ ...clock.settings, ...settings }, (server) => body(server, (next) => clock.set(next)));
  } finally {
    clock.close();
  }
}
