// `castway import coturn`: Debian's turnadmin makes a database, the settings and the users are taken over, and coturn's client logs in with the
// passwords of before.
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { blocks } from '../documents/documents.mjs';
import { run } from './support/process.mjs';
import { startServer, withServer } from './support/server.mjs';
import { verify } from './support/turn.mjs';

const REALM = 'north.example';
const SECRET = 'a-secret-of-turnadmin-0123';
const PASSWORDS = { alice: "alice's old password", dave: 'a password of the file', erin: 'known by its key' };

let folder;
let server;
const at = (name) => join(folder, name);

// turnadmin prints its answer to standard output and its log to standard error.
async function turnadmin(...args) {
  const { code, output } = await run('turnadmin', [...args, '-b', at('turndb')]);
  assert.equal(code, 0, output);
  return output;
}

// The settings of a file that the import has written.
const settingsOf = (path) => Object.fromEntries([...readFileSync(path, 'utf8').matchAll(/^(CASTWAY_\w+)='?(.*?)'?$/gm)].map(([, name, value]) => [name, value]));

before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'castway-coturn-'));
  await turnadmin('-a', '-u', 'alice', '-r', REALM, '-p', PASSWORDS.alice);
  await turnadmin('-a', '-u', 'frank', '-r', REALM, '-p', 'not the one of the file');
  await turnadmin('-a', '-u', 'carol', '-r', 'south.example', '-p', 'x');
  await turnadmin('-a', '-u', '17:gina', '-r', REALM, '-p', 'x');
  await turnadmin('-s', SECRET, '-r', REALM);
  await turnadmin('-g', '-r', REALM, '--max-bps=500000', '--user-quota=10');
  await turnadmin('-O', '-o', 'http://north.example:80', '-r', REALM);
  await turnadmin('-A', '-u', 'bayaz', '-p', 'magi');
  const [key] = (await turnadmin('-k', '-u', 'erin', '-r', REALM, '-p', PASSWORDS.erin)).match(/0x[0-9a-f]{32}/);
  writeFileSync(
    at('turnserver.conf'),
    `# A server of before.\nlt-cred-mech\nfingerprint\nrealm=${REALM}\nuser=dave:${PASSWORDS.dave}\nuser=erin:${key}\nuser=frank:other\ntotal-quota=100\nno-cli\n`,
  );
  server = await startServer({ CASTWAY_REALM: REALM, CASTWAY_TURN_ACCESS: 'users' });
});
after(async () => {
  await server?.close();
  rmSync(folder, { recursive: true, force: true });
});

const importing = (...args) => server.cli(['import', 'coturn', '--config', at('turnserver.conf'), '--db', at('turndb'), ...args]);

describe('what the import prints', () => {
  test('each line becomes a setting or a sentence, and no secret is shown', async () => {
    const { code, stdout, stderr } = await importing('--write-env', at('castway.env'));
    assert.equal(code, 0, stderr);
    for (const line of [
      'line 2: lt-cred-mech → nothing: The relay always asks for long-term credentials.',
      `line 4: realm=${REALM} → CASTWAY_REALM=${REALM}`,
      'line 5: user=dave:(not shown) → the user "dave", with the password',
      'line 6: user=erin:(not shown) → the user "erin", with the key',
      'line 8: total-quota=100 → CASTWAY_TOTAL_QUOTA=100',
      `database: max-bps=500000 of realm "${REALM}" → CASTWAY_MAX_BPS=500000`,
      `database: user-quota=10 of realm "${REALM}" → CASTWAY_USER_QUOTA=10`,
    ]) {
      assert.ok(stdout.split('\n').includes(line), `${line}\n\n${stdout}`);
    }
    assert.match(stdout, /^database: 1 user \(carol\) → nothing: Their keys hold in the realm "south\.example" alone/m);
    assert.match(stdout, /^database: 1 administrator \(bayaz\) → nothing: .*castway user add --operator/m);
    assert.match(stdout, /^database: secret of realm "north\.example" → nothing: turnserver uses it with use-auth-secret alone/m);
    assert.match(stdout, /^4 users \(alice, dave, erin, frank\) can be taken over/m);
    assert.match(stdout, /^"17:gina" can't be taken over: a user name can't begin with digits and a colon/m);
    for (const secret of [...Object.values(PASSWORDS), SECRET]) assert.ok(!(stdout + stderr).includes(secret));
    assert.deepEqual(settingsOf(at('castway.env')), {
      CASTWAY_MAX_BPS: '500000', CASTWAY_REALM: REALM, CASTWAY_TOTAL_QUOTA: '100', CASTWAY_USER_QUOTA: '10',
    });
    assert.equal(statSync(at('castway.env')).mode & 0o777, 0o600);
    assert.equal(JSON.parse((await server.cli(['user', 'list', '--json'])).stdout).length, 0, 'nobody is added unasked');
  });

  test('a file is never replaced', async () => {
    writeFileSync(at('there.env'), 'x');
    const { code, stderr } = await importing('--write-env', at('there.env'));
    assert.deepEqual([code, readFileSync(at('there.env'), 'utf8')], [1, 'x']);
    assert.match(stderr, /must not exist yet/);
  });

  test('the arguments of turnserver are read as well', async () => {
    const { stdout } = await server.cli(['import', 'coturn', '--', '-n', '--realm', 'south.example', '-p', '3479', '--no-tls']);
    assert.match(stdout, /^argument 4: listening-port=3479 → CASTWAY_TURN_ADDR=\[::\]:3479$/m);
    assert.match(stdout, /^CASTWAY_REALM=south\.example$/m);
  });

  test('without anything to read it says what to name', async () => {
    const { code, stderr } = await server.cli(['import', 'coturn', '--add-users']);
    assert.equal(code, 64);
    assert.match(stderr, /--config FILE or --db FILE/);
  });
});

describe('users', () => {
  before(async () => {
    await server.cli(['user', 'add', 'frank', '--password-stdin'], 'a password of this server\n');
    const { code, stdout, stderr } = await importing('--add-users');
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^3 users \(alice, dave, erin\): added\.$/m);
    assert.match(stdout, /^1 user \(frank\): there already with another password, and not changed/m);
  });

  for (const [name, password] of Object.entries(PASSWORDS)) {
    test(`${name} relays data of coturn's client with the password of before`, async () => {
      const args = ['-y', '-n', '5', '-z', '10', '-u', name, '-w', password, '-p', String(server.turnPort), '127.0.0.1'];
      const { code, output } = await run('turnutils_uclient', args);
      assert.equal(code, 0, output);
      assert.match(output, /tot_send_msgs=(\d+), tot_recv_msgs=\1\n/);
    });
    test(`${name} gets credentials from /turn with it, and with no other`, async () => {
      const ask = (password) =>
        fetch(`${server.url}/turn`, { headers: { authorization: `Basic ${Buffer.from(`${name}:${password}`).toString('base64')}` } });
      const answer = await ask(password);
      assert.equal(answer.status, 200);
      const { username, password: issued } = await answer.json();
      assert.equal(await verify({ port: server.turnPort, transport: 'udp', username, password: issued }), 'allocated');
      assert.equal((await ask(`${password}!`)).status, 401);
    });
  }

  test('a second import changes nothing', async () => {
    const { code, stdout, stderr } = await importing('--add-users');
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^3 users \(alice, dave, erin\): there already with the same password\.$/m);
    assert.doesNotMatch(stdout, /: added/);
  });

  test('the list says who has a key alone, and such a user becomes no administrator', async () => {
    const { stdout } = await server.cli(['user', 'list']);
    assert.match(stdout, /^alice .*imported with its key; the relay knows it by MD5 alone/m);
    assert.doesNotMatch(stdout, /^dave .*imported/m);
    assert.match((await server.cli(['user', 'promote', 'alice'])).stderr, /"alice" was imported with a key/);
    await server.cli(['user', 'passwd', 'erin', '--password-stdin'], 'a new password of erin\n');
    assert.doesNotMatch((await server.cli(['user', 'list'])).stdout, /^erin .*imported/m);
  });

  test('keys are refused where the server has another realm, with what to do', () =>
    withServer({ CASTWAY_REALM: 'elsewhere.example' }, async (server) => {
      const { code, stdout, stderr } = await server.cli(['import', 'coturn', '--config', at('turnserver.conf'), '--add-users']);
      assert.deepEqual([code, stdout], [1, ''], 'the report does not hide the reason');
      assert.match(stderr, /hold in the realm "north\.example" alone, and the server has the realm "elsewhere\.example": set CASTWAY_REALM=north\.example/);
    }));

  test('without a database nothing but the reason is said', async () => {
    const { code, stdout, stderr } = await importing('--add-users', '--data-dir', at('nowhere'));
    assert.deepEqual([code, stdout], [1, '']);
    assert.match(stderr, /there is no castway database in/);
  });
});

describe('docs/coturn.md', () => {
  const commands = blocks('docs/coturn.md').map(({ text }) => text.trim().replace(/^sudo /, '')).filter((text) => text.startsWith('castway import coturn'));
  for (const command of commands) {
    test(command, async () => {
      const own = { '/etc/turnserver.conf': at('turnserver.conf'), '/var/lib/turn/turndb': at('turndb'), 'castway.env': at('documented.env') };
      const args = command.split(/\s+/).slice(1).map((word) => own[word] ?? word);
      const { code, stdout, stderr } = await server.cli(args);
      assert.equal(code, 0, stderr);
      assert.match(stdout, /^Settings:$/m);
    });
  }

  test('names four commands', () => assert.equal(commands.length, 4));
});

test('the secrets of before sign credentials', async () => {
  writeFileSync(at('secret.conf'), `use-auth-secret\nrealm=${REALM}\nstatic-auth-secret=the one of the file\n`);
  const args = ['import', 'coturn', '--config', at('secret.conf'), '--db', at('turndb'), '--write-env', at('secret.env')];
  const { code, stdout, stderr } = await server.cli(args);
  assert.equal(code, 0, stderr);
  assert.match(stdout, /^database: 3 users \(.*alice.*\) → nothing: turnserver ignores users beside a secret/m);
  const settings = settingsOf(at('secret.env'));
  assert.equal(settings.CASTWAY_STATIC_AUTH_SECRET, `the one of the file,${SECRET}`);
  await withServer(settings, async (server) => {
    for (const secret of ['the one of the file', SECRET]) {
      const username = `${Math.floor(Date.now() / 1000) + 3600}:alice`;
      const password = createHmac('sha1', secret).update(username).digest('base64');
      assert.equal(await verify({ port: server.turnPort, transport: 'udp', username, password }), 'allocated');
    }
  });
});
