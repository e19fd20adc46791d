// The command line as newcomers and log collectors meet it: JSON from the first line on, and a sentence for each thing that goes wrong.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { freePort } from './support/ports.mjs';
import { run } from './support/process.mjs';
import { binary, cleanEnv, withServer } from './support/server.mjs';

const folder = mkdtempSync(join(tmpdir(), 'castway-line-'));
after(() => rmSync(folder, { recursive: true, force: true }));
let folders = 0;

function newFolder(files = {}) {
  const path = join(folder, String((folders += 1)));
  mkdirSync(path);
  for (const [name, text] of Object.entries(files)) writeFileSync(join(path, name), text);
  return path;
}

// Runs castway until it ends: {code, stdout, stderr}.
function castway(args, { cwd = newFolder(), env = {}, within = [] } = {}) {
  const [command, ...all] = [...within, binary, ...args];
  return run(command, all, { cwd, env: { ...cleanEnv(), ...env } });
}

// What keeps a server from starting, each with the sentence and the exit status.
async function failures() {
  const taken = createServer().listen(0, '127.0.0.1');
  await once(taken, 'listening');
  after(() => taken.close());
  const ports = async () => ({
    CASTWAY_HTTP_ADDR: `127.0.0.1:${await freePort()}`,
    CASTWAY_HTTPS_ADDR: `127.0.0.1:${await freePort()}`,
    CASTWAY_TURN_ADDR: `127.0.0.1:${await freePort()}`,
  });
  const file = newFolder({ data: 'a file' });
  return [
    ['a setting that can not be used', { env: { CASTWAY_GRACE: 'soon' } }, 64, /CASTWAY_GRACE=\\?"soon\\?": expected a whole number/],
    ['a broken .env', { cwd: newFolder({ '.env': 'CASTWAY_REALM=two words\n' }) }, 64, /\.env, line 1 \(the value of CASTWAY_REALM\): expected NAME=value/],
    ['an unknown flag', { args: ['--no-such-flag'] }, 64, /unexpected argument '--no-such-flag'/],
    ['an unknown command', { args: ['serve'] }, 64, /unrecognized subcommand 'serve'/],
    ['a data folder that is a file', { cwd: file, env: await ports() }, 64, /CASTWAY_DATA_DIR="data": expected a folder, and this is a file/],
    ['a port that is taken', { env: { ...(await ports()), CASTWAY_HTTP_ADDR: `127.0.0.1:${taken.address().port}` } }, 1, /CASTWAY_HTTP_ADDR/],
    ['a misspelt setting', { env: { CASTWAY_GRACE: 'soon', CASTWAY_REALN: 'x' } }, 64, /did you mean CASTWAY_REALM\?/],
  ];
}

const records = (text) => text.split('\n').filter(Boolean).map((line) => JSON.parse(line));

test('with CASTWAY_LOG_FORMAT=json whatever keeps a server from starting is one JSON object a line', async () => {
  for (const [what, { args = [], cwd, env }, code, sentence] of await failures()) {
    const ended = await castway(args, { cwd, env: { ...env, CASTWAY_LOG_FORMAT: 'json' } });
    assert.equal(ended.code, code, `${what}: ${ended.stderr}`);
    const said = records(ended.stdout + ended.stderr);
    assert.ok(said.length > 0, what);
    for (const record of said) {
      assert.match(record.level, /^(ERROR|WARN|INFO)$/, what);
      assert.ok(!Number.isNaN(Date.parse(record.timestamp)) && record.message, `${what}: ${JSON.stringify(record)}`);
    }
    assert.ok(said.some(({ message }) => sentence.test(message)), `${what}: ${ended.stderr}`);
  }
});

test('without it each of these is a sentence', async () => {
  for (const [what, { args = [], cwd, env }, code, sentence] of await failures()) {
    const ended = await castway(args, { cwd, env });
    assert.equal(ended.code, code, `${what}: ${ended.stderr}`);
    assert.match(ended.stderr, sentence, what);
    assert.ok(!ended.stderr.includes('panicked') && !ended.stderr.startsWith('{'), ended.stderr);
  }
});

test('the format can come from a flag, from the environment and from .env', async () => {
  for (const [args, env, lines] of [
    [['--log-format', 'json'], {}, ''],
    [['--log-format=json'], {}, ''],
    [[], { CASTWAY_LOG_FORMAT: 'json' }, ''],
    [[], {}, 'CASTWAY_LOG_FORMAT=json\n'],
  ]) {
    const ended = await castway([...args, '--grace', 'soon'], { env, cwd: newFolder({ '.env': lines }) });
    assert.equal(ended.code, 64);
    assert.match(records(ended.stderr)[0].message, /CASTWAY_GRACE/);
  }
});

test('a server that runs writes nothing but JSON, from its report to its end', () =>
  withServer({ CASTWAY_LOG_FORMAT: 'json', CASTWAY_LOG: 'info', CASTWAY_REALN: 'x' }, async (server) => {
    await server.stop();
    const said = records(server.log);
    const report = said.find(({ message }) => /^Castway .* is running$/.test(message));
    assert.match(report.report, /On the TV {5}http/);
    assert.ok(said.some(({ level, message }) => level === 'WARN' && /did you mean CASTWAY_REALM/.test(message)));
    assert.equal(said.at(-1).message, 'stopped');
  }));

test('commands print text, whatever the format of the log', async () => {
  const ended = await castway(['user', 'list'], { env: { CASTWAY_LOG_FORMAT: 'json' } });
  assert.equal(ended.code, 1);
  assert.match(ended.stderr, /^castway: there is no castway database in/);
});

test('without a terminal a password has two other ways', () =>
  withServer({}, async (server) => {
    // A session of its own has no terminal, even where the test has one.
    const { code, stderr } = await castway(['user', 'add', 'alice'], { cwd: server.dataDir, env: server.settings, within: ['setsid', '--wait'] });
    assert.equal(code, 1);
    assert.match(stderr, /there is no terminal to ask for a password; use --password-stdin or --generate$/m);
    const short = await server.cli(['user', 'add', 'bob', '--password-stdin'], '123456\n');
    assert.equal(short.code, 0);
    assert.match(short.stderr, /warning: the password of bob is accepted, but shorter than 8 characters/);
    const empty = await server.cli(['user', 'add', 'carol', '--password-stdin'], '\n');
    assert.equal(empty.code, 1);
    assert.match(empty.stderr, /password/);
  }));

test('a folder without rights and one that can not be written are sentences', { skip: process.getuid() !== 0 }, async () => {
  const within = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'];
  const ports = { CASTWAY_HTTP_ADDR: '127.0.0.1:0', CASTWAY_HTTPS_ADDR: '127.0.0.1:0', CASTWAY_TURN_ADDR: '127.0.0.1:0', CASTWAY_TURNS_ADDR: '127.0.0.1:0' };
  chmodSync(folder, 0o755);
  const cwd = newFolder();
  const closed = await castway([], { cwd, env: ports, within });
  assert.equal(closed.code, 1);
  assert.match(closed.stderr, /data can't be written: .*\. Give the user that runs castway write access/);
  const data = join(cwd, 'data');
  mkdirSync(data, { mode: 0o700 });
  const foreign = await castway(['user', 'list'], { cwd, env: ports, within });
  assert.equal(foreign.code, 1);
  assert.match(foreign.stderr, /can't be used: .*\. Run the command as root \(sudo\) or as the user that runs the server/);
});

test('a full disk is a sentence', { skip: process.getuid() !== 0 }, async () => {
  const data = newFolder();
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=32k,mode=700', 'castway-test', data]);
  try {
    const env = { CASTWAY_DATA_DIR: data, CASTWAY_HTTP_ADDR: '127.0.0.1:0', CASTWAY_HTTPS_ADDR: '127.0.0.1:0', CASTWAY_TURN_ADDR: '127.0.0.1:0', CASTWAY_TURNS_ADDR: '127.0.0.1:0' };
    const { code, stderr } = await castway([], { env });
    assert.equal(code, 1);
    assert.match(stderr, /the disk that holds .* is full\. Free some space and start castway again/);
  } finally {
    execFileSync('umount', [data]);
  }
});

test('colors are for terminals, unless a variable forces or forbids them', async () => {
  for (const [env, colored] of [[{}, false], [{ CLICOLOR_FORCE: '1' }, true], [{ CLICOLOR_FORCE: '1', NO_COLOR: '1' }, false]]) {
    const { stdout } = await castway(['-h'], { env });
    assert.equal(stdout.includes('\x1b['), colored, JSON.stringify(env));
  }
});

test('usage lines show no setting of the environment or of .env', async () => {
  const cwd = newFolder({ '.env': 'CASTWAY_REALM=of-the-file\n' });
  for (const args of [['user'], ['user', 'add', '-h'], ['-h'], ['--help'], ['backup']]) {
    const { stdout, stderr } = await castway(args, { cwd, env: { CASTWAY_REALM: 'of-the-environment', CASTWAY_STATIC_AUTH_SECRET: 'hunter2-0123456789' } });
    assert.doesNotMatch(stdout + stderr, /of-the-|hunter2/, args.join(' '));
  }
});

test('config check names each problem with its line, hides secrets, and starts and writes nothing', async () => {
  const cwd = newFolder({ '.env': '# settings\nCASTWAY_GRACE=soon\nCASTWAY_REALN=x\nCASTWAY_API_KEYS=hunter2-0123456789\nCASTWAY_CERT=gone.pem\nCASTWAY_PKEY=gone.pem\n' });
  const env = { CASTWAY_TURN_ADDR: '127.0.0.1:8080', CASTWAY_HTTP_ADDR: '127.0.0.1:8080', CASTWAY_STATIC_AUTH_SECRET_FILE: 'none' };
  const { code, stdout, stderr } = await castway(['config', 'check', '--ttl', '60'], { cwd, env });
  assert.equal(code, 64, stderr);
  for (const part of [
    /CASTWAY_GRACE="soon": expected .* \(.*\.env, line 2\)/,
    /did you mean CASTWAY_REALM\? \(.*\.env, line 3\)/,
    /CASTWAY_STATIC_AUTH_SECRET_FILE="none": expected .*there is no such file.*\(environment\)/,
    /CASTWAY_TURN_ADDR="127\.0\.0\.1:8080": expected another TCP port than that of CASTWAY_HTTP_ADDR/,
    /CASTWAY_CERT="gone\.pem" can't be read: No such file or directory \(.*\.env, line 5\)/,
    /CASTWAY_API_KEYS +\(not shown\) +.*\.env, line 4/,
    /CASTWAY_TTL +60 +--ttl/,
    /The settings can't be used\./,
  ]) {
    assert.match(stdout, part);
  }
  assert.ok(!`${stdout}${stderr}`.includes('hunter2'));
  assert.deepEqual(readdirSync(cwd), ['.env']);
  const json = JSON.parse((await castway(['config', 'check', '--json'], { cwd, env })).stdout);
  assert.equal(json.ok, false);
  const grace = json.settings.find(({ name }) => name === 'CASTWAY_GRACE');
  assert.deepEqual([grace.value, grace.origin], ['soon', { place: 'file', file: join(cwd, '.env'), line: 2 }]);
  assert.ok(!JSON.stringify(json).includes('hunter2'));
});

test('config check shows no user and no password of a URL', async () => {
  const env = { CASTWAY_PUBLIC_URL: 'https://user:hunter2@cast.example.org/', CASTWAY_ACME_DIRECTORY: 'https://user:hunter2@ca.example.org/directory' };
  for (const args of [['config', 'check'], ['config', 'check', '--json'], []]) {
    const { code, stdout, stderr } = await castway(args, { env });
    assert.equal(code, 64, stderr);
    for (const host of ['cast', 'ca']) assert.ok(`${stdout}${stderr}`.includes(`https://(not shown)@${host}.example.org/`), `${stdout}${stderr}`);
    assert.ok(!`${stdout}${stderr}`.includes('hunter2'), `${stdout}${stderr}`);
  }
});

test('config check names lines that can not be parsed together with every other problem, and shows what has no effect beside them', async () => {
  const cwd = newFolder({ '.env': 'CASTWAY_GRACE=soon\n\nCASTWAY_REALM=hunter2 words\nCASTWAY_TTL=x\nbad line\nCASTWAY_MIN_PORT=70000\nCASTWAY_WEBHOOK_SECRET=hunter2-0123456789\n' });
  const problems = [
    /CASTWAY_GRACE="soon": expected a whole number/,
    /\.env, line 3 \(the value of CASTWAY_REALM\): expected NAME=value/,
    /CASTWAY_TTL="x": expected a whole number/,
    /\.env, line 5: expected NAME=value/,
    /CASTWAY_MIN_PORT="70000": expected/,
  ];
  const { code, stdout, stderr } = await castway(['config', 'check'], { cwd });
  assert.equal(code, 64, stderr);
  for (const part of [...problems, /CASTWAY_WEBHOOK_SECRET has no effect: neither CASTWAY_WEBHOOK_URL nor/]) assert.match(stdout, part);
  const json = JSON.parse((await castway(['config', 'check', '--json'], { cwd })).stdout);
  assert.deepEqual([json.ok, json.problems.length, json.warnings.length], [false, 5, 1]);
  // The server that does not start says the same.
  const server = await castway([], { cwd });
  assert.equal(server.code, 64);
  for (const part of [...problems, /^castway: 5 settings can't be used:$/m]) assert.match(server.stderr, part);
  assert.match(server.stderr, /\n`castway config check` says where each value comes from\n$/);
  // Files that can not be read count for both.
  const unread = { cwd, env: { CASTWAY_CERT: '/nonexistent.pem', CASTWAY_PKEY: '/nonexistent.pem' } };
  for (const said of [(await castway(['config', 'check'], unread)).stdout, (await castway([], unread)).stderr]) {
    for (const name of ['CASTWAY_CERT', 'CASTWAY_PKEY']) assert.match(said, new RegExp(`${name}="/nonexistent\\.pem" can't be read: No such file`));
    assert.match(said, /7 settings can't be used|The settings can't be used/);
  }
  // Another command does not know for which data folder it is.
  const command = await castway(['user', 'list'], { cwd });
  assert.equal(command.code, 64);
  for (const part of [problems[1], problems[3]]) assert.match(command.stderr, part);
  for (const said of [stdout, JSON.stringify(json), server.stderr, command.stderr]) assert.ok(!said.includes('hunter2'), said);
});

test('config check does not warn of what a setting that can not be used may change', async () => {
  const env = { CASTWAY_WEBHOOK_URL: 'ftp://example.org', CASTWAY_WEBHOOK_SECRET: '0123456789abcdef' };
  const { code, stdout } = await castway(['config', 'check'], { env });
  assert.equal(code, 64);
  assert.match(stdout, /CASTWAY_WEBHOOK_URL.*: expected/);
  assert.doesNotMatch(stdout, /has no effect/);
});

test('half of a certificate is named with what is missing', async () => {
  const { code, stdout } = await castway(['config', 'check', '--cert', 'chain.pem'], { cwd: newFolder({ 'chain.pem': '' }) });
  assert.equal(code, 64);
  assert.match(stdout, /^ {2}CASTWAY_PKEY is not set: expected the file with the private key of CASTWAY_CERT$/m);
});

test('config check compares with the server that runs, and its exit status is 0 where all can be used', () =>
  withServer({ CASTWAY_GRACE: '7' }, async (server) => {
    const same = await server.cli(['config', 'check']);
    assert.equal(same.code, 0, same.stdout);
    assert.match(same.stdout, /was started with the same settings, apart from secrets/);
    server.settings.CASTWAY_GRACE = '9';
    const other = await server.cli(['config', 'check']);
    assert.equal(other.code, 0);
    assert.match(other.stdout, /was started with other settings:\nSETTING +HERE +RUNNING\nCASTWAY_GRACE +9 +7\n/);
    server.settings.CASTWAY_GRACE = '7';
  }));

test('completions and man pages are what real shells and man take', async () => {
  const written = newFolder();
  assert.match((await castway(['man', written])).stdout, /^Wrote \d+ man pages/);
  assert.ok(existsSync(join(written, 'castway-user-add.1')));
  for (const shell of ['bash', 'zsh', 'fish']) writeFileSync(join(written, shell), (await castway(['completions', shell])).stdout);
  execFileSync('bash', ['-n', join(written, 'bash')]);
  const completed = execFileSync('bash', ['-c', `
    source ${join(written, 'bash')}
    COMP_WORDS=(castway user a) COMP_CWORD=2
    _castway castway a user
    printf '%s\\n' "\${COMPREPLY[@]}"`], { encoding: 'utf8' });
  assert.equal(completed, 'add\n');
});
