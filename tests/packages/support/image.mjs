// Builds the image with Podman and runs it: a real container, in the networks that the test file has to itself. The registries' base images
// are replaced by Debian's packages of the same kind, since nothing here reaches a registry.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { composed } from '../../interop/support/compose.mjs';
import { archiveOf } from './archive.mjs';
import { attempt, root, run } from './run.mjs';

const kept = join(root, 'target/packages');
// Images of its own: the names of the base images mean something else on a developer's machine.
const STORE = ['--root', join(kept, 'podman'), '--runtime', 'runc', '--log-level=error'];
// A machine may not let us raise limits, and Podman's own defaults are higher than some machines'.
const LIMITS = ['--ulimit', 'nofile=4096:4096', '--ulimit', 'nproc=4096:4096'];
const BASES = {
  pages: { tag: 'docker.io/library/node:22-bookworm-slim', variant: 'apt', packages: ['ca-certificates'] },
  program: { tag: 'docker.io/library/rust:1-bookworm', variant: 'apt', packages: ['ca-certificates', 'gcc', 'libc6-dev', 'binutils'] },
  // Without a shell and a package manager, as the image of the Dockerfile.
  final: { tag: 'gcr.io/distroless/cc-debian12:nonroot', variant: 'extract', packages: ['base-files', 'libc6', 'libgcc-s1', 'libstdc++6', 'tzdata'] },
};
const CERTIFICATES = '/etc/ssl/certs';

// No systemd that would run health checks at intervals: the tests run them.
const env = { DISABLE_HC_SYSTEMD: 'true' };
export const podman = (...args) => run('podman', [...STORE, ...args], { env });
export const tryPodman = (...args) => attempt('podman', [...STORE, ...args], { env });

// Downloads need the network that the test runner has.
const outside = [`--net=/proc/${process.ppid}/ns/net`];
const build = (...args) => run('nsenter', [...outside, 'podman', ...STORE, 'build', '--quiet', '--pull=never', '--format=docker', '--isolation=chroot', '--network=host', ...LIMITS, ...args]);

// The base images of the Dockerfile, which it names as it likes: a name that nothing here makes is a failure of the build.
function bases() {
  const context = join(kept, 'bases');
  mkdirSync(context, { recursive: true });
  const of = (name, lines, files = {}) => {
    for (const [file, text] of Object.entries(files)) writeFileSync(join(context, file), text);
    rmSync(join(context, 'root.tar'), { force: true });
    const { variant, packages } = BASES[name];
    execFileSync('ln', [archiveOf(variant, packages, ['nsenter', ...outside]), join(context, 'root.tar')]);
    writeFileSync(join(context, 'Dockerfile'), ['FROM scratch', 'ADD root.tar /', ...lines].join('\n'));
    build('--tag', BASES[name].tag, context);
  };
  of('pages', ['RUN mkdir -p /usr/local/lib /usr/local/bin && ln -s ../lib/npm/bin/npm-cli.js /usr/local/bin/npm', 'ENV PATH=/usr/local/bin:/usr/bin:/bin']);
  of('program', ['ENV PATH=/usr/local/rust/bin:/usr/bin:/bin CARGO_HOME=/usr/local/cargo']);
  execFileSync('cp', [`${CERTIFICATES}/ca-certificates.crt`, context]);
  of('final', ['COPY passwd group /etc/', `COPY ca-certificates.crt ${CERTIFICATES}/`, 'USER 65532:65532', 'WORKDIR /home/nonroot'], {
    passwd: 'root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n',
    group: 'root:x:0:\nnonroot:x:65532:\n',
  });
}

// A program that somebody gave takes the place of the Dockerfile's stage that compiles one for minutes. The other stages are built.
const given = process.env.CASTWAY_TEST_BINARY;

// The Dockerfile without its first stages, and what its last stage copies from them.
function withGiven() {
  const context = join(kept, 'given');
  rmSync(context, { recursive: true, force: true });
  mkdirSync(join(context, 'out/data'), { recursive: true, mode: 0o700 });
  run('install', ['--strip', given, join(context, 'out/castway')]);
  const [head, ...stages] = readFileSync(join(root, 'Dockerfile'), 'utf8').split(/^(?=FROM )/m);
  const file = join(kept, 'given.Dockerfile');
  writeFileSync(file, head + stages.at(-1));
  return ['--file', file, '--build-context', `program=${context}`];
}

// Builds the Dockerfile. This machine's Node.js, npm and Rust are mounted where the base images would have them, and what cargo has built is kept for
// the next time. Podman keeps the layers, too: a stage whose files have not changed is not built again.
export function buildImage(tag) {
  bases();
  const npm = dirname(dirname(realpathSync(execFileSync('sh', ['-c', 'command -v npm'], { encoding: 'utf8' }).trim())));
  const sysroot = execFileSync('rustc', ['--print', 'sysroot'], { encoding: 'utf8', cwd: root }).trim();
  const registry = join(process.env.CARGO_HOME ?? join(homedir(), '.cargo'), 'registry');
  const built = join(kept, 'image-target');
  for (const folder of [registry, built]) mkdirSync(folder, { recursive: true });
  const mounts = [
    `${process.execPath}:/usr/local/bin/node:ro`, `${npm}:/usr/local/lib/npm:ro`, `${sysroot}:/usr/local/rust:ro`,
    `${registry}:/usr/local/cargo/registry`, `${built}:/castway/target`, `${CERTIFICATES}:${CERTIFICATES}:ro`,
  ];
  const options = ['--env', `NODE_EXTRA_CA_CERTS=${CERTIFICATES}/ca-certificates.crt`, ...mounts.flatMap((mount) => ['--volume', mount])];
  if (given) build('--target', 'pages', ...options, root);
  build('--tag', tag, ...(given ? withGiven() : options), root);
}

// The options of `podman run` that compose.yaml asks for, with `env` as .env.
export function optionsOf(env, name) {
  const service = composed(['compose.yaml'], env);
  const known = ['build', 'image', 'restart', 'env_file', 'environment', 'volumes', 'ports', 'sysctls', 'stop_grace_period', 'mem_limit', 'memswap_limit', 'pids_limit', 'ulimits', 'read_only', 'cap_drop', 'security_opt'];
  const unknown = Object.keys(service).filter((key) => !known.includes(key));
  if (unknown.length > 0) throw new Error(`compose.yaml has ${unknown.join(', ')}, which this test does not know`);
  return [
    '--name', name, '--cgroups=no-conmon', ...LIMITS,
    ...service.ports.flatMap((port) => ['--publish', port]),
    ...service.volumes.flatMap((volume) => ['--volume', volume.replace(/^data:/, `${name}-data:`)]),
    ...Object.entries(service.sysctls).flatMap(([key, value]) => ['--sysctl', `${key}=${value}`]),
    ...Object.entries(service.ulimits).flatMap(([key, value]) => ['--ulimit', `${key}=${value}:${value}`]),
    ...service.cap_drop.flatMap((capability) => ['--cap-drop', capability]),
    ...service.security_opt.flatMap((option) => ['--security-opt', option.replace(':true', '')]),
    ...(service.read_only ? ['--read-only', '--read-only-tmpfs=false'] : []),
    '--memory', service.mem_limit, '--pids-limit', String(service.pids_limit),
    ...Object.entries(service.environment).flatMap(([key, value]) => ['--env', `${key}=${value}`]),
  ];
}
