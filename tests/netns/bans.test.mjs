// Bans of addresses, networks and users: what a banned client has here ends, and it gets nothing more, by any way. The server has a machine of
// its own, since loopback can't be banned. It must run within ./enter.
//
//   this process's namespace: 198.51.100.2 (nobody's), .7, .8 and .17 (clients), .9 (a trusted proxy); 2001:db8:1::7, 2001:db8:2::7
//   machine:                  198.51.100.1, 2001:db8:1::1
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { request } from 'node:http';
import { connect as connectTcp } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { Allocations } from '../interop/support/allocations.mjs';
import { Channel } from '../interop/support/apprtc.mjs';
import { connect } from '../interop/support/clients.mjs';
import { exchange, pair } from '../interop/support/dialects.mjs';
import { connect as connectMulti } from '../interop/support/multi.mjs';
import { closeAll } from '../interop/support/sockets.mjs';
import { startServer } from '../interop/support/server.mjs';
import { signed } from '../interop/support/strangers.mjs';
import { METHOD } from '../interop/support/stun.mjs';
import { until, within } from '../interop/support/wait.mjs';

const SERVER = '198.51.100.1';
const [GUEST, BANNED, OTHER, PROXY, LATER] = ['198.51.100.2', '198.51.100.7', '198.51.100.8', '198.51.100.9', '198.51.100.17'];
const SECRET = 'a-secret-that-the-test-knows-0123456789';
const TURN_PORT = 3478;

const run = (command) => execFileSync('sh', ['-euc', command], { stdio: ['ignore', 'pipe', 'inherit'], encoding: 'utf8' });

let server;
let allocations;

before(async () => {
  if (!process.env.CASTWAY_NETNS) throw new Error('run it with tests/run netns, or within tests/netns/enter');
  run(`
    ip netns add machine
    ip link add wan type veth peer name eth0 netns machine; ip link set wan up
    ip -n machine link set lo up; ip -n machine link set eth0 up
    for own in 2 7 8 9 17; do ip addr add 198.51.100.$own/24 dev wan; done
    ip addr add 2001:db8:1::7/64 dev wan nodad; ip addr add 2001:db8:2::7/64 dev wan nodad
    ip -n machine addr add ${SERVER}/24 dev eth0; ip -n machine addr add 2001:db8:1::1/64 dev eth0 nodad
    ip -n machine route add 2001:db8:2::/64 dev eth0`);
  server = await startServer({
    TEST_NAMESPACE: 'machine',
    CASTWAY_HTTP_ADDR: `${SERVER}:8080,[2001:db8:1::1]:8080`,
    CASTWAY_HTTPS_ADDR: `${SERVER}:8443`,
    CASTWAY_TURNS_ADDR: `${SERVER}:5349`,
    CASTWAY_TURN_ADDR: `${SERVER}:${TURN_PORT}`,
    CASTWAY_EXTERNAL_IP: SERVER,
    CASTWAY_RELAY_IP: SERVER,
    CASTWAY_TURN_ACCESS: 'open',
    CASTWAY_STATIC_AUTH_SECRET: SECRET,
    CASTWAY_API_KEYS: 'a-key-of-a-front-end-0123456789',
    CASTWAY_TRUSTED_PROXIES: PROXY,
    CASTWAY_METRICS_ALLOW: `${GUEST}/32`,
  });
  allocations = new Allocations(server);
});
after(async () => {
  closeAll();
  await allocations?.close();
  await server?.close();
  run('ip netns del machine || true; ip link del wan 2>/dev/null || true');
});

const castway = async (...args) => {
  const { code, stdout, stderr } = await server.cli(args);
  return { code, said: (code === 0 ? stdout : stderr).trim() };
};
const block = async (...args) => {
  const { code, said } = await castway('block', ...args);
  assert.equal(code, 0, said);
  return said;
};
const unblock = async (target) => {
  const { code, said } = await castway('unblock', target);
  assert.equal(code, 0, said);
  return said;
};

// {status, body}, or the error of a connection that the server closes.
function ask(path, { local = OTHER, host = SERVER, headers = {}, method = 'GET', body } = {}) {
  return new Promise((resolve) => {
    const asked = request({ host, port: 8080, localAddress: local, path, headers, method, agent: false }, async (response) => {
      let text = '';
      for await (const chunk of response) text += chunk;
      resolve({ status: response.statusCode, body: text });
    });
    asked.on('error', (error) => resolve({ error: error.code }));
    asked.end(body);
  });
}
const isServed = async (options) => (await ask('/healthz', options)).status === 200;
const becomes = (what, served, options) => until(what, () => isServed(options), (seen) => seen === served);
// Resolves when the server has ended a connection, by a reset or not.
const closed = (socket) => new Promise((resolve) => socket.once('close', resolve));
// A client of Socket.IO at an address of its own.
const at = (from, label) => connect(server, { from, label });

describe('a ban of an address', () => {
  test('ends all that the client has, at once, and nothing of others', async () => {
    const tv = await at(BANNED, 'the banned TV');
    const caster = await at(OTHER, 'its caster');
    await pair(tv, 'A', caster, 'A');
    const [otherTv, otherCaster] = [await at(OTHER, 'another TV'), await at(GUEST, 'another caster')];
    await pair(otherTv, 'A', otherCaster, 'A');
    const [viewer, bannedCaster] = [await at(OTHER, 'a TV with a banned caster'), await at(BANNED, 'the banned caster')];
    await pair(viewer, 'A', bannedCaster, 'A');
    const member = await connectMulti(server, 'banned-member', { from: BANNED });
    const channels = [];
    for (const local of [BANNED, OTHER]) {
      const joined = JSON.parse((await ask('/join/a-room', { local, method: 'POST' })).body);
      const channel = await Channel.open(`ws://${SERVER}:8080/ws`, { localAddress: local });
      channel.register('a-room', joined.params.client_id);
      await channel.settled();
      channels.push(channel);
    }
    const held = connectTcp({ host: SERVER, port: 8080, localAddress: BANNED });
    const relayed = connectTcp({ host: SERVER, port: TURN_PORT, localAddress: BANNED });
    for (const socket of [held, relayed]) {
      socket.on('error', () => {});
      await once(socket, 'connect');
    }
    held.write(`GET /healthz HTTP/1.1\r\nHost: ${SERVER}\r\n\r\n`);
    await once(held, 'data');
    const user = (name) => signed('anyone', SECRET, name);
    const of = (local, transport, name) => allocations.allocated(user(name), { host: SERVER, local, transport });
    const gone = [await of(BANNED, 'udp', 'one'), await of(BANNED, 'tcp', 'two'), await of(BANNED, 'tls', 'three')];
    const stays = await of(OTHER, 'udp', 'four');
    const live = () => server.metric('castway_relay_allocations');
    // The server's test of itself holds another one for a moment.
    await until('the four are all', live, (now) => now === 4);

    const ended = Promise.all([
      within(new Promise((resolve) => tv.socket.once('disconnect', resolve)), 'end of the TV'),
      within(new Promise((resolve) => member.socket.once('disconnect', resolve)), 'end of the member'),
      caster.next('CAST_ENDED'),
      viewer.next('CASTER_LEFT'),
      channels[0].end(),
      within(closed(held), 'end of the HTTP connection'),
      within(closed(relayed), 'end of the relay’s stream'),
    ]);
    assert.equal(await block(BANNED), `Blocked ${BANNED} until somebody unblocks it.`);
    const [, , castEnded, casterLeft] = await ended;
    assert.deepEqual([castEnded.by, casterLeft.reason], ['operator', 'ended_by_operator'], 'both sides hear why');
    assert.equal(channels[1].closed, null);
    await until('the allocations end', live, (now) => now === 1);

    for (const path of ['/healthz', '/tv', '/turn?username=x', '/socket.io/?EIO=4&transport=polling']) {
      const answer = await ask(path, { local: BANNED });
      assert.ok(answer.error, `${path}: ${JSON.stringify(answer)}`);
    }
    await assert.rejects(gone[0].request(METHOD.refresh, [], 1500), /no answer/);
    for (const transport of ['udp', 'tcp', 'tls']) {
      const client = allocations.client(user('five'), { host: SERVER, local: BANNED, transport });
      await assert.rejects(within(client.challenge(1500), 'answer', 5000));
    }
    assert.equal(await stays.refresh(), 0);
    assert.ok(await isServed({ local: OTHER }));
    await exchange(otherTv, 'A', otherCaster, 'A');
    assert.equal(server.logged(/operator blocked an address/).length, 1);
    assert.match(server.logged(/operator blocked an address/)[0], /command line.*198\.51\.100\.7/);
  });

  test('hits requests that a trusted proxy brings, with a sentence, and not the proxy', async () => {
    const through = (client, path, headers = {}) =>
      ask(path, { local: PROXY, headers: { 'x-forwarded-for': `203.0.113.99, ${client}`, ...headers } });
    assert.deepEqual(await through(OTHER, '/healthz').then(({ status }) => status), 200);
    for (const client of [BANNED, `::ffff:${BANNED}`, `${BANNED}:4711`]) {
      const api = await through(client, '/turn?username=x');
      assert.equal(api.status, 403, client);
      const { error, message } = JSON.parse(api.body);
      assert.deepEqual({ error, message }, { error: 'Forbidden', message: 'The operator of this server has blocked your address.' });
    }
    const page = await through(BANNED, '/tv', { accept: 'text/html' });
    assert.deepEqual(page, { status: 403, body: 'The operator of this server has blocked your address.\n' });
    assert.equal((await through(BANNED, '/socket.io/?EIO=4&transport=polling')).status, 403);
    assert.equal((await ask('/healthz', { local: PROXY })).status, 200);
    // What the client writes itself counts for nothing.
    assert.equal((await ask('/healthz', { local: OTHER, headers: { 'x-forwarded-for': BANNED } })).status, 200);

    const announced = connectTcp({ host: SERVER, port: 8080, localAddress: PROXY });
    announced.on('error', () => {});
    let heard = '';
    announced.on('data', (chunk) => (heard += chunk));
    announced.write(`PROXY TCP4 ${BANNED} ${SERVER} 4711 8080\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n`);
    await within(closed(announced), 'end of a connection by the PROXY protocol');
    assert.equal(heard, '');
  });

  test('holds after a restart, and ends when somebody unblocks it', async () => {
    await server.restart();
    assert.ok((await ask('/healthz', { local: BANNED })).error, 'from the first moment on');
    assert.ok(await isServed({ local: OTHER }));
    const { bans } = JSON.parse((await castway('blocks', '--json')).said);
    assert.deepEqual(bans.map(({ target, until: end, by }) => ({ target, end, by })), [{ target: BANNED, end: null, by: 'command line' }]);
    assert.equal(await unblock(bans[0].id), `Unblocked ${BANNED}.`);
    await becomes('the client is served again', true, { local: BANNED });
    const client = await allocations.allocated(signed('anyone', SECRET, 'six'), { host: SERVER, local: BANNED });
    assert.equal(await client.refresh(), 0);
  });

  test('ends by itself', async () => {
    assert.equal(await block(LATER, '--for', '4s'), `Blocked ${LATER} for 4s.`);
    await becomes('the ban is in force', false, { local: LATER });
    await becomes('the ban is over', true, { local: LATER });
    assert.deepEqual(JSON.parse((await castway('blocks', '--json')).said).bans, []);
  });

  test('of IPv6 is for the network that counts as one client', async () => {
    const [inside, outside] = [{ local: '2001:db8:2::7', host: '2001:db8:1::1' }, { local: '2001:db8:1::7', host: '2001:db8:1::1' }];
    assert.match(await block('2001:db8:2::99'), /^Blocked 2001:db8:2::\/64 .* It contains 2001:db8:2::99/);
    await becomes('the network is blocked', false, inside);
    assert.ok(await isServed(outside));
    assert.equal(await unblock('2001:db8:2::1234'), 'Unblocked 2001:db8:2::/64.');
    await becomes('the network is served again', true, inside);
  });

  test('can be made while no server runs', async () => {
    await server.stop();
    await block('198.51.100.16/28');
    const refused = await castway('block', '198.51.100.0/24');
    assert.equal(refused.code, 1);
    await server.start();
    assert.ok((await ask('/healthz', { local: LATER })).error);
    assert.ok(await isServed({ local: BANNED }));
    await server.stop();
    assert.equal(await unblock('198.51.100.20/28'), 'Unblocked 198.51.100.16/28.');
    await server.start();
    assert.ok(await isServed({ local: LATER }));
  });

  test('never hits a proxy, loopback or the machine itself', async () => {
    for (const [target, why] of [
      [SERVER, /an address of this machine/],
      ['198.51.100.0/24', /in common with/],
      [PROXY, /a trusted proxy/],
      ['127.0.0.1', /loopback/],
      ['::ffff:127.0.0.1', /loopback/],
      ['2001:db8:1::/48', /an address of this machine/],
      ['0.0.0.0/0', /too many addresses/],
      ['user:a\u001b[2Jb', /control characters/],
      ['nonsense', /no address/],
    ]) {
      const { code, said } = await castway('block', target);
      assert.equal(code, 1, target);
      assert.match(said, why, target);
      assert.doesNotMatch(said, /[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/, 'nothing steers the terminal');
    }
    assert.match((await castway('blocks')).said, /Nobody is blocked/);
  });
});

describe('a ban of a user', () => {
  const key = { authorization: 'Bearer a-key-of-a-front-end-0123456789' };

  test('ends the allocations of the user, and no more credentials are given', async () => {
    await server.addUser('alice', 'alice-password-1');
    const basic = { authorization: `Basic ${Buffer.from('alice:alice-password-1').toString('base64')}` };
    const issued = async (headers) => ask('/turn?username=alice', { headers });
    const { body } = await issued(basic);
    const { username, password } = JSON.parse(body);
    const client = await allocations.allocated({ username, password }, { host: SERVER, local: OTHER });
    const stranger = await allocations.allocated(signed('clients', SECRET, 'alice'), { host: SERVER, local: OTHER });
    const bert = await allocations.allocated(signed('anyone', SECRET, 'bert'), { host: SERVER, local: OTHER });

    assert.equal(await block('user:alice', '--for', '1h'), 'Blocked user:alice for 1h.');
    await until('the allocation ends', () => client.refresh(), (code) => code !== 0);
    assert.deepEqual([await stranger.refresh(), await bert.refresh()], [0, 0], 'a stranger who calls himself alice is not alice');
    for (const headers of [basic, key]) {
      const refused = await issued(headers);
      assert.equal(refused.status, 403, refused.body);
    }
    const wrong = { authorization: `Basic ${Buffer.from('alice:another').toString('base64')}` };
    assert.equal((await issued(wrong)).status, 200, 'others get the credentials of strangers, and learn nothing of the ban');

    assert.equal(await unblock('user:alice'), 'Unblocked user:alice.');
    await until('credentials are given again', async () => (await issued(basic)).status, (status) => status === 200);
  });

  test('holds for a name that a key signs', async () => {
    assert.match(await block('user:signed'), /no such user/);
    await until('the key gets nothing', async () => (await ask('/turn?username=signed', { headers: key })).status, (status) => status === 403);
    const client = allocations.client(signed('anyone', SECRET, 'signed'), { host: SERVER, local: OTHER });
    assert.equal(await client.allocate(), 401);
    await unblock('user:signed');
  });
});

describe('throttled addresses', () => {
  test('are listed, and may guess again once somebody unblocks them', async () => {
    const guess = (key) => ask('/api/usage', { local: LATER, headers: { authorization: `Bearer ${key}` } });
    const listed = async () => JSON.parse((await castway('blocks', '--json')).said).throttled;
    let tries = 0;
    await until('the client is throttled', async () => (await guess(`wrong-${(tries += 1)}`)).status, (status) => status === 429, { pause: 0 });
    const rows = await until('it is listed', listed, (rows) => rows.length > 0);
    assert.deepEqual(rows.map(({ address, kind }) => ({ address, kind })), [{ address: LATER, kind: 'api_key' }]);
    assert.ok(rows[0].wait > 0 && rows[0].wait <= 60, `${rows[0].wait}`);
    assert.match((await castway('blocks')).said, /THROTTLED\s+GUESSES\s+WAITS\n198\.51\.100\.17\s+api_key/);
    assert.equal(await unblock(LATER), `${LATER} may guess again.`);
    assert.deepEqual(await listed(), []);
    assert.equal((await guess('wrong-again')).status, 401);
    const { code, said } = await castway('unblock', LATER);
    assert.deepEqual([code, /neither blocked nor throttled/.test(said)], [1, true], said);
  });
});
