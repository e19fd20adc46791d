// A relay on a network with public addresses: its neighbours there are not allowed as peers by default. It must run within ./enter.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { after, before, describe, test } from 'node:test';
import { startServer } from '../interop/support/server.mjs';
import { TurnClient } from '../interop/support/turn.mjs';
import { until } from '../interop/support/wait.mjs';

const SERVER = '11.0.0.1';
const NEIGHBOUR = '11.0.0.9';
const ELSEWHERE = '12.0.0.9';

const run = (command) => execFileSync('sh', ['-euc', command], { stdio: ['ignore', 'pipe', 'inherit'], encoding: 'utf8' });

// A neighbour on the link that is also a router to another network.
before(() => {
  if (!process.env.CASTWAY_NETNS) throw new Error('run it with tests/run netns, or within tests/netns/enter');
  run(`
    ip netns add neighbour
    ip link add public0 type veth peer name eth0 netns neighbour
    ip addr add ${SERVER}/24 dev public0; ip -6 addr add 2a01:4f8:1:1::1/64 dev public0 nodad; ip link set public0 up
    ip -n neighbour addr add ${NEIGHBOUR}/24 dev eth0; ip -n neighbour addr add ${ELSEWHERE}/32 dev lo
    ip -n neighbour link set lo up; ip -n neighbour link set eth0 up
    ip route add 12.0.0.0/24 via ${NEIGHBOUR}`);
});
after(() => run('ip netns del neighbour; ip link del public0 2>/dev/null || true'));

const serve = (settings) =>
  startServer({ CASTWAY_EXTERNAL_IP: SERVER, CASTWAY_RELAY_IP: SERVER, CASTWAY_TURN_ADDR: `${SERVER}:3478`, ...settings });

async function allocated(server) {
  const [username, password] = ['alice', 'alice-password-1'];
  await server.addUser(username, password);
  const client = new TurnClient({ host: SERVER, port: 3478, local: SERVER, username, password });
  assert.equal(await client.allocate(), 0);
  return client;
}

// The error code for each address, 0 if it is permitted.
async function permitted(client, ips) {
  const codes = {};
  for (const ip of ips) codes[ip] = await client.permit({ address: ip, port: 9 });
  return codes;
}

describe('neighbours', () => {
  test('are denied, counted and named, and others are reached', async () => {
    const server = await serve({});
    try {
      const client = await allocated(server);
      assert.deepEqual(await permitted(client, [NEIGHBOUR, '11.0.0.255', ELSEWHERE, SERVER]), { [NEIGHBOUR]: 403, '11.0.0.255': 403, [ELSEWHERE]: 0, [SERVER]: 403 });
      assert.equal(await client.permit({ address: SERVER, port: 0 }), 0);
      assert.match(server.log, /reaches no peers in 11\.0\.0\.0\/24 and 2a01:4f8:1:1::\/64, where this machine is itself/);
      assert.match(server.log, /own networks are denied; CASTWAY_ALLOWED_PEER_IP allows them/);
      assert.equal(await server.metric('castway_relay_refused_neighbours_total'), 3);
      assert.equal(await server.metric('castway_relay_errors_total{code="403"}'), 3);
      await client.close();
    } finally {
      await server.close();
    }
  });

  test('are peers where they are allowed', async () => {
    const server = await serve({ CASTWAY_ALLOWED_PEER_IP: `${NEIGHBOUR}/32` });
    try {
      const client = await allocated(server);
      assert.deepEqual(await permitted(client, [NEIGHBOUR, '11.0.0.10']), { [NEIGHBOUR]: 0, '11.0.0.10': 403 });
      await client.close();
    } finally {
      await server.close();
    }
  });

  test('of a network that the machine comes to while it runs are denied within seconds, permissions that they had included', async () => {
    const server = await serve({});
    try {
      const client = await allocated(server);
      assert.equal(await client.permit({ address: ELSEWHERE, port: 9 }), 0);
      // With DHCPv6, a host can have a route to the link without an address in its network.
      run('ip route replace 12.0.0.0/24 dev public0');
      await until('it is denied', () => client.permit({ address: ELSEWHERE, port: 9 }), (code) => code === 403);
      run(`ip route replace 12.0.0.0/24 via ${NEIGHBOUR}`);
      await until('it is reached again', () => client.permit({ address: ELSEWHERE, port: 9 }), (code) => code === 0);
      await client.close();
    } finally {
      await server.close();
    }
  });
});
