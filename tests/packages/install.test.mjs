// docs/install.md, typed by a newcomer on an empty Debian: the archive, its removal, and the package; then the package with README.md's one command.
// The files of the release come from a folder instead of from its web site.
import assert from 'node:assert/strict';
import { cpSync } from 'node:fs';
import { basename } from 'node:path';
import { after, test } from 'node:test';
import { blocks } from '../documents/documents.mjs';
import { until } from '../interop/support/wait.mjs';
import { Debian } from './support/debian.mjs';
import { release } from './support/release.mjs';

const UNIT = '/usr/lib/systemd/system/castway.service';
const RELEASES = '/srv/release';
const built = release();
const debian = new Debian();
const before = debian.files();
cpSync(built.folder, debian.path(RELEASES), { recursive: true });
let service;
after(() => service?.stop());

// The shell blocks of a section, as one script. What asks the running server is a script of its own, and so is what deletes the data.
function section(heading) {
  const texts = blocks('docs/install.md').filter((block) => block.heading === heading && block.language === 'sh').map(({ text }) => text);
  const lines = texts.join('').split('\n').map((line) => line.replace(/^releases=.*$/, `releases=file://${RELEASES}`)).filter(Boolean);
  const pick = (pattern) => lines.filter((line) => pattern.test(line)).join('\n');
  const running = /^sudo castway /;
  const removal = /^sudo (systemctl disable|rm )/;
  const installs = lines.filter((line) => !running.test(line) && !removal.test(line)).join('\n');
  return { installs, running: pick(running), removal: pick(removal) };
}

const type = (script) => debian.run('sh', '-euxc', `mkdir -p /root/try && cd /root/try && ${script}`);

async function works(unit, { running }) {
  service = debian.start(unit);
  await until('castway health succeeds', () => debian.attempt('castway', 'health'), ({ status }) => status === 0);
  const [add, doctor] = running.split('\n');
  assert.match(add, /^sudo castway user add /);
  debian.run('sh', '-c', add);
  assert.match(debian.run('castway', 'user', 'list'), /alice/);
  // In a network of one machine doctor has something to say, and it says it in sentences.
  assert.match(doctor, /^sudo castway doctor$/);
  assert.match(debian.attempt('sh', '-c', doctor).output, /TURN/);
  await service.stop();
}

test('the commands for the archive install a service that works, and remove it', async () => {
  const archive = section('The archive');
  type(archive.installs);
  assert.equal(debian.run('systemctl', 'is-enabled', 'castway').trim(), 'enabled');
  assert.equal(debian.stat('/etc/castway/castway.env'), 'root:castway 640 regular file');
  debian.run('test', '-s', '/usr/local/share/man/man1/castway.1');
  // What systemd does before it starts the service (StateDirectory=).
  debian.run('install', '-d', '-o', 'castway', '-g', 'castway', '-m', '0700', '/var/lib/castway');
  await works('/etc/systemd/system/castway.service', archive);
  debian.run('sh', '-euxc', archive.removal);
  const left = debian.files().filter((path) => !before.includes(path) && !/^\/(root\/try|srv|usr\/local\/share)(\/|$)/.test(path));
  assert.deepEqual(left, []);
});

test('the commands for the package install a service that works', async () => {
  const wanted = section('The package for Debian and Ubuntu');
  // The mirror is needed for nothing, since everything that the package needs is there.
  type(wanted.installs);
  assert.equal(debian.run('systemctl', 'is-enabled', 'castway').trim(), 'enabled');
  await works(UNIT, wanted);
});

test('README.md: its one command installs the package, and the service works', async () => {
  debian.run('apt-get', 'purge', '--yes', 'castway');
  debian.systemctl();
  const { text } = blocks('README.md').find((block) => block.text.includes('.deb'));
  const [, name] = text.match(/\.\/(\S+\.deb)/);
  // A release for this machine has a name like it, but for the version and the architecture.
  const anyOf = (file) => file.replace(/\d+\.\d+\.\d+/, 'VERSION').replace(/_[a-z0-9]+\.deb$/, '_ARCHITECTURE.deb');
  assert.equal(anyOf(basename(built.path(/\.deb$/))), anyOf(name));
  cpSync(built.path(/\.deb$/), debian.path(`/root/${name}`));
  debian.run('sh', '-euc', `cd /root; ${text}`);
  assert.ok(debian.systemctl().some((call) => /\b(start|restart)\b.*castway/.test(call)), 'the service was not started');
  service = debian.start(UNIT);
  await until('castway health succeeds', () => debian.attempt('castway', 'health'), ({ status }) => status === 0);
});

test('a file that was changed on its way is not taken', () => {
  const { installs } = section('The package for Debian and Ubuntu');
  const name = basename(built.path(/\.deb$/));
  debian.run('sh', '-c', `printf x >>${RELEASES}/${name}`);
  const { status, output } = debian.attempt('sh', '-euc', `cd /root/try && rm -rf * && ${installs}`);
  assert.notEqual(status, 0);
  assert.match(output, /computed checksum did NOT match/);
});
