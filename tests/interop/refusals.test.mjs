// What the log says about refused requests: the client, the username, the code and the reason, once a minute for each address and reason.
import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { afterEach, test } from 'node:test';
import { freePort } from './support/ports.mjs';
import { withServer } from './support/server.mjs';
import { signed } from './support/strangers.mjs';
import { ATTRIBUTE, errorOf, METHOD, TCP, UDP, word } from './support/stun.mjs';
import { TurnClient } from './support/turn.mjs';
import { TIMEOUT_MS, until } from './support/wait.mjs';

const SECRET = 'a-secret-that-the-test-knows-0123456789';
const IPV6 = [ATTRIBUTE.family, word(2 << 24)];
const TOKEN = [ATTRIBUTE.reservationToken, Buffer.alloc(8, 7)];
const HOUR = 3600;

const settings = {
  CASTWAY_STATIC_AUTH_SECRET: SECRET,
  CASTWAY_MAX_FOREIGN_TTL: `${2 * HOUR}`,
  CASTWAY_RELAY_IP: '127.0.0.1',
  CASTWAY_USER_QUOTA: '1',
  CASTWAY_NO_TCP_RELAY: 'false',
  CASTWAY_ALLOWED_PEER_IP: '127.0.0.0/8',
};

let clients = [];
afterEach(() => {
  for (const client of clients) client.abandon();
  clients = [];
});

// A client of the server over this transport, with credentials.
function client(server, transport, { username, password }, local = '127.0.0.9') {
  const port = transport === 'tls' ? server.httpsPort : server.turnPort;
  const made = new TurnClient({ port, transport, tls: { rejectUnauthorized: false }, local, username, password });
  clients.push(made);
  return made;
}

const good = (name) => signed('anyone', SECRET, name);
const refusals = (server) => server.log.split('\n').filter((line) => line.includes('relay refused'));
// The fields of a line of the log as text.
const fields = (line) => Object.fromEntries([...line.matchAll(/ (\w+)=("(?:[^"\\]|\\.)*"|\S+)/g)].map(([, name, value]) => [name, value.replace(/^"(.*)"$/, '$1')]));

// Causes each refusal twice: {code, user, reason} of the lines that are expected.
async function refuse(server, transport, user) {
  const made = (credentials) => client(server, transport, credentials, user.address);
  const expected = [];
  const expect = async (code, credentials, reason, ask) => {
    for (let i = 0; i < 2; i += 1) assert.equal(await ask(), code, reason);
    expected.push({ code: `${code}`, user: credentials.username, reason });
  };
  const allocate = (credentials, attributes = [UDP]) => () => made(credentials).allocate(TIMEOUT_MS, attributes);

  const old = signed('anyone', SECRET, `old-${user.name}`, -3 * HOUR);
  await expect(401, old, /^the credentials expired 3 h( \d+ s)? ago$/, allocate(old));
  const far = signed('anyone', SECRET, `far-${user.name}`, 24 * HOUR);
  await expect(401, far, /^the credentials expire in (1 d|23 h 59 min), and may in 2 h 5 min at most/, allocate(far));
  const other = signed('anyone', 'the-secret-of-another-issuer-0123456789', `other-${user.name}`);
  await expect(401, other, /^no secret of this server signed the credentials: .*CASTWAY_STATIC_AUTH_SECRET/, allocate(other));

  const malformed = { username: `99999999999999999999:${user.name}`, password: 'any' };
  await expect(401, malformed, /^the digits beside the colon are no Unix time in seconds$/, allocate(malformed));

  const mine = good(user.name);
  const lost = made(mine);
  await lost.challenge();
  await expect(437, mine, /^this address and port have no allocation/, () => lost.refresh());
  await expect(440, mine, /^the server relays no IPv6$/, allocate(mine, [UDP, IPV6]));
  const sctp = [UDP[0], Buffer.from([132, 0, 0, 0])];
  await expect(442, mine, /^the relay does not carry IP protocol 132$/, allocate(mine, [sctp]));
  await expect(508, mine, /^the user has no reserved port with this token$/, allocate(mine, [UDP, TOKEN]));
  const first = made(mine);
  assert.equal(await first.allocate(), 0);
  await expect(486, mine, /^the user has as many allocations as allowed \(CASTWAY_USER_QUOTA\)$/, allocate(mine));
  const thief = good(`thief-${user.name}`);
  Object.assign(first, thief);
  await expect(441, thief, /^the allocation belongs to another user$/, () => first.refresh());
  Object.assign(first, mine);
  await first.free();
  if (transport !== 'udp') {
    const peer = createServer().listen(0, '127.0.0.1');
    await once(peer, 'listening');
    const address = { address: '127.0.0.1', port: peer.address().port };
    const tcp = made(mine);
    assert.equal(await tcp.allocate(TIMEOUT_MS, [TCP]), 0);
    assert.equal((await tcp.permit(address)) || (await tcp.connectTo(address)), 0);
    await expect(446, mine, /^the client is connected with this peer already$/, () => tcp.connectTo(address));
    peer.close();
  }
  return expected;
}

for (const transport of ['udp', 'tcp', 'tls']) {
  test(`each refusal over ${transport} has one line a minute, with its reason`, () =>
    withServer(settings, async (server) => {
      const address = '127.0.0.9';
      const expected = await refuse(server, transport, { name: 'alice', address });
      const lines = await until('all lines are logged', () => refusals(server), (found) => found.length >= expected.length);
      // Whatever else was logged stands in front of this line.
      await client(server, transport, signed('anyone', SECRET, 'last', -HOUR), '127.0.0.10').allocate();
      await until('a later line', () => server.logged(/user="\d+:last"/).length);
      assert.equal(refusals(server).length, expected.length + 1);
      const seen = lines.map(fields);
      for (const { code, user, reason } of expected) {
        const line = seen.find((each) => each.code === code && each.user === user && reason.test(each.reason));
        assert.ok(line, `${code} ${reason}: ${JSON.stringify(seen)}`);
        assert.equal(line.transport, transport);
        assert.match(line.client, /^127\.0\.0\.9:\d+$/);
      }
      assert.deepEqual(server.logged(new RegExp(SECRET)), []);
    }));
}

test('200 addresses give 100 lines and one count', () =>
  withServer(settings, async (server) => {
    const expired = signed('anyone', SECRET, 'alice', -HOUR);
    for (let round = 0; round < 2; round += 1) {
      for (let n = 1; n <= 200; n += 50) {
        const batch = Array.from({ length: 50 }, (_, i) => client(server, 'udp', expired, `127.2.0.${n + i}`));
        assert.deepEqual([...new Set(await Promise.all(batch.map((each) => each.allocate())))], [401]);
      }
    }
    const count = () => server.log.split('\n').filter((line) => line.includes('more lines about refused requests were left out'));
    // The count comes when the minute is over.
    const [line] = await until('the count', count, (lines) => lines.length, { limit: 2 * TIMEOUT_MS });
    assert.equal(fields(line).count, '100');
    assert.equal(refusals(server).length, 100);
    assert.equal(new Set(refusals(server).map((each) => fields(each).client.split(':')[0])).size, 100);
  }));

test('wrong passwords keep their form, and those who have proved no address have no line', () =>
  withServer(settings, async (server) => {
    await server.addUser('alice');
    const wrong = { username: 'alice', password: 'wrong' };
    // Without credentials, and with a nonce of another port.
    const [one, other] = [client(server, 'udp', wrong, '127.0.0.9'), client(server, 'udp', wrong, '127.0.0.10')];
    await one.challenge();
    await other.challenge();
    other.nonce = one.nonce;
    const answer = await other.request(METHOD.allocate, [UDP]);
    assert.equal(errorOf(answer), 401, 'the client took a fresh nonce after 438');
    await until('a wrong password is logged', () => server.logged(/INFO wrong turn_password_udp address=127\.0\.0\.10 failures=1$/).length);
    // A wrong signature is a wrong password, and its line says more. Credentials that were genuine are none.
    await client(server, 'udp', signed('anyone', 'the-secret-of-another-issuer-0123456789', 'bob'), '127.0.0.11').allocate();
    await until('a wrong signature is logged', () => server.logged(/INFO wrong turn_password_udp address=127\.0\.0\.11 failures=1$/).length);
    await client(server, 'udp', signed('anyone', SECRET, 'last', -HOUR), '127.0.0.12').allocate();
    await until('a later line', () => server.logged(/user="\d+:last"/).length);
    assert.deepEqual(refusals(server).map((line) => fields(line).client.split(':')[0]), ['127.0.0.11', '127.0.0.12'], refusals(server).join('\n'));
    assert.deepEqual(server.logged(/wrong turn_password_udp address=127\.0\.0\.12 /), []);
    assert.deepEqual(server.logged(/address=127\.0\.0\.9 /), []);
  }));

test('whoever mixes wrong passwords with expired credentials does not hide them', () =>
  withServer(settings, async (server) => {
    await server.addUser('alice');
    const expired = signed('anyone', SECRET, 'bob', -HOUR);
    // The lines are those of the 1st and 5th wrong password, whatever stands in their places.
    for (let n = 1; n <= 7; n += 1) {
      const guess = { username: 'alice', password: `guess ${n}` };
      assert.equal(await client(server, 'tcp', [1, 5].includes(n) ? expired : guess).allocate(), 401);
    }
    const wrong = () => server.log.split('\n').filter((line) => line.includes('INFO wrong turn_password address=127.0.0.9 ')).map((line) => fields(line).failures);
    assert.deepEqual(await until('two lines', wrong, (found) => found.length === 2), ['1', '5']);
  }));

test('no username forges a line, as text or as JSON', async () => {
  const name = 'a" code=1 reason="\n2026-11-29T00:00:00Z  INFO relay refused client=192.0.2.1:1';
  const long = 'x'.repeat(400);
  for (const format of ['text', 'json']) {
    await withServer({ ...settings, CASTWAY_LOG_FORMAT: format }, async (server) => {
      const expired = signed('anyone', SECRET, name, -HOUR);
      await client(server, 'udp', expired).allocate();
      await client(server, 'tcp', signed('anyone', SECRET, long, -HOUR), '127.0.0.10').allocate();
      const lines = await until('two lines', () => refusals(server), (found) => found.length === 2);
      assert.ok(lines.every((line) => line.length < 500), lines.join('\n'));
      if (format === 'text') {
        assert.ok(!/^2026-11-29T00/m.test(server.log));
        assert.equal(JSON.parse(`"${fields(lines[0]).user}"`), expired.username);
        return;
      }
      const { level, message, client: from, transport, user, code, reason } = JSON.parse(lines[0]);
      assert.deepEqual({ level, message, transport, user, code }, { level: 'INFO', message: 'relay refused', transport: 'udp', user: expired.username, code: 401 });
      assert.match(from, /^127\.0\.0\.9:\d+$/);
      assert.match(reason, /^the credentials expired 1 h/);
    });
  }
});

test('denied peers are logged at debug, with the peer, and counted at any level', async () => {
  for (const level of ['debug', 'info']) {
    await withServer({ ...settings, CASTWAY_ALLOWED_PEER_IP: '', CASTWAY_LOG: level }, async (server) => {
      const alice = client(server, 'tcp', good('alice'));
      assert.equal(await alice.allocate(), 0);
      for (const address of ['10.0.0.1', '10.0.0.1', '192.168.1.1']) assert.equal(await alice.permit({ address, port: 99 }), 403);
      // The count follows the answers.
      await until('all three are counted', () => server.metric('castway_relay_denied_requests_total'), (count) => count === 3);
      await client(server, 'udp', signed('anyone', SECRET, 'last', -HOUR)).allocate();
      await until('a later line', () => server.logged(/user="\d+:last"/).length);
      const peers = server.logged(/DEBUG.*relay refused.*code=403/).map((line) => fields(line).peer);
      assert.deepEqual(peers, level === 'debug' ? ['10.0.0.1:99', '192.168.1.1:99'] : []);
      assert.equal(refusals(server).length, peers.length + 1);
    });
  }
});

test('a client that ends its allocation twice has no line above debug, as some do after each session', async () => {
  for (const level of ['debug', 'info']) {
    await withServer({ ...settings, CASTWAY_LOG: level }, async (server) => {
      const alice = client(server, 'tcp', good('alice'));
      const end = () => alice.refresh([[ATTRIBUTE.lifetime, word(0)]]);
      assert.deepEqual([await alice.allocate(), await end(), await end()], [0, 0, 437]);
      await client(server, 'udp', signed('anyone', SECRET, 'last', -HOUR)).allocate();
      await until('a later line', () => server.logged(/user="\d+:last"/).length);
      const reasons = refusals(server).map(fields).filter(({ code }) => code === '437').map(({ reason }) => reason);
      assert.deepEqual(reasons, level === 'debug' ? ['the client ended an allocation that has ended already'] : []);
    });
  }
});

test('an Allocate that is refused late says why no socket opened', async () => {
  const port = await freePort('127.0.0.1');
  let other;
  // The port, where nobody has it.
  const taken = async () => {
    const socket = createSocket('udp4');
    const bound = once(socket, 'listening').then(() => true, () => false);
    socket.bind(port, '127.0.0.1');
    if (await bound) return socket;
    socket.close();
  };
  try {
    await withServer({ ...settings, CASTWAY_MIN_PORT: `${port}`, CASTWAY_MAX_PORT: `${port}` }, async (server) => {
      // The server does not start where no port is free, and its test of itself takes the port for a moment.
      other = await until('the port is free', taken, Boolean);
      assert.equal(await client(server, 'udp', good('alice')).allocate(), 508);
      const ofAlice = () => refusals(server).filter((line) => fields(line).user === 'alice');
      const [line] = await until('a line', ofAlice, (lines) => lines.length);
      const { code, user, reason } = fields(line);
      assert.deepEqual({ code, user, reason }, { code: '508', user: 'alice', reason: 'other programs use the ports that were tried' });
    });
  } finally {
    other?.close();
  }
});
