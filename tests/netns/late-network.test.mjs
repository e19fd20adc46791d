// A server without any setting of an address, on a machine whose addresses come late, change and go: new relayed addresses follow, and
// /readyz tells the true state. It must run within ./enter.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { get } from 'node:http';
import { connect } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { startServer } from '../interop/support/server.mjs';
import { ATTRIBUTE, UDP, word } from '../interop/support/stun.mjs';
import { TurnClient } from '../interop/support/turn.mjs';
import { until } from '../interop/support/wait.mjs';

const FIRST = '11.0.0.5';
const IDLE = '11.9.0.1';
const SECOND = '11.0.0.6';
const SIX = '2a01:4f8:1:1::5';
const PEER = { 4: { address: '11.0.0.9', port: 9000 }, 6: { address: '2a01:4f8:1:1::9', port: 9000 } };
const USER = { username: 'alice', password: 'alice-password-1' };

const run = (command) => execFileSync('sh', ['-euc', command], { stdio: ['ignore', 'pipe', 'inherit'], encoding: 'utf8' });

// Answers each datagram with the address that it came from.
const ECHO = `
  for (const type of ['udp4', 'udp6']) {
    const socket = require('dgram').createSocket({ type, ipv6Only: type === 'udp6' });
    socket.on('message', (_, from) => socket.send(from.address, from.port, from.address));
    socket.bind(9000, () => process.stdout.write(type));
  }`;
let echo;

before(async () => {
  if (!process.env.CASTWAY_NETNS) throw new Error('run it with tests/run netns, or within tests/netns/enter');
  // The first address of a network takes the others with it otherwise.
  run(`
    echo 1 > /proc/sys/net/ipv4/conf/all/promote_secondaries
    ip netns add peer
    ip link add net0 type veth peer name eth0 netns peer
    ip -n peer addr add ${PEER[4].address}/24 dev eth0; ip -n peer -6 addr add ${PEER[6].address}/64 dev eth0 nodad
    ip -n peer link set lo up; ip -n peer link set eth0 up`);
  echo = spawn('ip', ['netns', 'exec', 'peer', process.execPath, '-e', ECHO], { stdio: ['ignore', 'pipe', 'inherit'] });
  await until('the peer listens', () => once(echo.stdout, 'data'));
});
after(() => {
  echo?.kill();
  run('ip netns del peer; ip link del net0 2>/dev/null || true');
});

// A server with Castway's own addresses, and a user who reaches anyone.
async function serve(settings) {
  const own = ['HTTP_ADDR', 'HTTPS_ADDR', 'TURNS_ADDR', 'TURN_ADDR', 'EXTERNAL_IP', 'RELAY_IP'].map((name) => [`CASTWAY_${name}`, undefined]);
  const all = { ...Object.fromEntries(own), CASTWAY_ALLOWED_PEER_IP: '11.0.0.9,2a01:4f8:1:1::9', TEST_READY_PATH: '/healthz', ...settings };
  const server = await startServer(all);
  await server.addUser(USER.username, USER.password);
  return server;
}

async function readiness(server) {
  const response = await fetch(`${server.url}/readyz`);
  return { status: response.status, ...(await response.json()) };
}
const ready = (server) => until('it is ready', () => readiness(server), ({ status }) => status === 200);
const unready = (server) => until('it is not ready', () => readiness(server), ({ status }) => status === 503);

// The relayed address that a new client gets now, or the error code.
async function relayedNow(attributes, host = '127.0.0.1') {
  const client = new TurnClient({ host, port: 3478, ...USER });
  try {
    return (await client.allocate(undefined, attributes)) || client.relayed.address;
  } finally {
    await client.close();
  }
}
// Each look costs a challenge, of which an address may have ten a second.
const PAUSE = { pause: 200 };
const becomes = (address, ...ask) => until(`new relayed addresses are at ${address}`, () => relayedNow(...ask), (seen) => seen === address, PAUSE);
const IPV6 = [UDP, [ATTRIBUTE.family, word(2 << 24)]];

async function allocated(host = '127.0.0.1') {
  const client = new TurnClient({ host, port: 3478, ...USER });
  assert.equal(await client.allocate(), 0);
  return client;
}

// The address from which a peer on the network gets this client's packets.
async function seenAs(client, peer = PEER[4]) {
  assert.equal(await client.permit(peer), 0);
  let answer;
  await until('the peer answers', async () => {
    client.send(peer, Buffer.from('who am I'));
    answer = await client.receive(500).catch(() => null);
    return answer;
  });
  return answer.data.toString();
}

// Both clients exchange a payload.
async function exchange(a, b) {
  assert.equal((await a.permit(b.relayed)) || (await b.permit(a.relayed)), 0);
  a.taken();
  b.taken();
  await until('a payload arrives on both sides', async () => {
    a.send(b.relayed, Buffer.from('from a'));
    b.send(a.relayed, Buffer.from('from b'));
    const heard = await Promise.all([a.receive(500).catch(() => null), b.receive(500).catch(() => null)]);
    return heard.every(Boolean);
  });
}

const hasV4 = (address) => run(`ip addr add ${address}/24 dev net0; ip link set net0 up`);
const losesV4 = (address) => run(`ip addr del ${address}/24 dev net0`);

describe('a server that starts before the network', () => {
  let server;
  before(async () => {
    server = await serve({});
  });
  after(() => server?.close());

  test('says what is missing, and serves clients on its own machine', async () => {
    const { status, not_ready, reasons } = await readiness(server);
    assert.deepEqual([status, not_ready], [503, ['relayed_address']]);
    assert.match(reasons.relayed_address, /no interface of this machine has an address that other machines can reach/);
    assert.match(server.log, /this machine has no address that others can reach/);
    assert.match(server.log, /seen by nobody else yet/);
    assert.match(server.log, /! This machine has no address .* needs no restart/);
    assert.doesNotMatch(server.log, /advertised as 127|listens on 127|set CASTWAY_EXTERNAL_IP|CASTWAY_RELAY_IP/);
    const [a, b] = [await allocated(), await allocated('::1')];
    assert.deepEqual([a.relayed.address, b.relayed.address], ['127.0.0.1', '127.0.0.1']);
    await exchange(a, b);
    // What is told on loopback goes on once the machine has an address. An interface without a carrier makes way for one with it.
    run(`ip link add idle0 type veth peer name idle1; ip addr add ${IDLE}/24 dev idle0; ip link set idle0 up`);
    await becomes(IDLE);
    await exchange(a, b);
    hasV4(FIRST);
    await becomes(FIRST);
    run('ip link del idle0');
    assert.equal(await relayedNow(), FIRST);
    await exchange(a, b);
    await Promise.all([a.close(), b.close()]);
  });

  test('relays to others once it has an address', async () => {
    await ready(server);
    const client = await allocated();
    assert.equal(await seenAs(client), FIRST);
    await client.close();
    const { uris } = await (await fetch(`http://${FIRST}:8080/turn?username=x`)).json();
    assert.ok(uris.includes(`turn:${FIRST}:3478?transport=udp`), uris.join());
    assert.deepEqual((await (await fetch(`${server.url}/turn?username=x`)).json()).uris[0], `turn:${FIRST}:3478?transport=udp`);
  });

  test('gives new clients the new address after a change, and keeps what was there', async () => {
    const old = await allocated();
    assert.equal(await seenAs(old), FIRST);
    run(`ip addr add ${SECOND}/24 dev net0`);
    // The first address is still there, and nothing demands another one.
    assert.equal(await relayedNow(), FIRST);
    losesV4(FIRST);
    await becomes(SECOND);
    await ready(server);
    const young = await allocated();
    assert.equal(await seenAs(young), SECOND);
    await exchange(old, young);
    assert.equal(await old.refresh(), 0);
    await Promise.all([old.close(), young.close()]);
    assert.equal((await (await fetch(`${server.url}/turn?username=x`)).json()).uris[0], `turn:${SECOND}:3478?transport=udp`);
    assert.match(server.log, new RegExp(`new relayed addresses use these.*${SECOND}`));
  });

  test('keeps live allocations while an address is away for a moment', async () => {
    const [client, other] = [await allocated(), await allocated()];
    assert.equal(await seenAs(client), SECOND);
    losesV4(SECOND);
    const { not_ready } = await unready(server);
    assert.deepEqual(not_ready, ['relayed_address']);
    await exchange(client, other);
    hasV4(SECOND);
    await ready(server);
    assert.equal(await seenAs(client), SECOND);
    await exchange(client, other);
    await Promise.all([client.close(), other.close()]);
  });

  test('keeps its address while the default route is away', async () => {
    // The default route prefers an address that is not the first one of the interface.
    run(`ip addr add ${FIRST}/24 dev net0; ip route add default via ${PEER[4].address} src ${FIRST}`);
    await becomes(FIRST);
    const client = await allocated();
    run('ip route del default');
    run('ip link add other0 type veth peer name other1; ip addr add 11.7.0.1/24 dev other0; ip link set other0 up; ip link del other0');
    assert.equal(await relayedNow(), FIRST);
    assert.equal(await seenAs(client), FIRST);
    run(`ip route add default via ${PEER[4].address} src ${SECOND}`);
    await becomes(SECOND);
    assert.equal(await seenAs(client), FIRST);
    await client.close();
    run('ip route del default');
    losesV4(FIRST);
    await becomes(SECOND);
  });

  test('has IPv6 as soon as it is there, and no longer', async () => {
    assert.equal(await relayedNow(IPV6), 440);
    // The kernel first looks whether another machine has the address.
    run(`ip -6 addr add ${SIX}/64 dev net0`);
    await becomes(SIX, IPV6);
    assert.equal(await relayedNow(), SECOND, 'IPv4 stays the default');
    assert.equal(await relayedNow([UDP], SIX), SECOND, 'for clients over IPv6, too');
    await ready(server);
    run(`ip -6 addr del ${SIX}/64 dev net0`);
    await until('IPv6 is refused', () => relayedNow(IPV6), (seen) => seen === 440, PAUSE);
  });

  test('relays on a host with IPv6 alone, also for clients that name no family', async () => {
    run(`ip -6 addr add ${SIX}/64 dev net0 nodad`);
    losesV4(SECOND);
    await becomes(SIX);
    await ready(server);
    for (const host of [SIX, '127.0.0.1']) assert.equal(await relayedNow([UDP], host), SIX);
    assert.equal(await relayedNow([UDP, [ATTRIBUTE.family, word(1 << 24)]]), 440);
    const client = await allocated(SIX);
    assert.equal(await seenAs(client, PEER[6]), SIX);
    await client.close();
    const { uris } = await (await fetch(`http://[${SIX}]:8080/turn?username=x`)).json();
    assert.ok(uris.includes(`turn:[${SIX}]:3478?transport=udp`), uris.join());
    await server.restart();
    await ready(server);
    assert.equal(await relayedNow([UDP], SIX), SIX, 'after a start, too');
    assert.ok(server.log.includes(`http://[${SIX}]:8080/tv`), 'the report names the address');
    hasV4(SECOND);
    await becomes(SECOND);
  });
});

describe('the default family', () => {
  for (const [setting, families] of Object.entries({ ipv4: [SECOND, SECOND], ipv6: [SIX, SIX], keep: [SECOND, SIX] })) {
    test(`is as ${setting} says`, async () => {
      const server = await serve({ CASTWAY_ALLOCATION_DEFAULT_ADDRESS_FAMILY: setting });
      try {
        assert.deepEqual([await relayedNow([UDP], SECOND), await relayedNow([UDP], SIX)], families);
      } finally {
        await server.close();
      }
    });
  }
});

test('an address that a setting names is not replaced, and its loss is told and logged', async () => {
  const server = await serve({ CASTWAY_RELAY_IP: SECOND });
  try {
    await ready(server);
    losesV4(SECOND);
    const { not_ready, reasons } = await unready(server);
    assert.deepEqual(not_ready, ['relayed_address']);
    assert.match(reasons.relayed_address, new RegExp(`can't be bound to ${SECOND}`));
    for (let i = 0; i < 8; i += 1) assert.equal(await relayedNow(), 508);
    const lines = server.logged(/a relayed socket can't be opened/);
    assert.ok(lines.length > 0 && lines.every((line) => line.includes(SECOND)), 'the reason is logged');
    assert.ok(lines.length <= 4, 'each relay thread logs it once a minute');
    hasV4(SECOND);
    await ready(server);
    assert.equal(await relayedNow(), SECOND);
  } finally {
    await server.close();
  }
});

// Sends bytes over TCP, and resolves when the server has answered or closed.
async function sendOver(host, port, bytes) {
  const socket = connect({ host, port });
  socket.on('error', () => {});
  await once(socket, 'connect');
  socket.write(bytes);
  // A server that closes a connection with bytes that it has not read resets it.
  await Promise.race(['data', 'close'].map((event) => new Promise((resolve) => socket.once(event, resolve))));
  socket.destroy();
}

async function attempts(server) {
  const found = [];
  for (const host of ['127.0.0.1', SECOND]) {
    // The client at the second address is a proxy.
    const headers = host === SECOND ? { 'x-forwarded-for': '::ffff:192.0.2.9' } : {};
    for (const path of ['/turn?username=x', '/turn?username=alice&key=wrong', '/api/info', '/readyz', '/metrics', '/nothing', '/v1alpha/iceconfig', '/socket.io/?EIO=4&transport=polling']) {
      const response = await fetch(`http://${host}:8080${path}`, { headers });
      found.push(`${path} ${[...response.headers]} ${await response.text()}`);
    }
    for (const transport of ['udp', 'tcp']) {
      const wrong = new TurnClient({ host, port: 3478, local: host, transport, username: 'alice', password: 'wrong' });
      assert.equal(await wrong.allocate(), 401);
      await wrong.close();
      const client = new TurnClient({ host, port: 3478, local: host, transport, ...USER });
      assert.equal(await client.allocate(), 0);
      assert.equal(await client.permit({ address: '10.0.0.1', port: 9 }), 403);
      found.push(JSON.stringify([client.relayed, client.mapped]));
      await client.close();
    }
    await sendOver(host, 3478, 'garbage that is no protocol\r\n\r\n');
    await sendOver(host, 8089, 'GET / HTTP/1.1\r\nHost: x\r\n\r\n');
    await sendOver(host, 8443, 'GET / HTTP/1.1\r\nHost: x\r\n\r\n');
  }
  return found;
}

test('an IPv4 client of [::] is an IPv4 client everywhere, with IPv6-only sockets as the default of the kernel, too', async () => {
  run('echo 1 > /proc/sys/net/ipv6/bindv6only');
  const settings = { CASTWAY_LOG: 'debug,castway=trace', CASTWAY_COLLIDER_ADDR: '[::]:8089', CASTWAY_METRICS_ALLOW: `127.0.0.1,${SECOND}`, CASTWAY_TRUSTED_PROXIES: SECOND };
  const server = await serve(settings);
  try {
    const answers = await attempts(server);
    assert.equal(answers.filter((answer) => answer.includes('castway_relay')).length, 1, 'IPv4 networks fit; the proxy asks for a client who is no operator');
    assert.deepEqual(answers.filter((answer) => answer.includes('::ffff')), []);
    // The log has what is searched for: wrong passwords of both clients.
    for (const address of ['127.0.0.1', SECOND]) await until(`${address} is logged`, () => server.logged(/wrong/).some((line) => line.includes(address)));
    assert.deepEqual(server.logged(/::ffff/), []);
    const [mapped] = await once(get({ host: '127.0.0.1', port: 8080, path: '/turn?username=x', headers: { host: `[::ffff:${SECOND}]:8080` } }), 'response');
    const { uris } = JSON.parse((await mapped.toArray()).join(''));
    assert.equal(uris[0], `turn:${SECOND}:3478?transport=udp`, 'a mapped host in a URL is the IPv4 address');
  } finally {
    await server.close();
    run('echo 0 > /proc/sys/net/ipv6/bindv6only');
  }
});

test('where the kernel has no IPv6, the defaults are 0.0.0.0', async () => {
  run('for name in all default lo net0; do echo 1 > /proc/sys/net/ipv6/conf/$name/disable_ipv6; done');
  const server = await serve({});
  try {
    await ready(server);
    assert.match(server.log, /0\.0\.0\.0:3478/);
    assert.equal(await relayedNow(), SECOND);
    assert.equal(await relayedNow(IPV6), 440);
    const { code, stderr } = await server.cli(['health']);
    assert.equal(code, 0, stderr);
  } finally {
    await server.close();
  }
});
