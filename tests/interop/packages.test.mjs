// Only our lock files decide which versions are installed, whatever anybody publishes. npm ci installs from a lock file, but if a
// dependency is a tag such as "latest", it asks the registry, and fails when the tag means another version than the lock file. So
// package.json overrides each such dependency with a version.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { run } from './support/process.mjs';

const root = fileURLToPath(new URL('../../', import.meta.url));

// A registry where every package was published today as version 99.0.0.
let registry;
let asked = [];
before(async () => {
  registry = createServer((request, response) => {
    const name = decodeURIComponent(request.url.slice(1));
    asked.push(name);
    const dist = { tarball: `http://${request.headers.host}/${name}.tgz`, shasum: '0'.repeat(40) };
    response.end(JSON.stringify({ name, 'dist-tags': { latest: '99.0.0' }, versions: { '99.0.0': { name, version: '99.0.0', dist } } }));
  });
  registry.listen(0, '127.0.0.1');
  await once(registry, 'listening');
});
after(() => registry?.close());

const json = (path) => JSON.parse(readFileSync(path, 'utf8'));

// Runs npm ci with package.json and package-lock.json of `folder`, after `edit` has changed package.json.
async function install(folder, edit = () => {}) {
  const copy = mkdtempSync(join(tmpdir(), 'castway-packages-'));
  asked = [];
  try {
    copyFileSync(join(root, folder, 'package-lock.json'), join(copy, 'package-lock.json'));
    const description = json(join(root, folder, 'package.json'));
    edit(description);
    writeFileSync(join(copy, 'package.json'), JSON.stringify(description));
    const url = `http://127.0.0.1:${registry.address().port}/`;
    const settings = {
      registry: url, cache: join(copy, 'cache'), userconfig: join(copy, 'none'), noproxy: '127.0.0.1', 'fetch-retries': '0', 'update-notifier': 'false',
      // npm test sets another level in the environment.
      loglevel: 'error',
    };
    const flags = Object.entries(settings).map(([name, value]) => `--${name}=${value}`);
    return await run('npm', ['--prefix', copy, 'ci', '--dry-run', '--ignore-scripts', '--no-audit', '--no-fund', ...flags]);
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
}

for (const folder of ['web', 'tests/interop', 'tests/e2e']) {
  test(`the lock file of ${folder} needs no word from the registry`, async () => {
    const { code, output } = await install(folder);
    assert.equal(code, 0, output);
    assert.deepEqual(asked, []);
  });

  test(`the lock file of ${folder} names no registry`, () => {
    const { packages, lockfileVersion } = json(join(root, folder, 'package-lock.json'));
    assert.equal(lockfileVersion, 3);
    const named = Object.entries(packages).filter(([, { resolved }]) => resolved !== undefined);
    assert.deepEqual(named, []);
    // The hash of a package covers those that it bundles.
    const unchecked = Object.entries(packages).filter(([path, { integrity, inBundle }]) => path !== '' && !inBundle && !integrity);
    assert.deepEqual(unchecked, [], 'each package has its hash');
  });
}

for (const [folder, tagged] of [['tests/interop', 'socket.io'], ['tests/e2e', 'canvas-designer']]) {
  test(`without the overrides of ${folder} a new ${tagged} breaks it`, async () => {
    const { code, output } = await install(folder, (description) => delete description.overrides);
    assert.notEqual(code, 0, output);
    assert.ok(asked.includes(tagged), `asked for ${asked}`);
    assert.match(output, new RegExp(`${tagged}@[0-9.]+ does not satisfy ${tagged}@99\\.0\\.0`));
  });
}
