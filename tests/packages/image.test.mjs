// The image, built from the Dockerfile and run with the options of compose.yaml by Podman: an engine of the same kind as Docker, with the same
// images, namespaces and published ports. support/image.mjs says what stands in for the registries' base images.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { chmodSync, chownSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, test } from 'node:test';
import { pebble } from '../interop/support/authority.mjs';
import { assertUclient } from '../interop/support/relaying.mjs';
import { verify } from '../interop/support/turn.mjs';
import { until } from '../interop/support/wait.mjs';
import { buildImage, optionsOf, podman, tryPodman } from './support/image.mjs';
import { attempt } from './support/run.mjs';

const IMAGE = 'localhost/castway-test';
// The machine's address, as clients and containers see it.
const MACHINE = '192.0.2.1';
const folder = mkdtempSync(join(tmpdir(), 'castway-image-'));
const started = new Set();
let count = 0;
after(() => rmSync(folder, { recursive: true, force: true }));
before(() => {
  for (const words of ['link add wan type veth peer name internet', `addr add ${MACHINE}/24 dev wan`, 'link set wan up', 'link set internet up']) execFileSync('ip', words.split(' '));
  buildImage(IMAGE);
});
afterEach(() => {
  for (const name of started) {
    tryPodman('rm', '--force', '--time', '10', name);
    tryPodman('volume', 'rm', '--force', `${name}-data`);
  }
  started.clear();
});

const log = (name) => tryPodman('logs', name).output;
const inspected = (name) => JSON.parse(podman('inspect', name))[0];
const castway = (name, ...args) => tryPodman('exec', name, 'castway', ...args);

// Starts a container as `docker compose up` does with `env` as .env, and resolves when its own health check is content.
async function up(env = {}, more = []) {
  const name = create(env, more);
  await healthy(name);
  return name;
}

function create(env, more = [], name = `castway-${process.pid}-${(count += 1)}`) {
  started.add(name);
  podman('run', '--detach', ...optionsOf(env, name), ...more, IMAGE);
  return name;
}

const healthy = (name) =>
  until(`${name} is healthy`, () => {
    if (!inspected(name).State.Running) throw new Error(`${name} has ended:\n${log(name)}`);
    return tryPodman('healthcheck', 'run', name).status === 0;
  });

const curl = (...args) => attempt('curl', ['--silent', '--show-error', '--max-time', '20', ...args]);

test('the image has one program, a user without privileges, two ports and a health check', () => {
  const { Config: config, Healthcheck: health } = inspected(IMAGE);
  assert.equal(config.User, '65532:65532');
  assert.deepEqual(Object.keys(config.ExposedPorts).sort(), ['3478/udp', '8080/tcp']);
  assert.deepEqual([config.Entrypoint, config.Volumes, config.WorkingDir], [['castway'], { '/data': {} }, '/data']);
  assert.deepEqual((health ?? config.Healthcheck).Test, ['CMD', 'castway', 'health']);
  for (const program of ['sh', 'apt-get', 'dpkg']) {
    assert.notEqual(tryPodman('run', '--rm', '--cgroups=no-conmon', '--ulimit', 'nofile=4096:4096', '--ulimit', 'nproc=4096:4096', '--network=none', '--entrypoint', program, IMAGE).status, 0, program);
  }
});

test('compose.yaml starts it: pages with and without TLS at one port, a relay, users, and nothing else reachable', async () => {
  const name = await up();
  for (const url of [`http://${MACHINE}:8080/tv`, `https://${MACHINE}:8080/cast`]) assert.equal(curl('--insecure', '--output', '/dev/null', '--write-out', '%{http_code}', url).output, '200', url);
  for (const port of [8443, 3478, 5349]) assert.notEqual(curl(`http://${MACHINE}:${port}/healthz`).status, 0, `TCP ${port} is not published`);
  assert.match(log(name), /Ports to open +TCP 8080 and UDP 3478; casts and calls need no others\n/);
  // Clients are told of the published ports alone, and those work.
  const granted = JSON.parse(curl(`http://${MACHINE}:8080/turn?username=alice`).output);
  assert.deepEqual(granted.uris, [`turn:${MACHINE}:3478?transport=udp`]);
  await assertUclient(3478, [], granted, { host: MACHINE });
  const added = castway(name, 'user', 'add', 'alice', '--generate');
  assert.equal(added.status, 0, added.output);
  assert.match(castway(name, 'user', 'list').output, /alice/);
  assert.equal(castway(name, 'health').status, 0);
});

test('it runs as a user without capabilities, on a root that it cannot write to', async () => {
  const name = await up();
  const { Pid } = inspected(name).State;
  const status = readFileSync(`/proc/${Pid}/status`, 'utf8');
  assert.match(status, /^Uid:\t65532\t65532\t65532\t65532$/m);
  assert.match(status, /^CapBnd:\t0+$/m);
  assert.match(status, /^CapPrm:\t0+$/m);
  assert.match(status, /^NoNewPrivs:\t1$/m);
  const mounts = readFileSync(`/proc/${Pid}/mounts`, 'utf8').split('\n').map((line) => line.split(' '));
  const writable = mounts.filter(([, , , options]) => options?.split(',').includes('rw')).map(([, path]) => path);
  assert.ok(writable.includes('/data'), writable.join(' '));
  assert.ok(!writable.includes('/') && !writable.includes('/tmp'), writable.join(' '));
  const data = execFileSync('ls', ['-ln', `/proc/${Pid}/root/data`], { encoding: 'utf8' });
  assert.match(data, /^-rw------- .* 65532 65532 .* castway\.db$/m, data);
});

test('a newer container with the same volume has the same users, and a stop tells the clients', async () => {
  const name = await up();
  assert.equal(castway(name, 'user', 'add', 'alice', '--generate').status, 0);
  podman('stop', '--time', '15', name);
  assert.equal(inspected(name).State.ExitCode, 0, log(name));
  assert.match(log(name), /SIGTERM: stopping/);
  podman('rm', name);
  create({ CASTWAY_GRACE: '90' }, [], name);
  await healthy(name);
  assert.match(castway(name, 'user', 'list').output, /alice/);
});

test('secrets come from a file of the engine, which only its user can read', async () => {
  const secret = join(folder, 'turn-secret');
  writeFileSync(secret, 'north-0123456789abcdef\n');
  chmodSync(secret, 0o400);
  chownSync(secret, 65532, 65532);
  const name = await up({ CASTWAY_STATIC_AUTH_SECRET_FILE: '/run/secrets/turn' }, ['--volume', `${secret}:/run/secrets/turn:ro`]);
  const username = `${Math.floor(Date.now() / 1000) + 3600}:bob`;
  const password = createHmac('sha1', 'north-0123456789abcdef').update(username).digest('base64');
  assert.equal(await verify({ host: MACHINE, port: 3478, username, password }), 'allocated');
  assert.ok(!log(name).includes('north-'), log(name));
  podman('rm', '--force', name);
  chownSync(secret, 0, 0);
  const other = create({ CASTWAY_STATIC_AUTH_SECRET_FILE: '/run/secrets/turn' }, ['--volume', `${secret}:/run/secrets/turn:ro`, '--restart=no']);
  await until('it ends', () => !inspected(other).State.Running);
  assert.match(log(other), /CASTWAY_STATIC_AUTH_SECRET_FILE=.*this user may not read it/);
});

test('with a domain, port 443 of the container gets the certificate, without a capability', async () => {
  const authority = await pebble({ tlsPort: 443, httpPort: 80, at: MACHINE });
  try {
    const ca = join(folder, 'acme.pem');
    writeFileSync(ca, readFileSync(authority.settings.CASTWAY_ACME_CA), { mode: 0o644 });
    const name = await up({ ...authority.settings, CASTWAY_ACME_CA: '/etc/acme.pem', CASTWAY_DOMAIN: 'cast.castway.test', CASTWAY_TCP_PORT: '443' }, ['--volume', `${ca}:/etc/acme.pem:ro`]);
    const root = join(folder, 'root.pem');
    writeFileSync(root, authority.root);
    const pinned = ['--cacert', root, '--resolve', `cast.castway.test:443:${MACHINE}`];
    const trusted = () => curl(...pinned, '--output', '/dev/null', '--write-out', '%{http_code}', 'https://cast.castway.test/tv').output === '200';
    await until('pebble has issued the certificate', trusted, Boolean, { show: () => log(name) });
    assert.doesNotMatch(log(name), /needs more privileges/);
    const { uris } = JSON.parse(curl(...pinned, 'https://cast.castway.test/turn?username=alice').output);
    assert.deepEqual(uris.sort(), ['turn:cast.castway.test:3478?transport=udp', 'turns:cast.castway.test:443?transport=tcp']);
  } finally {
    await authority.close();
  }
});

test('an engine that keeps low ports for root is named, with what to do', async () => {
  const domain = { CASTWAY_DOMAIN: 'cast.castway.test', CASTWAY_ACME_DIRECTORY: 'https://127.0.0.1:1/dir' };
  const low = ['--sysctl', 'net.ipv4.ip_unprivileged_port_start=1024'];
  const name = create({ ...domain, CASTWAY_TCP_PORT: '443' }, [...low, '--restart=no']);
  await until('it ends', () => !inspected(name).State.Running);
  assert.match(log(name), /:443 needs more privileges: .*ip_unprivileged_port_start=443; Docker: --sysctl.*set CASTWAY_TCP_PORT to a higher port/);
  // Castway's own ports instead of the one of compose.yaml.
  podman('rm', '--force', name);
  const other = create(domain, [...low, '--env', 'CASTWAY_TCP_PORT=']);
  await healthy(other);
  assert.match(log(other), /:443 needs more privileges: .* Until then .*:8443 is used instead/);
});

test('quotes that an env file of the engine keeps are named with what to write', async () => {
  const file = join(folder, 'env');
  writeFileSync(file, 'CASTWAY_EXTERNAL_IP="203.0.113.7"\n');
  const name = create({}, ['--env-file', file, '--restart=no']);
  await until('it ends', () => !inspected(name).State.Running);
  assert.match(log(name), /has quotes in its value: write CASTWAY_EXTERNAL_IP=203\.0\.113\.7/);
});
