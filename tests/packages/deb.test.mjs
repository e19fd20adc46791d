// The package of Debian in an empty Debian: installed, started, upgraded, removed and purged.
import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { until } from '../interop/support/wait.mjs';
import { Debian } from './support/debian.mjs';
import { release } from './support/release.mjs';
import { run } from './support/run.mjs';

const SETTINGS = '/etc/castway/castway.env';
const UNIT = '/usr/lib/systemd/system/castway.service';
const deb = release().path(/\.deb$/);
const debian = new Debian();
const before = debian.files();
let service;
after(() => service?.stop());

// The same package as a later version, whose settings file has one more line.
function later(version, line) {
  const folder = mkdtempSync(join(tmpdir(), 'castway-deb-'));
  after(() => rmSync(folder, { recursive: true, force: true }));
  run('dpkg-deb', ['--raw-extract', deb, folder]);
  const control = join(folder, 'DEBIAN/control');
  writeFileSync(control, readFileSync(control, 'utf8').replace(/^Version: .*$/m, `Version: ${version}`));
  const settings = join(folder, SETTINGS);
  writeFileSync(settings, `${readFileSync(settings, 'utf8')}${line}\n`);
  run('sed', ['-i', '/castway.env$/d', join(folder, 'DEBIAN/md5sums')]);
  const built = `${folder}.deb`;
  after(() => rmSync(built, { force: true }));
  run('dpkg-deb', ['--build', '--root-owner-group', folder, built]);
  return built;
}

function dpkg(...args) {
  const files = args.map((arg) => {
    if (!arg.endsWith('.deb')) return arg;
    cpSync(arg, debian.path('/tmp/castway.deb'));
    return '/tmp/castway.deb';
  });
  const output = debian.run('dpkg', ...files);
  rmSync(debian.path('/tmp/castway.deb'), { force: true });
  return output;
}

async function start() {
  service = debian.start(UNIT);
  await until(() => `castway health succeeds\n${service.output}`, () => {
    if (!service.running) throw new Error(`the service has ended\n${service.output}`);
    return debian.attempt('castway', 'health').status === 0;
  });
}

const users = () => debian.run('castway', 'user', 'list');

test('lintian finds no error in it', () => {
  const output = run('lintian', ['--fail-on', 'error', '--allow-root', deb]);
  assert.ok(!/^E:/m.test(output), output);
});

test('it says what it needs, and has only files of root', () => {
  const control = run('dpkg-deb', ['--field', deb]);
  assert.match(control, /^Depends: .*libc6 \(>= 2\.36\)/m);
  assert.equal(run('dpkg-deb', ['--info', deb, 'conffiles']).trim(), SETTINGS);
  const strangers = run('dpkg-deb', ['--contents', deb]).split('\n').filter((line) => line && !line.includes(' root/root '));
  assert.deepEqual(strangers, []);
});

test('it is installed with a user, settings, an enabled unit, man pages and completions', () => {
  dpkg('--install', deb);
  assert.match(debian.run('getent', 'passwd', 'castway'), /^castway:x:\d+:\d+:[^:]*:\/var\/lib\/castway:\/usr\/sbin\/nologin$/m);
  assert.equal(debian.stat(SETTINGS), 'root:castway 640 regular file');
  assert.equal(debian.stat('/var/lib/castway'), 'castway:castway 700 directory');
  assert.equal(debian.stat('/etc/systemd/system/multi-user.target.wants/castway.service'), 'root:root 777 symbolic link');
  const calls = debian.systemctl();
  assert.ok(calls.some((call) => /daemon-reload/.test(call)) && calls.some((call) => /\bstart castway\.service/.test(call)), calls.join('\n'));
  debian.run('bash', '-n', '/usr/share/bash-completion/completions/castway');
  // Debian's image has no man pages, and dpkg of such an image leaves them out: so ask the package.
  const files = debian.run('dpkg', '--listfiles', 'castway');
  for (const file of ['/usr/share/man/man1/castway.1.gz', '/usr/share/zsh/vendor-completions/_castway', '/usr/share/doc/castway/copyright']) {
    assert.ok(files.split('\n').includes(file), files);
  }
  assert.match(debian.run('castway', '--version'), /^castway \d/);
});

test('what its unit starts is healthy, and root adds a user without a further setting', async () => {
  await start();
  const status = debian.run('grep', '-E', '^(Uid|CapEff|CapBnd|NoNewPrivs):', `/proc/${debian.run('cat', '/var/lib/castway/castway.pid').trim() || 1}/status`);
  assert.ok(status);
  debian.run('castway', 'user', 'add', 'alice', '--generate');
  assert.match(users(), /alice/);
});
