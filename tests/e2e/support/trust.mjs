// A home folder for browsers that trust a certificate authority of the tests.
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

// Returns {home, close}. `ca` is the file with the authority's certificate.
export function homeThatTrusts(ca) {
  const home = mkdtempSync(join(tmpdir(), 'castway-home-'));
  const store = join(home, '.pki/nssdb');
  mkdirSync(store, { recursive: true });
  execFileSync('certutil', ['-d', `sql:${store}`, '-N', '--empty-password']);
  execFileSync('certutil', ['-d', `sql:${store}`, '-A', '-t', 'C,,', '-n', 'castway test authority', '-i', ca]);
  return { home, close: () => rmSync(home, { recursive: true, force: true }) };
}
