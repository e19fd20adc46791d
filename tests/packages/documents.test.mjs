// README's one command for the package, in an empty Debian, and what it says beside the command: the service runs, and the command line finds it.
import assert from 'node:assert/strict';
import { cpSync, writeFileSync } from 'node:fs';
import { after, test } from 'node:test';
import { blocks } from '../documents/documents.mjs';
import { until } from '../interop/support/wait.mjs';
import { Debian } from './support/debian.mjs';
import { release } from './support/release.mjs';

const UNIT = '/usr/lib/systemd/system/castway.service';
const deb = release().path(/\.deb$/);
const debian = new Debian();
let service;
after(() => service?.stop());

test('README.md: the package is installed with its one command, and Castway runs', async () => {
  const { text } = blocks('README.md').find((block) => block.text.includes('.deb'));
  const [, name] = text.match(/\.\/(\S+\.deb)/);
  // A release for this machine has a name like it, but for the version and the architecture.
  assert.match(deb.split('/').at(-1), new RegExp(`^${name.replace(/\d+\.\d+\.\d+/, String.raw`\d+\.\d+\.\d+`).replace(/_[a-z0-9]+\.deb$/, String.raw`_[a-z0-9]+\.deb`)}$`));
  cpSync(deb, debian.path(`/root/${name}`));
  writeFileSync(debian.path('/usr/local/bin/sudo'), '#!/bin/sh\nexec "$@"\n', { mode: 0o755 });
  debian.run('sh', '-euc', `PATH=/usr/local/bin:$PATH; cd /root; ${text}`);
  assert.ok(debian.systemctl().some((call) => /\b(start|restart)\b.*castway/.test(call)), 'the service was not started');
  service = debian.start(UNIT);
  await until('castway health succeeds', () => debian.attempt('castway', 'health').status === 0);
});
