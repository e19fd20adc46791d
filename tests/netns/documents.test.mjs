// The commands of README and docs/, typed as they stand there into a shell of root's, on a machine with a public address and a name, where
// Castway runs as the service. What is not the real thing: `systemctl` starts and stops the unit's program itself, since no systemd runs in a
// namespace, `sudo` needs no password, and Let's Encrypt is pebble.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { createServer } from 'node:http';
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { once } from 'node:events';
import { join } from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';
import { blocks, documents, root } from '../documents/documents.mjs';
import { pebble } from '../interop/support/authority.mjs';
import { closeAll, connect } from '../interop/support/clients.mjs';
import { pair } from '../interop/support/dialects.mjs';
import { excerpt } from '../interop/support/excerpt.mjs';
import { Program, run } from '../interop/support/process.mjs';
import { binary } from '../interop/support/server.mjs';
import { parseUnit } from '../interop/support/unit.mjs';
import { TIMEOUT_MS, until } from '../interop/support/wait.mjs';

const ADDRESS = '11.0.0.1';
const NAME = 'cast.example.org';
const PASSWORD = 'correct horse battery';
// In the tmpfs of this namespace.
const FOLDER = '/run/documents';
const SETTINGS = '/etc/castway/castway.env';
const sh = (command) => execFileSync('sh', ['-euc', command], { stdio: ['ignore', 'pipe', 'pipe'], encoding: 'utf8' });

let authority;
let control;
// What `systemctl` has started.
let service;

// The name, the address and writable copies of the folders that the commands write to; all of it ends with this namespace.
function makeMachine() {
  for (const name of ['bin', 'home']) mkdirSync(join(FOLDER, name), { recursive: true });
  for (const folder of ['/etc', '/var/lib']) {
    const own = join(FOLDER, folder.replaceAll('/', '-'));
    sh(`mkdir -p ${own}/upper ${own}/work; mount -t overlay overlay -o lowerdir=${folder},upperdir=${own}/upper,workdir=${own}/work ${folder}`);
  }
  writeFileSync('/etc/hosts', `127.0.0.1 localhost\n${ADDRESS} ${NAME}\n`);
  sh(`ip link add wan type veth peer name far; ip link set far up; ip addr add ${ADDRESS}/24 dev wan; ip link set wan up; ip route add default via 11.0.0.254`);
  symlinkSync(binary, join(FOLDER, 'bin/castway'));
  const command = (name, text) => {
    writeFileSync(join(FOLDER, 'bin', name), `#!/bin/sh\n${text}\n`);
    chmodSync(join(FOLDER, 'bin', name), 0o755);
  };
  command('sudo', 'exec "$@"');
  command('systemctl', `exec curl -sS --fail-with-body --data "$*" http://127.0.0.1:${control.address().port}/`);
}

const env = () => ({
  PATH: `${FOLDER}/bin:${process.env.PATH}:/usr/sbin:/sbin`,
  HOME: join(FOLDER, 'home'),
  TERM: 'xterm',
  // The machine trusts the test's authority as others do Let's Encrypt.
  SSL_CERT_FILE: join(FOLDER, 'roots.pem'),
});

const castway = (...args) => run('env', [`PATH=${env().PATH}`, 'castway', ...args]);

// Begins the unit's program with the unit's environment, as systemd does, and does not wait for it.
function startService() {
  const unit = parseUnit(readFileSync(join(root, 'deploy/castway.service'), 'utf8'));
  assert.deepEqual(unit.EnvironmentFile.map((file) => file.replace(/^-/, '')), [SETTINGS]);
  const written = [...readFileSync(SETTINGS, 'utf8').matchAll(/^(CASTWAY_\w+)=(.*)$/gm)].map(([, name, value]) => [name, value]);
  const given = unit.Environment.map((line) => line.split(/=(.*)/s));
  const { SSL_CERT_FILE, PATH } = env();
  service = Object.assign(new Program(binary, [], { cwd: '/var/lib/castway', env: { PATH, SSL_CERT_FILE, ...Object.fromEntries([...given, ...written]) } }), { url: `http://${ADDRESS}:8080` });
}

async function stopService() {
  if (!service?.running) return;
  process.kill(service.pid, 'SIGTERM');
  await service.ended;
}

async function systemctl(text) {
  const [verb, ...units] = text.split(' ').filter((word) => !word.startsWith('-'));
  if (verb === 'daemon-reload') return;
  for (const unit of units.filter((name) => name.replace('.service', '') === 'castway')) {
    if (verb === 'reload') process.kill(service.pid, 'SIGHUP');
    else if (verb === 'stop') await stopService();
    else if (['start', 'restart', 'enable'].includes(verb)) {
      await stopService();
      startService();
    } else throw new Error(`systemctl ${verb} ${unit} is not known here`);
  }
}

// A fresh service with the settings of the package, those of the test's authority, and those that the document's marks name.
async function begin(more) {
  await stopService();
  for (const folder of ['/etc/castway', '/var/lib/castway']) {
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { recursive: true });
  }
  const settings = Object.entries({ ...authority.settings, CASTWAY_DRAIN: '0' }).map(([name, value]) => `${name}=${value}\n`);
  writeFileSync(SETTINGS, [readFileSync(join(root, '.env.example'), 'utf8'), settings.join(''), ...more, ''].join('\n'), { mode: 0o600 });
  startService();
}

// Whether the server is ready, with the certificate of its domain if it has one.
function isReady({ code, output }) {
  const [{ certificate }] = output.match(/^\{.*\}$/m)?.map(JSON.parse) ?? [{}];
  return code === 0 && (certificate.trusted || !/^CASTWAY_DOMAIN=/m.test(readFileSync(SETTINGS, 'utf8')));
}

// What a document's reader has, and the text with it in place of the document's examples.
async function prepare(text) {
  if (service.running) await until('the server is ready', () => castway('health'), isReady);
  if (text.includes('cast-3')) {
    const [tv, caster] = [await connect(service), await connect(service)];
    await pair(tv, 'A', caster, 'A');
    const { output } = await castway('sessions', 'casts', '--json');
    const [id] = output.match(/cast-\d+/) ?? assert.fail(output);
    text = text.replaceAll('cast-3', id);
  }
  if (/\bUSER\b/.test(text)) {
    const { output } = await castway('user', 'add', 'tester', '--generate');
    const [, password] = output.match(/^Password: (\S+)/m) ?? assert.fail(output);
    text = text.replaceAll('USER', 'tester').replaceAll('PASSWORD', password).replaceAll('HOST', ADDRESS);
  }
  return text;
}

// Types the block into a shell on a terminal. Passwords are answered when they are asked for, and doctor's wait for a phone with Ctrl-C. Resolves
// to {code, output}.
async function type(block) {
  const text = await prepare(block);
  const file = join(FOLDER, 'block');
  writeFileSync(file, text);
  const child = spawn('script', ['-qefc', `exec bash -euo pipefail ${file}`, '/dev/null'], { cwd: join(FOLDER, 'home'), env: env(), stdio: ['pipe', 'pipe', 'inherit'] });
  let output = '';
  let answered = 0;
  child.stdout.on('data', (chunk) => {
    output += chunk;
    for (const { index } of output.slice(answered).matchAll(/password[^\n]*: ?$|waiting …/gi)) {
      child.stdin.write(output.slice(answered + index).startsWith('waiting') ? '\x03' : `${PASSWORD}\n`);
      answered = output.length;
    }
  });
  const timer = setTimeout(() => child.kill('SIGKILL'), 3 * TIMEOUT_MS);
  const [code] = await once(child, 'close');
  clearTimeout(timer);
  return { code, output };
}

before(async () => {
  control = createServer(async (request, response) => {
    let text = '';
    for await (const chunk of request) text += chunk;
    try {
      await systemctl(text);
      response.end();
    } catch (error) {
      response.writeHead(500).end(`${error.message}\n`);
    }
  }).listen(0, '127.0.0.1');
  await once(control, 'listening');
  makeMachine();
  authority = await pebble({ tlsPort: 443, httpPort: 80 });
  writeFileSync(join(FOLDER, 'roots.pem'), authority.root);
});
after(async () => {
  closeAll();
  await stopService();
  await authority?.close();
  control?.close();
});

for (const path of documents()) {
  const typed = blocks(path).filter(({ mark }) => mark === 'run');
  if (typed.length === 0) continue;
  describe(path, () => {
    before(() => begin(typed.flatMap(({ note }) => note.match(/CASTWAY_\w+=\S+/g) ?? [])));
    afterEach(closeAll);
    for (const { line, text, note } of typed) {
      test(`line ${line}: ${text.split('\n').find((each) => !each.startsWith('#'))}`, async (t) => {
        const lacking = [...new Set(text.match(/\b(ufw|firewall-cmd)\b/g))].filter((name) => !existsSync(`/usr/sbin/${name}`) && !existsSync(`/usr/bin/${name}`));
        if (lacking.length > 0) return t.skip(`${lacking} is not installed`);
        const { code, output } = await type(text);
        const expected = Number(note.match(/ends with (\d+)/)?.[1] ?? 0);
        t.diagnostic(excerpt(output));
        assert.equal(code, expected, excerpt(output));
      });
    }
  });
}
