// The filter and the jail of deploy/fail2ban, with Debian's fail2ban and the log of a running server.
import assert from 'node:assert/strict';
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { closeAll, connect } from './support/clients.mjs';
import { inParallel, tryKey, tryPassword } from './support/guessing.mjs';
import { connect as connectUser, room } from './support/multi.mjs';
import { freePort } from './support/ports.mjs';
import { Program, run } from './support/process.mjs';
import { withServer } from './support/server.mjs';
import { TIMEOUT_MS, until } from './support/wait.mjs';

const deploy = fileURLToPath(new URL('../../deploy/fail2ban', import.meta.url));
const filter = join(deploy, 'filter.d/castway.conf');
// One address for each kind, so that the filter's findings tell them apart.
const [CODE, ROOM, ADMIN, TURN, DATAGRAM] = ['127.0.0.11', '127.0.0.12', '127.0.0.13', '127.0.0.14', '127.0.0.15'];
const IPV6 = '::1';
const MISTYPES = '127.0.0.16';

let folder;
before(() => {
  folder = mkdtempSync(join(tmpdir(), 'castway-fail2ban-'));
});
after(() => rmSync(folder, { recursive: true, force: true }));
afterEach(closeAll);

const settings = async (more) => {
  const port = await freePort();
  return {
    CASTWAY_HTTP_ADDR: `127.0.0.1:${port},[::1]:${port}`,
    CASTWAY_TURN_ACCESS: 'key',
    CASTWAY_API_KEYS: 'a-key-of-sixteen-or-more',
    ...more,
  };
};
const at = (server, host) => `http://${host}:${server.httpAddr.split(':')[1]}`;

// One wrong attempt of each kind. The API key is tried often enough for a ban.
async function attack(server) {
  await server.addUser('alice');
  await (await connect(server, { from: CODE })).ask('JOIN_ROOM', 'AAAAAA');
  await (await connectUser(server, 'host')).ask('open-room', room('locked', { password: 'right' }));
  await (await connectUser(server, 'guest', { from: ROOM })).ask('join-room', room('locked', { password: 'wrong' }));
  const admin = await connectUser(server, 'admin', { adminUserName: 'alice', adminPassword: 'wrong', from: ADMIN });
  await admin.until('a verdict', (heard) => heard.length > 0);
  const turn = { port: server.turnPort, username: 'alice', password: 'wrong' };
  await tryPassword({ ...turn, transport: 'tcp', local: TURN }, TIMEOUT_MS);
  await tryPassword({ ...turn, local: DATAGRAM }, TIMEOUT_MS);
  await inParallel(130, () => tryKey(at(server, `[${IPV6}]`), 'wrong', IPV6));
  await inParallel(130, () => tryKey(at(server, '127.0.0.1'), 'wrong', TURN));
  for (let i = 0; i < 5; i += 1) await tryKey(at(server, '127.0.0.1'), 'wrong', MISTYPES);
  const kinds = ['code', 'room_password', 'admin_password', 'turn_password', 'turn_password_udp'].map((kind) => new RegExp(`wrong ${kind}[ "]`));
  const counts = [[IPV6, 125], [TURN, 125], [MISTYPES, 5]].map(([address, failures]) => new RegExp(`${address}\\W+failures\\W+${failures}\\b`));
  const logged = () => [...kinds, ...counts].every((line) => line.test(server.log));
  await until('all lines are logged', logged, Boolean, { show: () => server.log.slice(-2000) });
  return server.log;
}

// The address in each line that the filter matches, in order.
async function found(log) {
  const { code, output } = await run('fail2ban-regex', ['--out', 'ip', log, filter]);
  assert.equal(code, 0, output);
  return output.trim().split('\n').filter(Boolean);
}

const EXPECTED = [ADMIN, CODE, IPV6, IPV6, IPV6, IPV6, MISTYPES, MISTYPES, ROOM, TURN, TURN, TURN, TURN, TURN].sort();

for (const format of ['text', 'json']) {
  test(`the filter finds every kind in the log as ${format}, and nobody over UDP`, () =>
    withServer(() => settings({ CASTWAY_LOG_FORMAT: format }), async (server) => {
      const log = await attack(server);
      const file = join(folder, `${format}.log`);
      writeFileSync(file, log);
      assert.deepEqual((await found(file)).sort(), EXPECTED);
      // The line formats of the journal and of syslog.
      for (const [name, prefix] of [['journal', 'relay castway[4711]: '], ['syslog', 'Nov 28 11:36:29 relay castway[4711]: ']]) {
        const prefixed = join(folder, `${format}-${name}.log`);
        writeFileSync(prefixed, log.split('\n').map((line) => line && prefix + line).join('\n'));
        assert.deepEqual((await found(prefixed)).sort(), EXPECTED, name);
      }
    }));
}

test('what a client sends is no line of the filter', async () => {
  const file = join(folder, 'forged.log');
  const forged = 'wrong code address=192.0.2.1 failures=5';
  const time = '2026-11-28T11:36:29.123456Z';
  const lines = [
    `${time}  INFO a user was added user="INFO ${forged}"`,
    `${time}  INFO a user was added user=INFO ${forged}`,
    `${time}  WARN ${forged}`,
    `${time}  INFO wrong code address=192.0.2.1 failures=5 more`,
    `${time}  INFO wrong turn_password_udp address=192.0.2.1 failures=5`,
    `{"timestamp":"${time}","level":"INFO","message":"x","user":"{\\"level\\":\\"INFO\\",\\"message\\":\\"wrong code\\",\\"address\\":\\"192.0.2.1\\",\\"failures\\":5,\\"target\\":\\"castway::app\\"}"}`,
    `${time}  INFO wrong code address=192.0.2.7 failures=5`,
    `${time}  INFO wrong user_password address=192.0.2.8 failures=5`,
  ];
  writeFileSync(file, `${lines.join('\n')}\n`);
  assert.deepEqual(await found(file), ['192.0.2.7', '192.0.2.8']);
});

test('fail2ban bans who goes on, by IPv4 and IPv6, and nobody who mistypes', () =>
  withServer(() => settings(), async (server) => {
    const log = await attack(server);
    const config = join(folder, 'etc');
    cpSync('/etc/fail2ban', config, { recursive: true });
    // No other jail runs, and a ban is a line in a file.
    rmSync(join(config, 'jail.d'), { recursive: true, force: true });
    cpSync(deploy, config, { recursive: true });
    const [file, bans] = [join(folder, 'server.log'), join(folder, 'bans')];
    writeFileSync(file, log);
    writeFileSync(join(config, 'action.d/note.conf'), `[Definition]\nactionban = echo '<ip> <family>' >> ${bans}\nactionunban =\n`);
    const local = `[sshd]\nenabled = false\n[castway]\nbackend = polling\nlogpath = ${file}\nignoreself = false\nignoreip =\naction = note\n`;
    writeFileSync(join(config, 'jail.local'), local);
    writeFileSync(join(config, 'fail2ban.local'), '[Definition]\nlogtarget = STDOUT\ndbfile = None\n');
    const paths = ['-c', config, '-s', join(folder, 'socket'), '-p', join(folder, 'pid')];
    const fail2ban = new Program('fail2ban-server', ['-f', ...paths, '-x', 'start']);
    try {
      const banned = () => (existsSync(bans) ? readFileSync(bans, 'utf8').trim().split('\n').sort() : []);
      const show = () => fail2ban.output.slice(-2000);
      assert.deepEqual(await until('two bans', banned, (list) => list.length >= 2, { show }), [`${TURN} inet4`, `${IPV6} inet6`].sort());
      // fail2ban has read all lines, but clients that only mistyped have fewer lines than a ban requires.
      const status = async () => (await run('fail2ban-client', [...paths, 'status', 'castway'])).output;
      const all = new RegExp(`Total failed:\\s*${EXPECTED.length}\n`);
      assert.match(await until('all lines are read', status, (output) => all.test(output)), /Total banned:\s*2/);
    } finally {
      await fail2ban.close();
    }
  }));
