// Repeats actions beside another one until that one has ended.
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';

// Repeats each function in `ways`, `pause` ms apart, until `end` is settled. Resolves to the result of `end`.
export async function inRounds(ways, end, pause = 100) {
  let over = false;
  const ending = end.finally(() => (over = true));
  const rounds = Object.entries(ways).map(async ([name, round]) => {
    let count = 0;
    do {
      await round().catch((error) => assert.fail(`${name}, round ${count}: ${error.stack}`));
      count += 1;
      await sleep(pause);
    } while (!over);
  });
  const [result] = await Promise.all([ending, ...rounds]);
  return result;
}
