// The archive, the checksums and the list of parts of a release.
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { after, test } from 'node:test';
import { anotherRelease, release } from './support/release.mjs';
import { attempt, root, run } from './support/run.mjs';

const first = release();
const folder = mkdtempSync(join(tmpdir(), 'castway-archive-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const archive = first.path(/\.tar\.gz$/);
run('tar', ['xzf', archive, '-C', folder]);
const unpacked = join(folder, basename(archive, '.tar.gz'));
const read = (...path) => readFileSync(join(...path), 'utf8');

test('the same sources and program make the same files', () => {
  const second = anotherRelease();
  assert.equal(first.names.length, 5, first.names.join());
  assert.equal(read(second.folder, 'SHA256SUMS'), read(first.folder, 'SHA256SUMS'));
});

test('the checksums are of every file, and show a changed one', () => {
  const names = read(first.folder, 'SHA256SUMS').trim().split('\n').map((line) => line.split('  ')[1]);
  assert.deepEqual(names.sort(), first.names.filter((name) => name !== 'SHA256SUMS').sort());
  run('sha256sum', ['--check', '--strict', 'SHA256SUMS'], { cwd: first.folder });
  run('cp', ['-r', first.folder, join(folder, 'copy')]);
  run('sh', ['-c', 'printf x >>"$0"', join(folder, 'copy', basename(archive))]);
  assert.equal(attempt('sha256sum', ['--check', '--strict', 'SHA256SUMS'], { cwd: join(folder, 'copy') }).status, 1);
});

test('the archive has what an installation by hand needs', () => {
  assert.match(run(join(unpacked, 'castway'), ['--version']), /^castway \d/);
  for (const file of ['LICENSE-APACHE', 'LICENSE-MIT', 'README.md', 'README.zh-CN.md', 'CHANGELOG.md']) {
    assert.equal(read(unpacked, file), read(root, file));
  }
  assert.equal(read(unpacked, 'castway.service'), read(root, 'deploy/castway.service'));
  // The settings are those of .env.example, under another first sentence.
  const settings = (text) => text.split('\n').slice(1).join('\n');
  assert.equal(settings(read(unpacked, 'castway.env')), settings(read(root, '.env.example')));
  assert.doesNotMatch(read(unpacked, 'castway.env'), /to \.env/);
  assert.ok(readdirSync(join(unpacked, 'man')).includes('castway.1'));
  run('bash', ['-n', join(unpacked, 'completions/castway.bash')]);
  assert.equal(statSync(join(unpacked, 'castway')).mode & 0o777, 0o755);
});

test('everything in the program has its licence in the archive', () => {
  const licences = read(unpacked, 'THIRD-PARTY.txt');
  for (const part of ['tokio 1', 'socketioxide 0', 'ring 0', 'socket.io-client 4', 'webrtc-adapter 9', 'core-js 3']) {
    assert.ok(licences.includes(`\n${part}`), part);
  }
  assert.ok(licences.endsWith(`${read(root, 'web/dist/licences.txt')}\n`));
  for (const tool of ['proptest 1', 'reqwest 0', 'typescript 7']) assert.ok(!licences.includes(`\n${tool}`), tool);
});

test('the list of parts has each crate of the program and each package in its pages', () => {
  const text = read(first.path(/\.cdx\.json$/));
  const { bomFormat, specVersion, metadata, components, dependencies } = JSON.parse(text);
  assert.deepEqual([bomFormat, specVersion, metadata.component.name], ['CycloneDX', '1.5', 'castway']);
  const parts = components.map(({ name, version, purl }) => ({ name, version, kind: purl.split(/[:/]/)[1] }));
  const named = (kind) => parts.filter((part) => part.kind === kind).map(({ name, version }) => `${name} ${version}`).sort();
  const tree = run('cargo', ['tree', '--locked', '--edges', 'normal,no-proc-macro', '--prefix', 'none', '--format', '{p}']);
  const crates = new Set(tree.split('\n').map((line) => /^(\S+) v(\S+)/.exec(line)).filter((found) => found && found[1] !== 'castway').map(([, name, version]) => `${name} ${version}`));
  assert.deepEqual(named('cargo').filter((part) => !crates.has(part)), [], 'it names crates that are not in the program');
  assert.deepEqual([...crates].filter((part) => !named('cargo').includes(part)), [], 'it lacks crates');
  const pages = JSON.parse(read(root, 'web/dist/.parts.json')).map(({ name, version }) => `${name} ${version}`).sort();
  assert.ok(pages.length > 20 && pages.some((part) => part.startsWith('socket.io-client 2.')), pages.join());
  assert.deepEqual(named('npm'), pages);
  assert.ok(components.every(({ licenses }) => licenses?.length), 'a part has no licence');
  // Each reference leads somewhere, and no folder of this machine is named.
  const known = new Set([metadata.component['bom-ref'], ...components.map((part) => part['bom-ref'])]);
  for (const { ref, dependsOn = [] } of dependencies) for (const each of [ref, ...dependsOn]) assert.ok(known.has(each), each);
  assert.ok(!text.includes(root), 'it names the folder of the build');
});

test('the scripts of the packages have no fault that shellcheck finds', () => {
  const scripts = ['release/build', 'release/stage', 'deb/postinst', 'deb/prerm', 'deb/postrm'].map((name) => join(root, 'deploy', name));
  run('shellcheck', scripts);
});

test('a program that needs a newer glibc than Debian 12 has is not packed', () => {
  // A file that only looks like one: its versions are read from the names in it.
  const source = join(folder, 'new.s');
  run('sh', ['-c', `printf '.globl _start\\n_start:\\n call f\\n.symver f,f@GLIBC_2.99\\n' >"$0"`, source]);
  const [library, map, program] = ['libnew.so', 'new.map', 'new'].map((name) => join(folder, name));
  run('sh', ['-c', 'echo "GLIBC_2.99 { f; };" >"$0"', map]);
  run('sh', ['-c', `echo 'void f(void) {}' | cc -x c -shared -fPIC -Wl,--version-script="$1" -o "$0" -`, library, map]);
  run('sh', ['-c', 'cc -nostdlib -o "$0" "$1" "$2"', program, source, library]);
  const { status, output } = attempt(join(root, 'deploy/release/stage'), [program, join(folder, 'staged')], { env: { SOURCE_DATE_EPOCH: '0' } });
  assert.equal(status, 1);
  assert.match(output, /needs glibc 2\.99: build it on Debian 12/);
});
