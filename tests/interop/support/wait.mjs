// Waiting for conditions.
import { setTimeout as sleep } from 'node:timers/promises';
import { brief } from './excerpt.mjs';

// The limit for every wait of a test. A busy machine may pause for seconds. The limit only matters for events that never come, and costs
// nothing if a test passes.
export const TIMEOUT_MS = 60_000;

// Calls `look` every `pause` ms, and resolves to the first result that `accept` accepts. After a timeout, the error has the last result,
// formatted by `show`.
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
