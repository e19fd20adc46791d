// What compose.yaml, the Dockerfile and the manifest of Kubernetes publish is what the program takes with their settings: without a domain,
// with one, behind a proxy, and in the machine's own network. The program runs as it does in the container: as a user without privileges,
// which can't get any. tests/packages/image runs the image itself.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { blocks } from '../documents/documents.mjs';
import { composed, published, readYaml } from '../interop/support/compose.mjs';
import { Program } from '../interop/support/process.mjs';
import { binary } from '../interop/support/server.mjs';

const COMPOSE = ['compose.yaml'];
const HOST = ['compose.yaml', 'compose.host.yaml'];
const read = (file) => readFileSync(new URL(`../../${file}`, import.meta.url), 'utf8');
const NONROOT = 65532;
// In a user namespace of our own only root's number exists.
const canChangeUser = readFileSync('/proc/self/uid_map', 'utf8').trim().split(/\s+/)[2] !== '1';
const unprivilegedFrom = (port) => writeFileSync('/proc/sys/net/ipv4/ip_unprivileged_port_start', String(port));
// An authority that refuses connections: nothing here is about certificates.
const DOMAIN = { CASTWAY_DOMAIN: 'cast.example.org', CASTWAY_ACME_DIRECTORY: 'https://127.0.0.1:1/dir' };

// A private address, as a bridge of containers gives.
execFileSync('sh', ['-c', 'ip link add eth0 type veth peer name bridge && ip addr add 172.17.0.2/16 dev eth0 && ip link set eth0 up && ip link set bridge up']);

const sockets = () =>
  execFileSync('ss', ['-Htuln'], { encoding: 'utf8' }).trim().split('\n').filter(Boolean).map((line) => {
    const [protocol, , , , local] = line.split(/\s+/);
    return `${local.slice(local.lastIndexOf(':') + 1)}/${protocol}`;
  });

// Starts the program with the settings of a container, and resolves to the ports that it has and to its start-up report.
async function taken(environment, { folder = '', owner = `${NONROOT}:${NONROOT}`, mode = '700', look = async () => {} } = {}) {
  const data = mkdtempSync(join(tmpdir(), 'castway-container-'));
  execFileSync('chown', [canChangeUser ? owner : '0:0', data]);
  execFileSync('chmod', [mode, data]);
  const nobody = [`--reuid=${NONROOT}`, `--regid=${NONROOT}`, '--clear-groups', '--bounding-set=-all', '--inh-caps=-all', '--no-new-privs'];
  const user = canChangeUser ? nobody : [];
  const env = { PATH: process.env.PATH, ...environment, CASTWAY_DATA_DIR: join(data, folder) };
  const program = new Program('setpriv', [...user, binary], { cwd: data, env });
  let seen;
  try {
    await program.ready(async () => /casts? over the relay at once/.test(program.output) && /Data  /.test(program.output));
    // A port from the kernel's range for clients is none that the program listens on.
    const ports = [...new Set(sockets())].filter((port) => Number(port.split('/')[0]) < 32_768).sort();
    const [, open] = /Ports to open\s+(.*)\n/.exec(program.output);
    const health = execFileSync(binary, ['health'], { cwd: data, env, encoding: 'utf8' });
    await look();
    seen = { ports, open, health };
  } finally {
    await program.close();
    rmSync(data, { recursive: true, force: true });
  }
  // Its output is complete once it has ended.
  return { ...seen, log: program.output };
}

const open = (service) => {
  const of = (protocol) => published(service).filter((port) => port.protocol === protocol).map(({ container }) => container);
  return `TCP ${of('tcp')} and UDP ${of('udp')}; casts and calls need no others`;
};

for (const [name, env, port] of [
  ['nothing', {}, 8080],
  ['another port', { CASTWAY_TCP_PORT: '9000' }, 9000],
  ['a domain', { ...DOMAIN, CASTWAY_TCP_PORT: '443' }, 443],
  ['a proxy in front', { CASTWAY_NO_TLS: 'true', CASTWAY_PUBLIC_URL: 'https://cast.example.org', CASTWAY_TRUSTED_PROXIES: '172.16.0.0/12', TCP_AT: '127.0.0.1:' }, 8080],
  // Settings of a machine without containers.
  ['other addresses', { CASTWAY_TURN_ADDR: '0.0.0.0:3479', CASTWAY_DATA_DIR: '/var/lib/castway' }, 8080],
]) {
  test(`compose.yaml publishes two ports, and the program takes them, where .env has ${name}`, async () => {
    unprivilegedFrom(0);
    const service = composed(COMPOSE, env);
    assert.deepEqual(published(service), [
      { at: env.TCP_AT ? '127.0.0.1' : 'all', host: port, container: port, protocol: 'tcp' },
      { at: 'all', host: 3478, container: 3478, protocol: 'udp' },
    ]);
    assert.equal(service.environment.CASTWAY_DATA_DIR, '/data');
    const { ports, open: said, log } = await taken(service.environment);
    assert.equal(said, open(service), log);
    if (!env.CASTWAY_NO_TLS) assert.match(log, new RegExp(`TLS +\\[::\\]:${port}, \\[::\\]:5349 `), log);
    for (const { container, protocol } of published(service)) assert.ok(ports.includes(`${container}/${protocol}`), ports.join(' '));
    // TURN over TLS has its own port as well, which no client is told of.
    assert.deepEqual(ports.filter((each) => !['5349/tcp', `${port}/tcp`].includes(each)), ['3478/udp'], log);
  });
}

test('an address in .env that the published port contradicts is a problem that names both', async () => {
  const { environment } = composed(COMPOSE, { CASTWAY_HTTPS_ADDR: '[::]:9443' });
  await assert.rejects(taken(environment), /CASTWAY_HTTPS_ADDR=.*expected nothing where CASTWAY_TCP_PORT is set, which is 8080/);
});

test('the documents publish port 80, too, and the program takes it', async () => {
  unprivilegedFrom(0);
  const { text } = blocks('docs/containers.md').find((block) => block.language === 'yaml' && block.text.startsWith('services:'));
  const service = composed(['compose.yaml', text], { ...DOMAIN, CASTWAY_TCP_PORT: '443' });
  assert.deepEqual(service.ports, ['443:443/tcp', '80:80/tcp', '3478:3478/udp']);
  const { ports, log } = await taken(service.environment);
  assert.deepEqual(ports.filter((port) => port !== '5349/tcp'), ['3478/udp', '443/tcp', '80/tcp'], log);
});

test('in the network of the machine the program has the ports of its own settings', async () => {
  unprivilegedFrom(80);
  const plain = composed(HOST);
  assert.deepEqual([plain.network_mode, plain.ports, plain.sysctls], ['host', undefined, undefined]);
  assert.equal((await taken(plain.environment)).open, 'TCP 8080 (TVs) and 8443 (casters) and UDP 3478; casts and calls need no others');
  const domain = composed(HOST, { ...DOMAIN, CASTWAY_TURN_ADDR: '127.0.0.1:3479' });
  const { ports, log } = await taken(domain.environment);
  assert.deepEqual(ports.filter((port) => port !== '5349/tcp'), ['3479/tcp', '3479/udp', '443/tcp', '80/tcp'], log);
});

test('a port that needs privileges is named in the report, with what to do and what is used instead', { skip: !canChangeUser }, async () => {
  unprivilegedFrom(1024);
  const { log, ports } = await taken(composed(HOST, DOMAIN).environment);
  for (const [port, instead, setting] of [[80, 8080, 'HTTP'], [443, 8443, 'HTTPS']]) {
    assert.ok(ports.includes(`${instead}/tcp`), ports.join(' '));
    const warning = log.split('\n').find((line) => line.includes(`:${port} needs more privileges`));
    assert.match(warning, new RegExp(`ip_unprivileged_port_start=${port}.*set CASTWAY_${setting}_ADDR to a higher port\\. Until then .*:${instead} is used instead`), log);
  }
  assert.match(log, /come to port 443 of cast\.example\.org, and HTTPS listens on port 8443/);
  // A port that somebody has chosen is no wish.
  await assert.rejects(taken(composed(COMPOSE, { ...DOMAIN, CASTWAY_TCP_PORT: '443' }).environment), /443 needs more privileges.*set CASTWAY_TCP_PORT to a higher port/);
});

test('SERVER_IMAGE in .env names the released image, which has one name in the documents and in the manifest', () => {
  const [, image] = /^SERVER_IMAGE=(\S+)$/m.exec(read('docs/containers.md'));
  assert.equal(composed(COMPOSE, { SERVER_IMAGE: image }).image, image);
  assert.equal(composed(COMPOSE).image, 'castway');
  const [, , { spec }] = readYaml('deploy/kubernetes/castway.yaml');
  assert.equal(spec.template.spec.containers[0].image, image);
  const [name] = image.split(':');
  assert.ok(read('docs/containers.md').includes(`\`${name}\` stands for the registry`));
});

test('the image says the same ports, folder and user', () => {
  const [{ services: { castway } }] = readYaml('compose.yaml');
  const image = read('Dockerfile').split('\nFROM ').at(-1);
  const exposed = /^EXPOSE (.*)$/m.exec(image)[1].split(' ');
  assert.deepEqual(exposed, published(composed(COMPOSE)).map(({ container, protocol }) => `${container}/${protocol}`));
  assert.match(image, /^ENV CASTWAY_DATA_DIR=\/data$/m);
  assert.match(image, /^VOLUME \/data$/m);
  assert.deepEqual(castway.volumes, ['data:/data']);
  assert.match(image, new RegExp(`^USER ${NONROOT}:${NONROOT}$`, 'm'));
  assert.match(read('compose.yaml'), new RegExp(`user of the container, ${NONROOT}`));
  // The line that runs it without compose.yaml.
  const run = /^# docker run (.*)$/m.exec(read('Dockerfile'))[1];
  assert.deepEqual([...run.matchAll(/-p (\S+)/g)].map(([, port]) => port), ['8080:8080/tcp', '3478:3478/udp']);
  assert.match(run, /-v castway:\/data -e CASTWAY_TCP_PORT=8080 /);
});

test('mirrors are settings of the build: the Dockerfile, compose.yaml and both languages of the documents have the same', () => {
  const dockerfile = read('Dockerfile');
  const names = [...dockerfile.matchAll(/^ARG (\w+)=/gm)].map(([, name]) => name).sort();
  assert.equal(names.length, 5);
  for (const name of names) assert.ok(new RegExp(`\\$\\{?${name}\\b`).test(dockerfile), `${name} is used`);
  // Each image and each download has one.
  for (const [, image] of dockerfile.matchAll(/^FROM (?:--\S+ )?(\S+)/gm)) assert.match(image, /^\$\w+_IMAGE$/);
  const [{ services: { castway } }] = readYaml('compose.yaml');
  assert.deepEqual([...castway.build.args].sort(), names);
  for (const file of ['docs/containers.md', 'docs/zh/install.md']) for (const name of names) assert.ok(read(file).includes(`\`${name}\``), `${file}: ${name}`);
});

test('the manifest of Kubernetes has the ports and the probes that the program answers, and its volume is the group\'s', async () => {
  const [config, service, { spec }] = readYaml('deploy/kubernetes/castway.yaml');
  const pod = spec.template.spec;
  const [container] = pod.containers;
  const ports = container.ports.map(({ name, containerPort, protocol }) => [name, containerPort, protocol]);
  assert.deepEqual(service.spec.ports.map(({ targetPort, port, protocol }) => [targetPort, port, protocol]), ports);
  assert.deepEqual([spec.replicas, pod.enableServiceLinks, pod.securityContext.runAsUser, pod.securityContext.fsGroup], [1, false, NONROOT, NONROOT]);
  const [{ name, value }] = pod.securityContext.sysctls;
  assert.equal(name, 'net.ipv4.ip_unprivileged_port_start');
  unprivilegedFrom(value);
  const env = Object.fromEntries(container.env.map((variable) => [variable.name, variable.value]));
  const mount = container.volumeMounts[0].mountPath;
  assert.ok(env.CASTWAY_DATA_DIR.startsWith(`${mount}/`), env.CASTWAY_DATA_DIR);
  const probes = [container.readinessProbe, container.livenessProbe].map((probe) => probe.httpGet);
  const look = async () => {
    for (const { path, port } of probes) {
      const [, number] = ports.find(([each]) => each === port);
      assert.equal((await fetch(`http://127.0.0.1:${number}${path}`)).status, 200, path);
    }
  };
  const folder = env.CASTWAY_DATA_DIR.slice(mount.length);
  const { ports: all, log } = await taken({ ...config.data, ...env }, { folder, owner: `0:${NONROOT}`, mode: '2775', look });
  assert.deepEqual(all.filter((port) => port !== '5349/tcp'), ['3478/udp', '443/tcp'], log);
});
