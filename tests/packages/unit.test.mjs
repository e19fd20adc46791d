// The unit of systemd, as systemd reads it. No systemd runs here: deb.test.mjs starts what the unit starts.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { binary } from '../interop/support/server.mjs';
import { root, run } from './support/run.mjs';

const folder = mkdtempSync(join(tmpdir(), 'castway-unit-'));
const unit = join(folder, 'castway.service');
writeFileSync(unit, readFileSync(join(root, 'deploy/castway.service'), 'utf8').replace(/^ExecStart=\S+/m, `ExecStart=${binary}`));
after(() => rmSync(folder, { recursive: true }));

test('systemd reads the unit without a complaint', () => {
  assert.equal(run('systemd-analyze', ['verify', '--man=no', unit]), '');
});

test('the exposure of the service is what the documents say', () => {
  const [, exposure] = /^→ Overall exposure level for castway\.service: ([0-9.]+)/m.exec(run('systemd-analyze', ['security', '--offline=true', '--no-pager', unit]));
  assert.ok(Number(exposure) < 2, exposure);
  const documents = readFileSync(join(root, 'docs/install.md'), 'utf8');
  assert.ok(documents.includes(`an exposure of ${exposure}`), `docs/install.md has another number than ${exposure}`);
});
