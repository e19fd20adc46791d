// Archives of Debian's root folder. Each is made once, and needs Debian's mirror for that.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { root, run } from './run.mjs';

const SUITE = 'bookworm';
const kept = join(root, 'target/packages');

// The path of the archive with these packages; another list or variant of mmdebstrap makes another archive. `before` is a command that
// runs mmdebstrap elsewhere, such as in another network.
export function archiveOf(variant, packages, before = []) {
  const key = createHash('sha256').update([variant, ...packages].join()).digest('hex').slice(0, 8);
  const archive = join(kept, `${SUITE}-${key}.tar`);
  if (!existsSync(archive)) {
    mkdirSync(kept, { recursive: true });
    const made = `${archive}.${process.pid}.tar`;
    const [program, ...args] = [...before, 'mmdebstrap', '--quiet', `--variant=${variant}`, `--include=${packages.join(',')}`, SUITE, made];
    run(program, args);
    renameSync(made, archive);
  }
  return archive;
}
