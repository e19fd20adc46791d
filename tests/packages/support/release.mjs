// What a release has, from the program under test.
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { binary } from '../../interop/support/server.mjs';
import { root, run } from './run.mjs';

const kept = join(root, 'target/packages/releases');

const BUILD = join(root, 'deploy/release/build');
const OLD_MS = 3_600_000;
const ONCE = 'test -e "$2" || { rm -rf "$2.new"; "$0" --program "$1" "$2.new"; mv "$2.new" "$2"; }';

// A release takes most of a minute, so test files share it as long as program, sources and pages are the same.
function shared() {
  const hash = createHash('sha256').update(readFileSync(binary));
  for (const args of [['rev-parse', 'HEAD'], ['diff', 'HEAD']]) hash.update(run('git', args));
  const name = hash.update(readFileSync(join(root, 'web/dist/.sources'))).digest('hex').slice(0, 16);
  mkdirSync(kept, { recursive: true });
  // Those of other sources, which no test file that runs at the same time has.
  for (const other of readdirSync(kept).filter((each) => each !== name && Date.now() - statSync(join(kept, each)).mtimeMs > OLD_MS)) {
    rmSync(join(kept, other), { recursive: true, force: true });
  }
  run('flock', [`${kept}.lock`, 'sh', '-euc', ONCE, BUILD, binary, join(kept, name)]);
  return join(kept, name);
}

function opened(folder) {
  const names = readdirSync(folder);
  const path = (pattern) => {
    const found = names.filter((name) => pattern.test(name));
    if (found.length !== 1) throw new Error(`${pattern} should match one of ${names.join(', ')}`);
    return join(folder, found[0]);
  };
  return { folder, names, path };
}

// CASTWAY_TEST_RELEASE is a folder that deploy/release/build has filled, where its files are to be tested and no others.
// Returns {folder, names, path(pattern)}, whose files are not to be changed.
export const release = () => opened(process.env.CASTWAY_TEST_RELEASE ?? shared());

// One of its own, for a comparison.
export function anotherRelease() {
  const folder = mkdtempSync(join(tmpdir(), 'castway-release-'));
  after(() => rmSync(folder, { recursive: true, force: true }));
  run(BUILD, ['--program', binary, folder]);
  return opened(folder);
}
