// What an operator asks a running server on its machine, by the commands.
import assert from 'node:assert/strict';

// The rows of a list: `casts`, `calls`, `rooms`.
export async function rows(server, kind) {
  const { code, stdout, stderr } = await server.cli(['sessions', kind, '--json']);
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout)[kind];
}

// Ends what the target names: the sentence, or the error.
export async function end(server, target) {
  const { code, stdout, stderr } = await server.cli(['end', target]);
  return code === 0 ? stdout.trim() : { error: stderr.trim() };
}
