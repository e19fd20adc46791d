// The crates that are linked into the program for a target, as `NAME VERSION`: neither what tests need, nor what only builds, nor what no
// feature turns on. `cargo metadata` lists all of these, too.
import { execFileSync } from 'node:child_process';

export function linked(target) {
  const tree = ['tree', '--locked', '--target', target, '--edges', 'normal,no-proc-macro', '--prefix', 'none', '--format', '{p}'];
  const lines = execFileSync('cargo', tree, { encoding: 'utf8', maxBuffer: 1 << 28 }).split('\n');
  const crates = lines.map((line) => /^(\S+) v(\S+)/.exec(line)).filter(Boolean).map(([, name, version]) => `${name} ${version}`);
  // The first line is the program itself.
  return new Set(crates.filter((crate) => crate !== crates[0]));
}
