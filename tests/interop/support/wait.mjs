// Waiting for what must come.
import { setTimeout as sleep } from 'node:timers/promises';
import { brief } from './excerpt.mjs';

// For whatever a test awaits, in ms. A machine may stand still for seconds, or be busy with others: the limit is for what
// never comes, and costs nothing where all is well.
export const TIMEOUT_MS = 60_000;

// Resolves to what `look` comes to, once `accept` likes it; the last thing seen is in the error, as `show` puts it.
export async function until(what, look, accept = Boolean, { limit = TIMEOUT_MS, pause = 50, show = (seen) => brief(seen, 2000) } = {}) {
  const deadline = Date.now() + limit;
  for (;;) {
    const seen = await look();
    if (accept(seen)) return seen;
    if (Date.now() > deadline) throw new Error(`${what}: not within ${limit / 1000} s, last seen ${show(seen)}`);
    await sleep(pause);
  }
}

export function within(promise, what, limit = TIMEOUT_MS) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no ${what} within ${limit / 1000} s`)), limit);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}
