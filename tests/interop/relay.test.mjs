// Our credentials at Debian's coturn and at our relay.
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { freePort, onFreePorts } from './support/ports.mjs';
import { Program, run } from './support/process.mjs';
import { startServer } from './support/server.mjs';
import { relayBothWays, TurnClient, verify } from './support/turn.mjs';
import { until } from './support/wait.mjs';

const SECRET = 'a-shared-secret-of-the-test';
const now = () => Math.floor(Date.now() / 1000);
const signed = (username, secret = SECRET) => ({ username, password: createHmac('sha1', secret).update(username).digest('base64') });
// Usernames in the forms of other issuers, which coturn accepts.
const foreign = () => ({
  'an expiry in a year': `${now() + 31_536_000}:x`,
  'the user first': `x:${now() + 600}`,
  'no user': `${now() + 600}:`,
  'the expiry alone': `${now() + 600}`,
  'a user of digits': `${now() + 600}:392938130`,
});
// coturn cuts these expiries to 32 bits, so whether it accepts them depends on the day.
const inMilliseconds = () => ({
  'an expiry in milliseconds': `${Date.now() + 31_536_000_000}:x`,
  'the user first, in milliseconds': `x:${Date.now() + 600_000}`,
});
// With her password alice gets credentials that coturn accepts, too.
const signIn = { headers: { authorization: `Basic ${Buffer.from('alice:alice-password-1').toString('base64')}` } };
const viaRest = async (server) => (await fetch(`${server.url}/turn?username=alice`, signIn)).json();
const viaCli = async (server) => {
  const { stdout } = await server.cli(['credentials', 'alice']);
  const username = stdout.match(/\d{10}:alice/)[0];
  const password = stdout.match(/[A-Za-z0-9+/]{27}=/)[0];
  return { username, password };
};

const uclient = (port, { username, password }) =>
  run('turnutils_uclient', ['-y', '-c', '-m', '2', '-n', '20', '-z', '10', '-u', username, '-w', password, '-p', String(port), '127.0.0.1']);

const lostNothing = ({ code, output }) => {
  assert.equal(code, 0, output);
  assert.match(output, /Total lost packets 0 \(0\.0+%\)/, output);
  assert.match(output, /tot_send_msgs=\d*[1-9]\d*, tot_recv_msgs=\d*[1-9]/, output);
};

let server;
before(async () => {
  server = await startServer({ CASTWAY_STATIC_AUTH_SECRET: `${SECRET},an-older-secret` });
  await server.addUser('alice');
});
after(() => server?.close());

describe("at Debian's coturn with the same secret", () => {
  let coturn;
  let port;
  let folder;
  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'castway-coturn-'));
    await onFreePorts(async () => {
      port = await freePort();
      const args = [
        '-n', '--use-auth-secret', `--static-auth-secret=${SECRET}`, '--realm=coturn.example', '--listening-ip=127.0.0.1', '--relay-ip=127.0.0.1',
        `--listening-port=${port}`, '--allow-loopback-peers', '--no-tls', '--no-dtls', '--no-cli', '--no-rfc5780', '--log-file=stdout', '--simple-log',
        `--pidfile=${join(folder, 'pid')}`, `--userdb=${join(folder, 'turndb')}`,
      ];
      coturn = new Program('turnserver', args, { cwd: folder });
      await coturn.ready(async () => (await new TurnClient({ port }).ready(1000)) ?? true);
    });
  });
  after(async () => {
    await coturn?.close();
    if (folder) rmSync(folder, { recursive: true, force: true });
  });

  // coturn keeps an allocation that was freed for a moment, and answers 437 if the next client has the same port.
  const verifyAtCoturn = (credentials) =>
    until('coturn answers', () => verify({ port, ...credentials }).catch((error) => {
      if (/got 437/.test(error.message)) return null;
      throw error;
    }), (result) => result !== null);

  test('what other issuers write is accepted', async () => {
    for (const [what, username] of Object.entries(foreign())) assert.equal(await verifyAtCoturn(signed(username)), 'allocated', what);
  });

  test('those of GET /turn are accepted', async () => {
    const granted = await viaRest(server);
    assert.equal(await relayBothWays({ port, ...granted }), 'relayed');
    lostNothing(await uclient(port, granted));
  });

  test('those of castway credentials are accepted', async () => {
    assert.equal(await relayBothWays({ port, ...(await viaCli(server)) }), 'relayed');
  });

  test('and coturn does look at them', async () => {
    const granted = await viaRest(server);
    assert.equal(await verifyAtCoturn({ ...granted, password: 'wrong' }), 401);
  });
});

describe('at our own relay', () => {
  test('data goes both ways with the credentials of GET /turn', async () => {
    const granted = await viaRest(server);
    assert.equal(await relayBothWays({ port: server.turnPort, ...granted }), 'relayed');
  });

  test('data goes both ways with those of castway credentials', async () => {
    assert.equal(await relayBothWays({ port: server.turnPort, ...(await viaCli(server)) }), 'relayed');
  });

  test('every configured secret verifies', async () => {
    const username = `${now() + 600}:anyone`;
    assert.equal(await verify({ port: server.turnPort, ...signed(username) }), 'allocated');
    assert.equal(await verify({ port: server.turnPort, ...signed(username, 'an-older-secret') }), 'allocated');
  });

  test('a user of the database is a long-term credential, until disabled', async () => {
    await server.addUser('carol', 'a-long-enough-password');
    const carol = { port: server.turnPort, username: 'carol', password: 'a-long-enough-password' };
    assert.equal(await relayBothWays(carol), 'relayed');
    assert.equal((await server.cli(['user', 'disable', 'carol'])).code, 0);
    await until('carol is refused', () => verify(carol), (result) => result !== 'allocated');
  });

  test('those of another issuer with a configured secret are taken as coturn takes them', async () => {
    for (const [what, username] of Object.entries({ ...foreign(), ...inMilliseconds() })) {
      assert.equal(await relayBothWays({ port: server.turnPort, ...signed(username) }), 'relayed', what);
    }
    // One line a day reports all of them together.
    await until('the log names their life', () => server.log.match(/live longer than CASTWAY_TTL/g)?.length);
    assert.equal(server.log.match(/live longer than CASTWAY_TTL/g).length, 1);
  });

  test('CASTWAY_MAX_FOREIGN_TTL limits their life, with five minutes for clocks that differ', async () => {
    const limited = await startServer({ CASTWAY_STATIC_AUTH_SECRET: SECRET, CASTWAY_MAX_FOREIGN_TTL: '86400' });
    try {
      for (const [ahead, result] of [[600, 'allocated'], [86_400 + 280, 'allocated'], [86_400 + 900, 401], [31_536_000, 401]]) {
        for (const username of [`${now() + ahead}:x`, `${(now() + ahead) * 1000}:x`, `x:${now() + ahead}`]) {
          assert.equal(await verify({ port: limited.turnPort, ...signed(username) }), result, username);
        }
      }
    } finally {
      await limited.close();
    }
  });

  test('wrong, unsigned and expired ones are refused', async () => {
    const granted = await viaRest(server);
    const bad = {
      'a wrong password': { ...granted, password: 'wrong' },
      'an empty password': { ...granted, password: '' },
      'another user under the same password': { ...granted, username: granted.username.replace('alice', 'bob') },
      'another secret': signed(`${now() + 600}:x`, 'a-secret-of-somebody-else'),
      'an expired one': signed(`${now() - 310}:x`),
      'an expired one in milliseconds': signed(`${Date.now() - 310_000}:x`),
      'an expired one, the user first': signed(`x:${now() - 310}`),
      'no expiry': signed('x'),
      'no expiry where it should be': signed(`x:${now() + 600}:y`),
      'a plain user with a wrong password': { username: 'alice', password: 'wrong' },
    };
    for (const [what, credentials] of Object.entries(bad)) {
      const result = await verify({ port: server.turnPort, ...credentials });
      assert.equal(result, 401, what);
    }
  });

  test('a loopback peer other than a relayed address is refused', async () => {
    const client = new TurnClient({ port: server.turnPort, ...(await viaRest(server)) });
    const victim = createSocket('udp4');
    try {
      assert.equal(await client.allocate(), 0);
      victim.bind(0, '127.0.0.1');
      await once(victim, 'listening');
      const received = [];
      victim.on('message', (data) => received.push(String(data)));
      const peer = { address: '127.0.0.1', port: victim.address().port };
      await client.permit(peer);
      for (let i = 0; i < 5; i += 1) client.send(peer, Buffer.from('hello'));
      // When these requests are answered, the relay has handled everything sent before them, and its packets precede our own datagram.
      for (let i = 0; i < 2; i += 1) await client.permit(peer);
      victim.send('ours', peer.port, peer.address);
      await until('our own datagram comes', () => received.length);
      assert.deepEqual(received, ['ours']);
    } finally {
      victim.close();
      await client.close();
    }
  });
});
