// The crate, as docs/install.md installs it: cargo package's own file, built where there is no Node.js, serves the pages that this repository has built.
import assert from 'node:assert/strict';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join, relative } from 'node:path';
import { after, test } from 'node:test';
import { freePort } from '../interop/support/ports.mjs';
import { Program } from '../interop/support/process.mjs';
import { binary, cleanEnv } from '../interop/support/server.mjs';
import { attempt, root, run } from './support/run.mjs';

const folder = mkdtempSync(join(tmpdir(), 'castway-crate-'));
after(() => rmSync(folder, { recursive: true, force: true }));
// Of its own, so that this build replaces no program of the repository.
const target = join(root, 'target/crate');
const dist = join(root, 'web/dist');

run('cargo', ['package', '--locked', '--no-verify', '--allow-dirty', '--target-dir', target]);
const [{ name, version }] = JSON.parse(run('cargo', ['metadata', '--no-deps', '--format-version', '1'])).packages;
run('tar', ['xzf', join(target, 'package', `${name}-${version}.crate`), '-C', folder]);
const crate = join(folder, `${name}-${version}`);

// A folder with links to every program of PATH except those of Node.js.
function withoutNode() {
  const programs = join(folder, 'bin');
  mkdirSync(programs);
  for (const each of process.env.PATH.split(delimiter)) {
    let names = [];
    try {
      names = readdirSync(each);
    } catch {
      // PATH names folders that aren't there.
    }
    for (const program of names.filter((program) => !/^(node|nodejs|npm|npx|corepack|yarn|pnpm|bun)$/.test(program))) {
      try {
        symlinkSync(join(each, program), join(programs, program));
      } catch (error) {
        // An earlier folder of PATH has it.
        if (error.code !== 'EEXIST') throw error;
      }
    }
  }
  return programs;
}

function files(of) {
  return readdirSync(of, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(of, join(entry.parentPath, entry.name)));
}

test('the crate has the built pages, each in two codings, and nothing that they are built from', () => {
  const packed = files(crate).filter((path) => path.startsWith('web/')).map((path) => relative('web/dist', path));
  const built = files(dist).filter((path) => /\.(br|gz)$/.test(path));
  assert.deepEqual(packed.sort(), ['.sources', ...built].sort());
  for (const path of packed) assert.deepEqual(readFileSync(join(crate, 'web/dist', path)), readFileSync(join(dist, path)), path);
});

test('cargo installs the crate without Node.js, and the program serves every page', async () => {
  // What an incremental build keeps is for a folder that is gone after the test.
  const env = { PATH: withoutNode(), CARGO_TARGET_DIR: target, CARGO_INCREMENTAL: '0' };
  assert.notEqual(attempt('sh', ['-c', 'command -v node npm'], { env }).status, 0);
  const profile = binary.includes('/debug/') ? ['--debug'] : [];
  run('cargo', ['install', ...profile, '--locked', '--path', crate, '--root', join(folder, 'root')], { env, cwd: folder });
  const port = await freePort();
  const addresses = ['HTTP', 'HTTPS', 'TURNS', 'TURN'].map((kind) => [`CASTWAY_${kind}_ADDR`, '127.0.0.1:0']);
  const settings = { ...Object.fromEntries(addresses), CASTWAY_HTTP_ADDR: `127.0.0.1:${port}`, CASTWAY_NO_TLS: 'true', CASTWAY_DATA_DIR: join(folder, 'data') };
  const server = new Program(join(folder, 'root/bin/castway'), [], { cwd: folder, env: { ...cleanEnv(), ...settings } });
  after(() => server.close());
  const url = `http://127.0.0.1:${port}`;
  await server.ready(async () => (await fetch(`${url}/healthz`)).ok);
  // The operator's page is for HTTPS alone, and the pages of errors have no address.
  const served = files(dist).filter((path) => !/\.(br|gz)$/.test(path) && !path.startsWith('.') && !['admin.html', '404.html'].includes(path));
  assert.ok(served.length > 30 && served.includes('tv.html') && served.includes('licences.txt'), served.join());
  for (const path of served) {
    const response = await fetch(`${url}/${path.replace(/^index\.html$/, '')}`);
    assert.equal(response.status, 200, path);
    assert.deepEqual(Buffer.from(await response.arrayBuffer()), readFileSync(join(dist, path)), path);
  }
});

test('a crate with old pages, or none, does not build', () => {
  const script = join(folder, 'build-script');
  run('rustc', ['--edition', '2024', '-o', script, join(root, 'build.rs')]);
  const build = (cwd) => attempt(script, [], { cwd, env: { PATH: '/nowhere' } });
  // As `cargo package` unpacks it before it builds it.
  const packed = join(folder, 'sources/target/package/crate');
  mkdirSync(packed, { recursive: true });
  cpSync(crate, packed, { recursive: true });
  const sources = run('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard', 'web', 'clients/js']).split('\0').filter(Boolean);
  for (const path of sources) cpSync(join(root, path), join(folder, 'sources', path));
  assert.equal(build(packed).status, 0, build(packed).output);
  writeFileSync(join(folder, 'sources/web/src/new.ts'), 'export {};\n');
  assert.match(build(packed).output, /packed with old pages: run `cargo build`/);
  assert.equal(build(packed).status, 1);
  // Somebody who installs the crate has no sources to compare with.
  assert.equal(build(crate).status, 0);
  rmSync(join(packed, 'web'), { recursive: true });
  assert.match(build(packed).output, /packed without its pages: run `cargo build`/);
  assert.equal(build(packed).status, 1);
});

test('the crate has its licences and documents', () => {
  for (const file of ['LICENSE-APACHE', 'LICENSE-MIT', 'README.md', 'README.zh-CN.md', 'CHANGELOG.md', 'Cargo.lock']) assert.ok(files(crate).includes(file), file);
});
