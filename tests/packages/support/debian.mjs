// A Debian of its own in a folder, with a network of its own: packages are installed in it, and programs run in it.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { parseUnit } from '../../interop/support/unit.mjs';
import { archiveOf } from './archive.mjs';
import { attempt, run } from './run.mjs';

// What every Debian has that somebody installs a server on.
const PACKAGES = ['adduser', 'ca-certificates', 'curl', 'init-system-helpers', 'libgcc-s1', 'procps', 'sudo', 'systemd'];
// The systemd of the folder does not run: what asks it to do something is kept here. Everything else systemctl reads from files.
const CALLS = '/var/log/systemctl.log';
const SYSTEMCTL = `#!/bin/sh
for word in "$@"; do
  case $word in
    daemon-reload | start | stop | restart | try-restart | reload)
      echo "$*" >>${CALLS}
      exit 0
      ;;
  esac
done
for word in "$@"; do
  shift
  # It starts or stops, as well.
  if [ "$word" = --now ]; then echo "$*" >>${CALLS}; else set -- "$@" "$word"; fi
done
SYSTEMD_OFFLINE=1 exec /usr/bin/systemctl.real "$@"
`;

let made = 0;

export class Debian {
  constructor() {
    this.folder = mkdtempSync(join(tmpdir(), 'castway-debian-'));
    this.network = `castway-${process.pid}-${(made += 1)}`;
    after(() => this.#end());
    run('tar', ['--extract', '--numeric-owner', '--file', archiveOf('minbase', PACKAGES), '--directory', this.folder]);
    run('ip', ['netns', 'add', this.network]);
    // An address that other machines could reach; without one a server is not ready.
    const links = [['link', 'set', 'lo', 'up'], ['link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'eth1'], ['addr', 'add', '192.0.2.10/24', 'dev', 'eth0']];
    for (const words of [...links, ['link', 'set', 'eth0', 'up'], ['link', 'set', 'eth1', 'up']]) run('ip', ['-n', this.network, ...words]);
    writeFileSync(this.path('/etc/hosts'), `127.0.0.1 localhost ${hostname()}\n`);
    // What maintainer scripts take for a running systemd.
    mkdirSync(this.path('/run/systemd/system'), { recursive: true });
    renameSync(this.path('/usr/bin/systemctl'), this.path('/usr/bin/systemctl.real'));
    writeFileSync(this.path('/usr/bin/systemctl'), SYSTEMCTL, { mode: 0o755 });
    writeFileSync(this.path(CALLS), '');
  }

  #end() {
    // What its programs have started in the background, too.
    const { output } = attempt('ip', ['netns', 'pids', this.network]);
    for (const pid of output.match(/^\d+$/gm) ?? []) attempt('kill', ['-KILL', pid]);
    attempt('ip', ['netns', 'delete', this.network]);
    rmSync(this.folder, { recursive: true, force: true });
  }

  path(inside) {
    return join(this.folder, inside);
  }

  text(inside) {
    return readFileSync(this.path(inside), 'utf8');
  }

  // The command line that runs a program in it. ip has given the program a mount namespace of its own, which /proc ends with.
  entered(command) {
    const enter = 'mount -t proc proc "$0/proc" && exec chroot "$0" "$@"';
    return ['netns', 'exec', this.network, 'sh', '-c', enter, this.folder, ...command];
  }

  attempt(...command) {
    return attempt('ip', this.entered(command), { env: { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', DEBIAN_FRONTEND: 'noninteractive' } });
  }

  run(...command) {
    const { status, output } = this.attempt(...command);
    if (status !== 0) throw new Error(`${command.join(' ')} ended with ${status}:\n${output.slice(-8000)}`);
    return output;
  }

  // Owner, group, mode and kind of a file.
  stat(inside) {
    return this.run('stat', '--format=%U:%G %a %F', inside).trim();
  }

  // Everything in it, without what dpkg and adduser write down.
  files() {
    const kept = String.raw`^/(var/(lib/dpkg|log|cache|backups)|etc/(passwd|group|shadow|gshadow|subuid|subgid)-?$|run/)`;
    return this.run('find', '/', '-xdev', '-path', '/proc', '-prune', '-o', '-print').split('\n').filter((path) => path && !new RegExp(kept).test(path)).sort();
  }

  // The calls of systemctl since the last question.
  systemctl() {
    const calls = this.text(CALLS).split('\n').filter(Boolean);
    writeFileSync(this.path(CALLS), '');
    return calls;
  }

  // Starts what a unit starts: as its user, in its folder, with its variables, its capabilities and the privileges it leaves.
  start(unit) {
    const given = parseUnit(this.text(unit));
    const values = (name) => given[name] ?? [];
    const one = (name) => {
      const found = values(name);
      if (found.length !== 1) throw new Error(`${unit} should have one ${name}=, and has ${found.length}`);
      return found[0];
    };
    const files = values('EnvironmentFile').map((file) => file.replace(/^-/, '')).filter((file) => existsSync(this.path(file)));
    const variables = files.flatMap((file) => this.text(file).split('\n').filter((line) => /^\w+=/.test(line)));
    const capabilities = one('AmbientCapabilities').toLowerCase().replace('cap_', '+');
    const privileges = [`--ambient-caps=${capabilities}`, `--inh-caps=-all,${capabilities}`, `--bounding-set=-all,${capabilities}`, '--no-new-privs'];
    const user = one('User');
    const group = this.run('id', '--group', '--name', user).trim();
    const program = [
      'setpriv', `--reuid=${user}`, `--regid=${group}`, '--init-groups', ...privileges,
      'env', '--ignore-environment', `--chdir=${one('WorkingDirectory')}`, 'PATH=/usr/bin:/bin', ...values('Environment'), ...variables, ...one('ExecStart').split(' '),
    ];
    const child = spawn('ip', this.entered(['sh', '-c', 'umask "$0" && exec "$@"', one('UMask'), ...program]), { stdio: ['ignore', 'pipe', 'pipe'] });
    const service = { pid: child.pid, output: '', running: true };
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (service.output += chunk));
    const ended = once(child, 'close').then(() => {
      service.running = false;
    });
    service.stop = async () => {
      child.kill('SIGTERM');
      await ended;
    };
    return service;
  }
}
