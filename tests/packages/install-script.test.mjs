// deploy/install.sh, as a newcomer runs it: in an empty Debian, with the files of a release, good and bad ones.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, copyFileSync, cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer as createPlainServer } from 'node:http';
import { createServer } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { blocks } from '../documents/documents.mjs';
import { ownAuthority } from '../interop/support/authority.mjs';
import { TIMEOUT_MS, until } from '../interop/support/wait.mjs';
import { Debian } from './support/debian.mjs';
import { release } from './support/release.mjs';
import { attempt, root, run } from './support/run.mjs';

const SCRIPT = join(root, 'deploy/install.sh');
const SETTINGS = '/etc/castway/castway.env';
const made = release();
const deb = made.names.find((name) => name.endsWith('.deb'));
const tar = made.names.find((name) => name.endsWith('.tar.gz'));
const own = mkdtempSync(join(tmpdir(), 'castway-install-'));
after(() => rmSync(own, { recursive: true, force: true }));

// A folder with the files of a release, which `change` damages.
function copy(name, change = () => {}) {
  const folder = join(own, name);
  cpSync(made.folder, folder, { recursive: true });
  change(folder);
  return folder;
}

// Everything of a tree that an installation could change.
const tree = (debian) => debian.run('sh', '-c', "find / -xdev -path /proc -prune -o -path /tmp -prune -o -type f -printf '%p %m %u %g %s %T@\\n' -o -printf '%p %m %u %g\\n'");

// systemd's place is taken by a script that starts the unit's program as its user, in its folder and with its variables, so that what waits for
// the service gets one. The lines of files of settings are NAME=value here.
const SYSTEMCTL = `#!/bin/sh
case " $* " in
  *" is-failed "*) exit 1 ;;
  *" is-active "*) [ -f /run/castway.pid ] && exit 0; exit 3 ;;
  *" daemon-reload "* | *" start "* | *" restart "* | *" try-restart "* | *" stop "*) echo "$*" >>/var/log/systemctl.log ;;
  *) SYSTEMD_OFFLINE=1 exec /usr/bin/systemctl.real "$@" ;;
esac
case " $* " in
  *"restart "* | *" stop "*) [ ! -f /run/castway.pid ] || kill "$(cat /run/castway.pid)"; rm -f /run/castway.pid ;;
esac
case " $* " in
  *"start castway"*)
    if [ ! -f /run/castway.pid ]; then
      for unit in /etc/systemd/system/castway.service /usr/lib/systemd/system/castway.service /lib/systemd/system/castway.service; do [ ! -f "$unit" ] || break; done
      values() { sed -n "s/^$1=//p" "$unit"; }
      set --
      for variable in $(values Environment); do set -- "$@" "$variable"; done
      for file in $(values EnvironmentFile | sed 's/^-//'); do
        [ -f "$file" ] || continue
        while read -r line; do case $line in [A-Z]*=*) set -- "$@" "$line" ;; esac; done <"$file"
      done
      user=$(values User)
      cd "$(values WorkingDirectory)"
      setsid setpriv --reuid "$user" --regid "$user" --init-groups env -i PATH=/usr/bin:/bin "$@" $(values ExecStart) >/var/log/castway.log 2>&1 </dev/null &
      echo $! >/run/castway.pid
    fi ;;
esac
exit 0
`;

function prepared({ systemd = true, apt = true } = {}) {
  const debian = new Debian();
  if (systemd) writeFileSync(debian.path('/usr/bin/systemctl'), SYSTEMCTL, { mode: 0o755 });
  else for (const gone of ['/usr/bin/systemctl', '/run/systemd']) rmSync(debian.path(gone), { recursive: true });
  if (!apt) rmSync(debian.path('/usr/bin/apt-get'));
  // Nothing here is downloaded, and the script needs no tool for that then.
  rmSync(debian.path('/usr/bin/curl'));
  mkdirSync(debian.path('/release'));
  for (const name of readdirSync(made.folder)) copyFileSync(join(made.folder, name), debian.path(`/release/${name}`));
  copyFileSync(SCRIPT, debian.path('/install.sh'));
  after(() => stop(debian));
  return debian;
}

const stop = (debian) => debian.attempt('sh', '-c', '[ ! -f /run/castway.pid ] || kill "$(cat /run/castway.pid)"');
// As sudo has it.
const PATH = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
const install = (debian, ...args) => debian.attempt('env', PATH, 'sh', '/install.sh', ...args);

// Runs it at a terminal, and types the answers when the prompts appear.
async function typed(debian, args, answers) {
  const command = ['ip', ...debian.entered(['sh', '/install.sh', ...args])].map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(' ');
  const child = spawn('script', ['--quiet', '--return', '--command', command, '/dev/null'], { stdio: ['pipe', 'pipe', 'inherit'], env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' } });
  let output = '';
  child.stdout.on('data', (chunk) => (output += chunk));
  let status;
  child.once('close', (code) => (status = code));
  let read = 0;
  for (const [prompt, answer] of answers) {
    const asked = () => {
      const found = output.slice(read).search(prompt);
      if (found < 0) return false;
      read += found + 1;
      return true;
    };
    await until(`it asks for ${prompt}`, asked, Boolean, { show: () => output });
    child.stdin.write(`${answer}\n`);
  }
  await until('install.sh has ended', () => status !== undefined, Boolean, { limit: 3 * TIMEOUT_MS, show: () => output });
  return { status, output };
}

test('shellcheck has nothing to say', () => {
  assert.equal(run('shellcheck', [SCRIPT]), '');
});

test('docs/install.md has the commands of the script\'s own first lines, and its release has the script', () => {
  const text = readFileSync(SCRIPT, 'utf8');
  const [, head] = text.match(/^#\n((?:#   .+\n)+)#\n/m);
  const commands = head.replaceAll(/^# +/gm, '');
  assert.equal(blocks('docs/install.md').find((block) => block.text.includes('install.sh')).text, commands);
  const [, releases] = text.match(/^RELEASES=(.*)$/m);
  assert.equal(commands.split('\n')[0], `curl -fsSLO ${releases}/latest/download/install.sh`);
  assert.match(readFileSync(join(root, '.github/workflows/release.yml'), 'utf8'), /^ +cp deploy\/install\.sh release\/$/m);
});

describe('on Debian', () => {
  const debian = prepared();
  const before = tree(debian);

  test('a dry run says what it would do and changes nothing, and needs no root', () => {
    for (const user of [[], ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups']]) {
      const { status, output } = debian.attempt(...user, 'sh', '/install.sh', '--dry-run', '--from', '/release');
      assert.equal(status, 0, output);
      assert.match(output, new RegExp(`takes ${deb.replaceAll('+', '\\+')} from /release\n.*checksum is right`));
      assert.match(output, /would run: env DEBIAN_FRONTEND=noninteractive apt-get install .*\.deb/);
      assert.match(output, /nothing has been changed/);
      assert.equal(tree(debian), before);
    }
  });

  test('what it refuses leaves everything as it is', () => {
    const sums = (change) => (folder) => writeFileSync(join(folder, 'SHA256SUMS'), change(readFileSync(join(folder, 'SHA256SUMS'), 'utf8')));
    const cases = [
      [[], ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'], /this needs root: sudo sh install\.sh/],
      [['--version', '9.9.9'], [], /SHA256SUMS in \/release names no file for this machine \(deb, x86_64, gnu, version 9\.9\.9\)/],
      [['--version', '$(reboot)'], [], /is no version/],
      [['--from', 'http://127.0.0.1/x'], [], /is not secure/],
      [['--from', '/nowhere'], [], /there is no folder or file \/nowhere/],
      [['--from', 'https://127.0.0.1/x'], [], /curl or wget is needed/],
      [['--frm', '/release'], [], /--frm is no option/],
      [['--from', `/release/${made.names.find((name) => name.endsWith('.json'))}`], [], /is neither a \.deb nor a \.tar\.gz/],
    ];
    const damaged = (name, change, said) => {
      cpSync(copy(name, change), debian.path(`/${name}`), { recursive: true });
      cases.push([['--from', `/${name}`], [], said]);
    };
    damaged('damaged', (folder) => writeFileSync(join(folder, deb), 'x', { flag: 'a' }), /is not the file that SHA256SUMS names: it is damaged or somebody has changed it\. Nothing has been changed/);
    damaged('unnamed', sums((text) => text.split('\n').filter((line) => !line.endsWith('.deb')).join('\n')), /names no file for this machine/);
    damaged('twice', sums((text) => text + text.replaceAll(/^[0-9a-f]/gm, '0')), /names castway_.*\.deb more than once/);
    damaged('gone', (folder) => rmSync(join(folder, deb)), /there is no file castway_.*\.deb in \/gone/);
    damaged('unchecked', (folder) => rmSync(join(folder, 'SHA256SUMS')), /there is no file SHA256SUMS/);
    const now = tree(debian);
    for (const [args, user, said] of cases) {
      const from = args.includes('--from') ? [] : ['--from', '/release'];
      const { status, output } = debian.attempt(...user, 'sh', '/install.sh', ...from, ...args);
      assert.equal(status, 1, `${args.join(' ')}: ${output}`);
      assert.match(output, said);
      assert.equal(tree(debian), now, args.join(' '));
    }
    for (const [name, wrong] of [['uname', '#!/bin/sh\n[ "$1" = -s ] && echo Linux || echo riscv64\n'], ['uname', '#!/bin/sh\necho Darwin\n']]) {
      mkdirSync(debian.path('/tmp/other'), { recursive: true });
      writeFileSync(debian.path(`/tmp/other/${name}`), wrong, { mode: 0o755 });
      const { status, output } = debian.attempt('env', 'PATH=/tmp/other:/usr/sbin:/usr/bin:/sbin:/bin', 'sh', '/install.sh', '--from', '/release');
      assert.equal(status, 1, output);
      assert.match(output, /there is no program for the processor riscv64|are for Linux, and this is Darwin/);
    }
    // BusyBox's wget knows no --version.
    mkdirSync(debian.path('/tmp/busybox'));
    writeFileSync(debian.path('/tmp/busybox/wget'), '#!/bin/sh\n[ "$1" != --version ]\n', { mode: 0o755 });
    const { status, output } = debian.attempt('env', 'PATH=/tmp/busybox:/usr/sbin:/usr/bin:/sbin:/bin', 'sh', '/install.sh', '--from', 'https://127.0.0.1/x');
    assert.equal(status, 1, output);
    assert.match(output, /curl or wget is needed to download, and of wget the one of GNU/);
    // A script that has not come completely runs nothing.
    const text = readFileSync(SCRIPT, 'utf8');
    for (const part of [0.2, 0.5, 0.9, 0.99]) {
      writeFileSync(debian.path('/part.sh'), text.slice(0, Math.floor(text.length * part)));
      debian.attempt('sh', '/part.sh', '--from', '/release');
    }
    rmSync(debian.path('/part.sh'));
    assert.equal(tree(debian), now);
  });

  test('it installs the package, starts it, asks for the first user, and runs doctor', async () => {
    const password = 'correct horse 7 battery';
    const { status, output } = await typed(debian, ['--from', '/release'], [[/Name of the first user/, 'alice'], [/assword/, password], [/assword/, password]]);
    assert.equal(status, 0, output);
    assert.match(debian.run('castway', 'user', 'list'), /alice/);
    assert.match(output, /Castway is installed\./);
    assert.match(output, /Remove it: sudo apt-get remove castway/);
    assert.match(output, /Check it from outside, too: sudo castway doctor\./);
    assert.equal(debian.run('castway', 'health').length > 0, true);
    assert.equal(debian.stat(SETTINGS), 'root:castway 640 regular file');
  });

  test('a second time it changes nothing that matters, and asks nobody', async () => {
    debian.systemctl();
    writeFileSync(debian.path(SETTINGS), 'CASTWAY_GRACE=90\n');
    const { status, output } = await typed(debian, ['--from', '/release'], []);
    assert.equal(status, 0, output);
    assert.doesNotMatch(output, /Name of the first user/);
    assert.equal(debian.text(SETTINGS), 'CASTWAY_GRACE=90\n');
    assert.ok(!debian.systemctl().some((call) => /restart/.test(call)));
    assert.match(debian.run('castway', 'user', 'list'), /alice/);
  });
});

describe('--no-start on Debian', () => {
  const POLICY = '/usr/sbin/policy-rc.d';
  const started = (debian) => debian.systemctl().filter((call) => /start/.test(call));
  const pid = (debian) => existsSync(debian.path('/run/castway.pid'));

  test('the package is installed and nothing is started, until somebody starts it with the settings of the unit', async () => {
    const debian = prepared();
    const dry = install(debian, '--from', '/release', '--no-start', '--dry-run');
    assert.match(dry.output, /would keep the package from starting castway/);
    assert.ok(!existsSync(debian.path(POLICY)));
    const { status, output } = install(debian, '--from', '/release', '--no-start');
    assert.equal(status, 0, output);
    assert.match(output, /nothing was started, and castway starts with the machine/);
    assert.deepEqual(started(debian), [], output);
    assert.ok(!pid(debian) && !existsSync(debian.path('/var/lib/castway/castway.db')), output);
    assert.ok(!existsSync(debian.path(POLICY)), 'the rule is gone');
    assert.equal(debian.run('systemctl', 'is-enabled', 'castway').trim(), 'enabled');
    // castway health asks at the address of the settings, where only a server is that has read them.
    writeFileSync(debian.path(SETTINGS), 'CASTWAY_HTTP_ADDR=127.0.0.1:18080\nCASTWAY_NO_TLS=true\n');
    debian.run('systemctl', 'start', 'castway');
    const health = () => debian.attempt('castway', 'health');
    await until('castway health succeeds', health, ({ status: code }) => code === 0, { show: ({ output: said }) => `${said}\n${debian.text('/var/log/castway.log')}` });
    assert.match(debian.text('/var/log/castway.log'), /:18080/);
  });

  test('a rule of the machine stays as it is, and what it allows is said', () => {
    const debian = prepared();
    const rule = '#!/bin/sh\nexit 0\n';
    writeFileSync(debian.path(POLICY), rule, { mode: 0o755 });
    const { status, output } = install(debian, '--from', '/release', '--no-start');
    assert.equal(status, 0, output);
    assert.match(output, /policy-rc\.d is there already/);
    assert.match(output, /the package has started castway, as \/usr\/sbin\/policy-rc\.d of this machine allows/);
    assert.ok(pid(debian));
    assert.equal(debian.text(POLICY), rule);
  });

  test('an interrupted installation leaves no rule behind, and its rule is about castway alone', () => {
    const debian = prepared();
    const rule = (unit, action) => `${POLICY} ${unit} ${action}; echo "${unit} ${action} gets $?"`;
    const asks = [['castway.service', 'start'], ['castway.service', 'restart'], ['castway.service', 'stop'], ['ssh.service', 'start']];
    const stub = `#!/bin/sh\n${asks.map(([unit, action]) => rule(unit, action)).join('\n')}\ncp ${POLICY} /kept\nkill -TERM $PPID\nexit 1\n`;
    rmSync(debian.path('/usr/bin/apt-get'));
    writeFileSync(debian.path('/usr/bin/apt-get'), stub, { mode: 0o755 });
    const { status, output } = install(debian, '--from', '/release', '--no-start');
    assert.equal(status, 130, output);
    assert.deepEqual(output.match(/gets \d+/g), ['gets 101', 'gets 101', 'gets 0', 'gets 0'], output);
    assert.ok(!existsSync(debian.path(POLICY)));
    // Where it stays because the machine has lost its power, it decides nothing.
    assert.equal(debian.attempt('sh', '/kept', 'castway.service', 'start').status, 0);
  });
});

describe('where there is no apt-get', () => {
  const debian = prepared({ apt: false });

  test('it unpacks the .tar.gz: program, unit, user, settings and man pages', () => {
    const { status, output } = install(debian, '--from', '/release', '--user', 'alice');
    assert.equal(status, 0, output);
    assert.match(output, new RegExp(`takes ${tar}`));
    assert.equal(debian.stat('/usr/local/bin/castway'), 'root:root 755 regular file');
    assert.equal(debian.stat(SETTINGS), 'root:castway 640 regular file');
    assert.equal(debian.stat('/var/lib/castway'), 'castway:castway 700 directory');
    assert.match(debian.text('/etc/systemd/system/castway.service'), /^ExecStart=\/usr\/local\/bin\/castway$/m);
    assert.equal(debian.stat('/usr/local/share/man/man1/castway.1'), 'root:root 644 regular file');
    assert.match(output, /nobody is here to type a password: sudo castway user add alice/);
    const calls = debian.systemctl();
    assert.deepEqual(calls, ['daemon-reload', 'restart castway']);
    assert.equal(debian.stat('/etc/systemd/system/multi-user.target.wants/castway.service'), 'root:root 777 symbolic link');
    assert.match(output, /Remove it: sudo systemctl disable --now castway; sudo rm -f \/usr\/local\/bin\/castway/);
    assert.equal(debian.attempt('env', PATH, 'castway', 'health').status, 0);
  });

  test('a second time nothing is written and nothing restarts', () => {
    const files = () => debian.run('sh', '-c', "find /usr/local /etc -type f -printf '%p %m %u %T@\\n'");
    const before = files();
    const { status, output } = install(debian, '--from', `/release/${tar}`);
    assert.equal(status, 0, output);
    assert.equal(files(), before);
    assert.match(output, /castway\.env stays as it is/);
    assert.ok(!debian.systemctl().some((call) => /restart/.test(call)));
  });

  test('it takes a folder by a relative path, and no settings from the folder that it is started in', () => {
    mkdirSync(debian.path('/clone'));
    writeFileSync(debian.path('/clone/.env'), 'CASTWAY_DATA_DIR=/clone/data\nCASTWAY_HTTP_ADDR=127.0.0.1:1\nCASTWAY_HTTPS_ADDR=127.0.0.1:1\n');
    const { status, output } = debian.attempt('env', PATH, 'sh', '-c', 'cd /clone && exec sh /install.sh --from ../release');
    assert.equal(status, 0, output);
    assert.match(output, /Castway is installed\./);
    assert.deepEqual(readdirSync(debian.path('/clone')), ['.env']);
  });

  test('a file that is not of Castway, or does not start, is refused', () => {
    mkdirSync(debian.path('/strange'));
    const folder = mkdtempSync(join(own, 'strange-'));
    mkdirSync(join(folder, 'castway'));
    for (const [files, said] of [[['castway'], /has no castway\.service, so it is not of Castway/], [['castway', 'castway.service', 'castway.env'], /does not start on this machine/]]) {
      for (const file of files) writeFileSync(join(folder, 'castway', file), '#!/bin/false\n', { mode: 0o755 });
      run('tar', ['-czf', debian.path(`/strange/${tar}`), '-C', folder, 'castway']);
      writeFileSync(debian.path('/strange/SHA256SUMS'), run('sha256sum', [tar], { cwd: debian.path('/strange') }));
      const { status, output } = install(debian, '--from', '/strange');
      assert.equal(status, 1, output);
      assert.match(output, said);
    }
  });
});

test('without systemd it installs, starts nothing and says how to', async () => {
  const debian = prepared({ systemd: false, apt: false });
  const { status, output } = install(debian, '--from', '/release');
  assert.equal(status, 0, output);
  const [, command] = /As root, this starts Castway:\ninstall\.sh: +(cd .*)\n/.exec(output) ?? [];
  assert.ok(command, output);
  assert.match(output, /add a user once it runs/);
  debian.run('sh', '-c', `(${command}) >/var/log/castway.log 2>&1 & echo $! >/run/castway.pid`);
  const health = () => debian.attempt('/usr/local/bin/castway', 'health');
  await until('castway health succeeds', health, ({ status }) => status === 0, { show: ({ output }) => `${output}\n${debian.text('/var/log/castway.log')}` });
});

describe('over https', () => {
  const authority = ownAuthority(['DNS:localhost', 'IP:127.0.0.1']);
  let serve = (name, response) => response.end(readFileSync(join(made.folder, name)));
  const server = createServer({ key: readFileSync(authority.key), cert: readFileSync(authority.cert) }, (request, response) => {
    serve(request.url.split('/').at(-1), response);
  });
  // A redirect to it leads to the same files.
  const plain = createPlainServer((request, response) => response.end(readFileSync(join(made.folder, request.url.split('/').at(-1)))));
  after(() => {
    for (const each of [server, plain]) {
      each.closeAllConnections();
      each.close();
    }
    authority.close();
  });
  chmodSync(authority.ca, 0o644);
  run('chmod', ['755', join(authority.ca, '..')]);
  // wget takes its authorities from a file of settings.
  const wgetrc = join(own, 'wgetrc');
  writeFileSync(wgetrc, `ca_certificate = ${authority.ca}\n`, { mode: 0o644 });
  const tools = [{ tool: 'curl', env: { CURL_CA_BUNDLE: authority.ca } }, { tool: 'wget', env: { WGETRC: wgetrc } }];
  // As a user without privileges, whose dry run does all but the last step.
  const download = async (tool, env) => {
    for (const each of [server, plain]) if (!each.listening) await once(each.listen(0, '127.0.0.1'), 'listening');
    const path = mkdtempSync(join(own, 'tools-'));
    for (const name of ['sh', 'env', 'uname', 'id', 'getconf', 'sed', 'sort', 'tail', 'sha256sum', 'mktemp', 'rm', 'chmod', 'basename', 'dirname', 'cp', 'dpkg', 'apt-get', tool]) {
      run('ln', ['-s', run('sh', ['-c', `command -v ${name}`]).trim(), join(path, name)]);
    }
    chmodSync(own, 0o755);
    chmodSync(path, 0o755);
    const child = spawn('/usr/bin/setpriv', ['--reuid=65534', '--regid=65534', '--clear-groups', '/bin/sh', SCRIPT, '--dry-run', '--from', `https://localhost:${server.address().port}/latest`], { env: { PATH: path, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += chunk));
    const [status] = await once(child, 'close');
    return { status, output };
  };

  test('curl and wget get the files of a server whose certificate they trust', async () => {
    for (const { tool, env } of tools) {
      const { status, output } = await download(tool, env);
      assert.equal(status, 0, `${tool}: ${output}`);
      assert.match(output, /checksum is right/, tool);
      assert.match(output, /nothing has been changed/);
    }
  });

  test('a stranger\'s certificate, a redirect to http and an interrupted download end it with a sentence', async () => {
    const failed = /could not be downloaded completely\. Nothing has been changed: try again/;
    const insecure = /leads to an address without https, so it is not taken\. Nothing has been changed/;
    for (const { tool } of tools) {
      const { status, output } = await download(tool, {});
      assert.equal(status, 1, `${tool}: ${output}`);
      assert.match(output, failed, tool);
    }
    const all = serve;
    const ways = {
      interrupted: (name, response) => {
        const whole = readFileSync(join(made.folder, name));
        if (name === 'SHA256SUMS') return response.end(whole);
        response.writeHead(200, { 'content-length': whole.length });
        return response.write(whole.subarray(0, whole.length / 2), () => response.destroy());
      },
      redirected: (name, response) => response.writeHead(302, { location: `http://127.0.0.1:${plain.address().port}/${name}` }).end(),
      missing: (name, response) => response.writeHead(404).end('no such file'),
    };
    for (const [name, way] of Object.entries(ways)) {
      serve = way;
      for (const { tool, env } of tools) {
        const { status, output } = await download(tool, env);
        assert.equal(status, 1, `${tool}, ${name}: ${output}`);
        assert.match(output, tool === 'wget' && name === 'redirected' ? insecure : failed, `${tool}, ${name}`);
      }
    }
    serve = all;
  });
});

test('the workflow of releases has the tools of tests/run, tests what it publishes, and makes the files that this script looks for', () => {
  const workflow = readFileSync(join(root, '.github/workflows/release.yml'), 'utf8');
  const tools = [...readFileSync(join(root, 'tests/run'), 'utf8').matchAll(/^ +tool (\S+) (\S+)$/gm)];
  assert.equal(tools.length, 2);
  for (const [, name, version] of tools) assert.ok(workflow.includes(`--version ${version} --root target/tools ${name}`), `${name} ${version}`);
  const targets = [...workflow.matchAll(/\{ target: (\S+),/g)].map(([, target]) => target);
  const wanted = ['x86_64', 'aarch64'].flatMap((arch) => ['gnu', 'musl'].map((libc) => `${arch}-unknown-linux-${libc}`));
  assert.deepEqual(targets.sort(), wanted.sort());
  assert.match(workflow, /^ +run: CASTWAY_TEST_RELEASE="\$PWD\/release" CASTWAY_TEST_BINARY="\$PWD\/target\/\$TARGET\/release\/castway" tests\/run packages$/m);
});
