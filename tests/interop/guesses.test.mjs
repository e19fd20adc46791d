// Wrong codes, passwords and keys: how many the server checks, of one client and of many, and whether other clients can still get in.
import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { closeAll, connect } from './support/clients.mjs';
import { inParallel, mostLookedAt, tryKey, tryPassword } from './support/guessing.mjs';
import { withServer } from './support/server.mjs';
import { verify } from './support/turn.mjs';
import { until } from './support/wait.mjs';

const ATTACKER = '127.0.0.9';
// Wrong passwords and API keys that one client may try in a minute.
const WRONG_TRIES_A_MINUTE = 20;
const NOBODY = 'AAAAAA';

afterEach(closeAll);

const wrong = (server, kind) => server.metric(`castway_wrong_total{kind="${kind}"}`);
const verdicts = (results) => results.filter((code) => code === 401).length;

async function issued(server, username) {
  const { username: name, password } = await (await fetch(`${server.url}/turn?username=${username}`)).json();
  return { username: name, password };
}

for (const transport of ['tcp', 'tls']) {
  test(`300 passwords of one address over ${transport}: a few get a verdict, and its neighbours allocate`, () =>
    withServer({ CASTWAY_ALLOWED_PEER_IP: '127.0.0.0/8' }, async (server) => {
      for (const user of ['alice', 'bob']) await server.addUser(user);
      const tls = { rejectUnauthorized: false };
      const port = transport === 'tls' ? server.httpsPort : server.turnPort;
      const at = { port, transport, tls, local: ATTACKER };
      const start = Date.now();
      const one = await inParallel(150, (n) => tryPassword({ ...at, username: 'alice', password: `guess ${n}` }));
      const many = await inParallel(150, (n) => tryPassword({ ...at, username: `user${n}`, password: 'guess' }));
      const counted = verdicts([...one, ...many]);
      assert.ok(counted <= mostLookedAt(WRONG_TRIES_A_MINUTE, start), `${counted} verdicts`);
      assert.ok(verdicts(one) > 0, 'who mistypes is told');
      assert.ok(!one.includes(0) && !many.includes(0));

      // Behind the same address, all others can allocate: signed credentials, another user, the same user over UDP, and over a stream.
      assert.equal(await verify({ ...at, ...(await issued(server, 'alice')) }), 'allocated');
      assert.equal(await verify({ ...at, username: 'bob', password: 'bob-password-1' }), 'allocated');
      const alice = { username: 'alice', password: 'alice-password-1' };
      assert.equal(await verify({ port: server.turnPort, local: ATTACKER, ...alice }), 'allocated');
      assert.equal(await verify({ ...at, ...alice }), 'allocated');
      assert.ok((await wrong(server, 'turn_password')) >= WRONG_TRIES_A_MINUTE);
      assert.equal(await wrong(server, 'turn_password_udp'), 0);
      await until('the log names the address', () => server.logged(new RegExp(`INFO wrong turn_password address=${ATTACKER} failures=5$`)).length);
      assert.deepEqual(server.logged(/guess \d/), [], 'no password is logged');
    }));
}

test('wrong signed credentials get few verdicts, and right ones are heard meanwhile', () =>
  withServer({}, async (server) => {
    await server.addUser('alice');
    const right = await issued(server, 'alice');
    const at = { port: server.turnPort, transport: 'tcp', local: ATTACKER };
    const start = Date.now();
    const attack = inParallel(200, (n) => tryPassword({ ...at, username: right.username, password: `guess ${n}` }));
    for (let i = 0; i < 5; i += 1) assert.equal(await verify({ ...at, ...right }), 'allocated');
    const counted = verdicts(await attack);
    assert.ok(counted <= mostLookedAt(WRONG_TRIES_A_MINUTE, start), `${counted} verdicts`);
  }));

test('old credentials of neighbours keep nobody out who has mistyped once, and each counts once', () =>
  withServer({}, async (server) => {
    for (const user of ['alice', 'bob']) await server.addUser(user);
    const { username } = await issued(server, 'bob');
    const at = { port: server.turnPort, transport: 'tcp', local: ATTACKER };
    assert.equal(await tryPassword({ ...at, username: 'alice', password: 'mistyped' }), 401);
    await inParallel(50, () => tryPassword({ ...at, username, password: 'old' }));
    let waiting = true;
    const neighbours = async () => {
      let sent = 0;
      for (; waiting; sent += 5) await inParallel(5, () => tryPassword({ ...at, username, password: 'old' }));
      return sent;
    };
    const [sent, answer] = await Promise.all([
      neighbours(),
      verify({ ...at, username: 'alice', password: 'alice-password-1' }).finally(() => {
        waiting = false;
      }),
    ]);
    assert.equal(answer, 'allocated');
    const counted = await wrong(server, 'turn_password');
    assert.ok(counted <= 51 + sent, `${counted} for ${51 + sent} requests`);
  }));

test('wrong API keys are refused after a few, and a right one passes', () =>
  withServer({ CASTWAY_TURN_ACCESS: 'key', CASTWAY_API_KEYS: 'a-key-of-sixteen-or-more' }, async (server) => {
    await server.addUser('alice');
    const start = Date.now();
    const statuses = await inParallel(200, (n) => tryKey(server.url, `guess${n}`, ATTACKER));
    assert.deepEqual([...new Set(statuses)].sort(), [401, 429]);
    const counted = verdicts(statuses);
    assert.ok(counted <= mostLookedAt(WRONG_TRIES_A_MINUTE, start), `${counted} verdicts`);
    assert.equal(await tryKey(server.url, 'a-key-of-sixteen-or-more', ATTACKER), 200);
    assert.equal(await wrong(server, 'api_key'), 200);
  }));

test('codes that many addresses guess are bounded together, and who has not guessed joins', () =>
  withServer({}, async (server) => {
    const tv = await connect(server, { label: 'TV', from: '127.0.0.200' });
    const { code } = await tv.ask('TV_INIT');
    const ADDRESSES = 60;
    const start = Date.now();
    const guesses = await inParallel(ADDRESSES, async (n) => {
      const guesser = await connect(server, { label: `guesser ${n}`, from: `127.0.1.${n + 1}` });
      let heard = 0;
      // The limit of one address is 20.
      for (let i = 0; i < 10; i += 1) heard += (await guesser.ask('JOIN_ROOM', NOBODY)).error.code === 'unknown_code';
      return heard;
    });
    const heard = guesses.reduce((sum, count) => sum + count, 0);
    const together = 100 * (1 + Math.ceil((Date.now() - start) / 60_000));
    assert.ok(guesses.every((count) => count > 0), 'the first try of each address is heard');
    assert.ok(heard <= ADDRESSES + together, `${heard} of ${ADDRESSES * 10} heard`);
    const caster = await connect(server, { label: 'caster', from: '127.0.0.201' });
    assert.equal((await caster.ask('JOIN_ROOM', code)).ok, true);
  }));

test('the lines of the log have one form as JSON, too', () =>
  withServer({ CASTWAY_LOG_FORMAT: 'json' }, async (server) => {
    const guesser = await connect(server, { label: 'guesser', from: ATTACKER });
    for (let i = 0; i < 5; i += 1) await guesser.ask('JOIN_ROOM', NOBODY);
    const lines = () => server.log.split('\n').filter((line) => line.includes('"wrong code"'));
    const logged = (await until('two lines', lines, (found) => found.length === 2)).map((line) => JSON.parse(line));
    const seen = logged.map(({ level, message, address, failures }) => ({ level, message, address, failures }));
    const line = (failures) => ({ level: 'INFO', message: 'wrong code', address: ATTACKER, failures });
    assert.deepEqual(seen, [line(1), line(5)]);
  }));
