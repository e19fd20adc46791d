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
  const built = `${folder}.deb`;
  after(() => rmSync(built, { force: true }));
  // Compression would take most of the time of this file.
  run('dpkg-deb', ['--build', '-Znone', '--root-owner-group', folder, built]);
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
  const healthy = ({ status }) => status === 0;
  await until('castway health succeeds', () => {
    if (!service.running) throw new Error(`the service has ended\n${service.output}`);
    return debian.attempt('castway', 'health');
  }, healthy);
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
  const strangers = run('dpkg-deb', ['--contents', deb]).split('\n').filter((line) => line && !/ (root\/root|0\/0) /.test(line));
  assert.deepEqual(strangers, []);
});

test('it is installed with a user, settings, an enabled unit, man pages and completions', () => {
  dpkg('--install', deb);
  assert.match(debian.run('getent', 'passwd', 'castway'), /^castway:x:\d+:\d+:[^:]*:\/var\/lib\/castway:\/usr\/sbin\/nologin$/m);
  assert.equal(debian.stat(SETTINGS), 'root:castway 640 regular file');
  assert.equal(debian.stat('/var/lib/castway'), 'castway:castway 700 directory');
  assert.equal(debian.run('systemctl', 'is-enabled', 'castway').trim(), 'enabled');
  assert.equal(debian.run('systemd-analyze', 'verify', '--man=no', UNIT), '');
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
  const status = Object.fromEntries(readFileSync(`/proc/${service.pid}/status`, 'utf8').split('\n').map((line) => line.split(':\t')));
  assert.equal(status.Name, 'castway');
  assert.equal(status.Uid.split('\t')[0], debian.run('id', '--user', 'castway').trim());
  // CAP_NET_BIND_SERVICE and nothing else.
  assert.deepEqual([status.CapEff, status.CapBnd, status.NoNewPrivs], ['0000000000000400', '0000000000000400', '1']);
  debian.run('castway', 'user', 'add', 'alice', '--generate');
  assert.match(users(), /alice/);
});

test('settings of its file are in force for the service and for commands of root', async () => {
  await service.stop();
  writeFileSync(debian.path(SETTINGS), debian.text(SETTINGS).replace(/^#CASTWAY_HTTP_ADDR=.*$/m, 'CASTWAY_HTTP_ADDR=127.0.0.1:80'));
  await start();
  // 127.0.0.1:80 listens, as the kernel writes it.
  debian.run('grep', '0100007F:0050 00000000:0000 0A', '/proc/net/tcp');
  assert.match(debian.run('castway', 'health'), /using the settings of \/etc\/castway\/castway\.env/);
});

test('an upgrade keeps changed settings and live data, and restarts the service', async () => {
  const changed = debian.text(SETTINGS);
  assert.ok(service.running);
  dpkg('--force-confdef', '--force-confold', '--install', later('0.1.1-1', '# A line of 0.1.1.'));
  assert.ok(debian.systemctl().some((call) => /restart castway\.service/.test(call)));
  assert.equal(debian.text(SETTINGS), changed);
  assert.match(debian.text(`${SETTINGS}.dpkg-dist`), /# A line of 0\.1\.1\.$/m);
  assert.equal(debian.stat(SETTINGS), 'root:castway 640 regular file');
  // What an administrator may do with it instead.
  debian.run('chmod', '0600', SETTINGS);
  await service.stop();
  await start();
  assert.match(users(), /alice/);
});

test('an upgrade replaces settings that nobody has changed, and keeps their mode', () => {
  writeFileSync(debian.path(SETTINGS), debian.text(`${SETTINGS}.dpkg-dist`));
  dpkg('--install', later('0.1.2-1', '# A line of 0.1.2.'));
  assert.match(debian.text(SETTINGS), /# A line of 0\.1\.2\.$/m);
  assert.equal(debian.stat(SETTINGS), 'root:castway 600 regular file');
});

test('an administrator who has turned the service off finds it off after an upgrade', () => {
  debian.run('systemctl', 'disable', 'castway');
  dpkg('--install', later('0.1.3-1', '# A line of 0.1.3.'));
  assert.equal(debian.attempt('systemctl', 'is-enabled', 'castway').output.trim(), 'disabled');
  debian.run('systemctl', 'enable', 'castway');
});

test('removing it stops the service and keeps settings and data', async () => {
  debian.systemctl();
  dpkg('--remove', 'castway');
  assert.ok(debian.systemctl().some((call) => /stop castway\.service/.test(call)));
  await service.stop();
  assert.equal(debian.attempt('castway', '--version').status, 127);
  assert.match(debian.text(SETTINGS), /CASTWAY_DATA_DIR/);
  dpkg('--install', deb);
  await start();
  assert.match(users(), /alice/);
  await service.stop();
});

test('purging it leaves nothing but the locked user', () => {
  dpkg('--purge', 'castway');
  assert.deepEqual(debian.files(), before);
  assert.match(debian.run('getent', 'passwd', 'castway'), /nologin$/m);
});
