// What a release has, from the program under test.
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { binary } from '../../interop/support/server.mjs';
import { root, run } from './run.mjs';

function built() {
  const folder = mkdtempSync(join(tmpdir(), 'castway-release-'));
  after(() => rmSync(folder, { recursive: true, force: true }));
  run(join(root, 'deploy/release/build'), ['--program', binary, folder]);
  return folder;
}

// CASTWAY_TEST_RELEASE is a folder that deploy/release/build has filled, where its files are to be tested and no others.
// Returns {folder, names, path(pattern)}.
export function release() {
  const folder = process.env.CASTWAY_TEST_RELEASE ?? built();
  const names = readdirSync(folder);
  const path = (pattern) => {
    const found = names.filter((name) => pattern.test(name));
    if (found.length !== 1) throw new Error(`${pattern} should match one of ${names.join(', ')}`);
    return join(folder, found[0]);
  };
  return { folder, names, path };
}
