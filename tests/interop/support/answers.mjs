// What the cast flow acknowledges.
import assert from 'node:assert/strict';

export const accepted = (answer) => {
  assert.equal(answer.ok, true, JSON.stringify(answer));
  return answer;
};

// Returns the error.
export const refused = (answer, code) => {
  assert.deepEqual([answer.ok, answer.error?.code], [false, code], JSON.stringify(answer));
  return answer.error;
};
