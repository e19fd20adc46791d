// Several things at once, for as long as something takes.
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';

// Each of `ways`, by its name, goes round after round, `pause` ms apart, beside the others until `end` is settled; resolves to what
// that does.
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
