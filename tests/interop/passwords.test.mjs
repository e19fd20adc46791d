// Passwords that SASLprep changes: users log in with what they typed, which is what clients send, and with the SASLprep form.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { run } from './support/process.mjs';
import { startServer, withServer } from './support/server.mjs';
import { verify } from './support/turn.mjs';

const PASSWORDS = {
  digits: { what: 'full-width digits', typed: '１２３４５６７８', prepared: '12345678' },
  space: { what: 'a no-break space', typed: 'correct\u{a0}horse', prepared: 'correct horse' },
  accent: { what: 'a letter and its accent apart', typed: 'cafe\u{301} au lait', prepared: 'caf\u{e9} au lait' },
};

let server;

before(async () => {
  server = await startServer({ CASTWAY_TURN_ACCESS: 'users' });
  for (const [user, { typed }] of Object.entries(PASSWORDS)) await server.addUser(user, typed);
});

after(() => server?.close());

const basic = (user, password) =>
  fetch(`${server.url}/turn`, { headers: { authorization: `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}` } });
const form = (username, password) => fetch(`${server.url}/turn`, { method: 'POST', body: new URLSearchParams({ username, password }) });

for (const [user, { what, typed, prepared }] of Object.entries(PASSWORDS)) {
  describe(`a password with ${what}`, () => {
    for (const [form, password] of Object.entries({ typed, prepared })) {
      for (const transport of ['udp', 'tcp']) {
        test(`logs in to the relay as ${form} over ${transport}`, async () =>
          assert.equal(await verify({ port: server.turnPort, transport, username: user, password }), 'allocated'));
      }
      test(`relays data of coturn's client as ${form}`, async () => {
        const args = ['-y', '-n', '5', '-z', '10', '-u', user, '-w', password, '-p', String(server.turnPort), '127.0.0.1'];
        const { code, output } = await run('turnutils_uclient', args);
        assert.equal(code, 0, output);
        assert.match(output, /tot_send_msgs=(\d+), tot_recv_msgs=\1\n/);
      });
    }

    test('is right at /turn in each form, and another one is not', async () => {
      for (const ask of [basic, form]) {
        for (const password of [typed, prepared]) assert.equal((await ask(user, password)).status, 200);
        assert.equal((await ask(user, `${prepared}!`)).status, 401);
      }
      assert.equal(await verify({ port: server.turnPort, transport: 'tcp', username: user, password: `${prepared}!` }), 401);
    });
  });
}

test('a password of both forms needs nothing more, and the list of users says nothing', async () => {
  const { stdout } = await server.cli(['user', 'list']);
  assert.equal(stdout.split('\n').filter((line) => /enabled/.test(line)).length, 3, stdout);
  assert.doesNotMatch(stdout, /again/);
  const listed = JSON.parse((await server.cli(['user', 'list', '--json'])).stdout);
  assert.deepEqual(listed.map((user) => user.has_typed_key), [true, true, true]);
});

test('the list says who is blocked, and an operator has neither credentials nor a quota', () =>
  withServer({}, async (server) => {
    await server.addUser('carol', 'a-password-of-carol');
    await server.cli(['user', 'add', 'anna', '--operator', '--password-stdin'], 'a-password-of-anna\n');
    assert.equal((await server.cli(['block', 'user:carol'])).code, 0);
    assert.match((await server.cli(['user', 'list'])).stdout, /^carol +blocked +anyone/m);
    const [carol] = JSON.parse((await server.cli(['user', 'list', '--json'])).stdout);
    assert.deepEqual([carol.name, carol.blocked, carol.enabled], ['carol', true, true]);
    assert.match((await server.cli(['credentials', 'carol'])).stderr, /"carol" is blocked; unblock it with: castway unblock user:carol/);
    for (const args of [['credentials', 'anna'], ['user', 'quota', 'anna'], ['user', 'quota', 'anna', '1G', '--scope', 'anyone']]) {
      const { code, stderr } = await server.cli(args);
      assert.equal(code, 1, args.join(' '));
      assert.match(stderr, /"anna" is an operator/, args.join(' '));
    }
    assert.equal((await server.cli(['unblock', 'user:carol'])).code, 0);
    assert.match((await server.cli(['user', 'list'])).stdout, /^carol +enabled/m);
  }));

test('what SASLprep prohibits is refused with the reason, and nothing is stored', async () => {
  for (const password of ['tab\there', '\u{1f600}\u{1f600}\u{1f600}']) {
    const { code, stderr } = await server.cli(['user', 'add', 'emil', '--password-stdin'], `${password}\n`);
    assert.equal(code, 1);
    assert.match(stderr, /SASLprep \(RFC 4013\) prohibits/);
    assert.ok(!stderr.includes(password), stderr);
  }
  assert.doesNotMatch((await server.cli(['user', 'list'])).stdout, /emil/);
});
