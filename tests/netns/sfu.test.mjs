// An SFU beside the relay: its candidates are ports of the machine's own public address. Its part is played by sockets that echo.
import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { execFileSync } from 'node:child_process';
import { TCP, UDP } from '../interop/support/stun.mjs';
import { signed } from '../interop/support/strangers.mjs';
import { Allocations } from '../interop/support/allocations.mjs';
import { build, demolish, serve, SERVER } from './networks.mjs';

const SECRET = 'a-secret-that-the-test-knows-0123456789';
const SERVER_6 = '2a01:4f8:0:1::1';
const BOTH_FAMILIES = [UDP, [0x8000, Buffer.from([2, 0, 0, 0])]];
const CHANNEL = 0x4000;

// What the SFU has on one address: {address, port, received}.
async function echoAt(address) {
  const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
  const echo = { socket, address, received: [] };
  socket.on('message', (data, { address: from, port }) => {
    echo.received.push(String(data));
    socket.send(data, port, from);
  });
  socket.bind(0, address);
  await once(socket, 'listening');
  echo.port = socket.address().port;
  return echo;
}

let sfus;
let listener;
before(async () => {
  build();
  execFileSync('ip', ['-6', 'addr', 'add', `${SERVER_6}/64`, 'dev', 'wan', 'nodad']);
  sfus = [await echoAt(SERVER), await echoAt(SERVER_6)];
  listener = createServer((socket) => socket.end());
  listener.listen(0, SERVER);
  await once(listener, 'listening');
});
after(() => {
  for (const { socket } of sfus ?? []) socket.close();
  listener?.close();
  demolish();
});

async function beside(settings, body) {
  const server = await serve({ CASTWAY_STATIC_AUTH_SECRET: SECRET, CASTWAY_TURN_ACCESS: undefined, CASTWAY_EXTERNAL_IP: `${SERVER},${SERVER_6}`, CASTWAY_RELAY_IP: `${SERVER},${SERVER_6}`, ...settings });
  const allocations = new Allocations(server);
  const client = (scope, more = {}) => allocations.allocated(signed(scope, SECRET, 'alice'), { host: SERVER, local: SERVER, attributes: BOTH_FAMILIES, ...more });
  try {
    await body(client);
  } finally {
    await allocations.close();
    await server.close();
    for (const sfu of sfus) sfu.received.length = 0;
  }
}

async function assertRefused(client) {
  for (const sfu of sfus) {
    assert.deepEqual([await client.permit(sfu), await client.bind(CHANNEL, sfu)], [403, 403], sfu.address);
    // A permission of the address does not open the port.
    assert.equal(await client.permit({ ...sfu, port: 0 }), 0);
    assert.equal(await client.permit(sfu), 403, sfu.address);
    client.send(sfu, Buffer.from('hello'));
  }
  // When this is answered, the relay has handled everything before.
  assert.equal(await client.refresh(), 0);
  assert.deepEqual(sfus.map(({ received }) => received), [[], []]);
}

async function assertReached(client) {
  for (const [at, sfu] of sfus.entries()) {
    assert.deepEqual([await client.permit(sfu), await client.bind(CHANNEL + at, sfu)], [0, 0], sfu.address);
    for (const text of ['one', 'two']) {
      client.sendOn(CHANNEL + at, Buffer.from(text));
      assert.equal(String((await client.receive()).data), text, sfu.address);
    }
  }
  assert.equal(await client.permit({ address: SERVER, port: 3478 }), 403, 'the relay is no SFU');
}

describe('an SFU on an address of the machine itself', () => {
  for (const scope of ['anyone', 'clients']) {
    test(`is refused to scope ${scope}, and the client learns it from the permission`, () =>
      beside({}, async (client) => {
        const [a, b] = [await client(scope), await client(scope)];
        await assertRefused(a);
        // Other clients of the relay have the same address, and are reached.
        assert.deepEqual([await a.permit(b.relayed), await b.bind(CHANNEL + 9, a.relayed), await a.bind(CHANNEL + 9, b.relayed)], [0, 0, 0]);
        a.sendOn(CHANNEL + 9, Buffer.from('to b'));
        assert.equal(String((await b.receive()).data), 'to b');
        const former = b.relayed;
        await b.free();
        assert.deepEqual([await a.permit(former), await a.bind(CHANNEL + 10, former)], [0, 403], 'the permission may be refreshed, and no channel bound');
      }));
  }

  test('is refused to CONNECT', () =>
    beside({ CASTWAY_NO_TCP_RELAY: 'false' }, async (client) => {
      const tcp = await client('anyone', { attributes: [TCP], transport: 'tcp' });
      const peer = { address: SERVER, port: listener.address().port };
      assert.deepEqual([await tcp.connectTo(peer), await tcp.permit(peer)], [403, 403]);
    }));

  test('is reached by scope anyone where CASTWAY_ALLOWED_PEER_IP names the address', () =>
    beside({ CASTWAY_ALLOWED_PEER_IP: `${SERVER},${SERVER_6}` }, async (client) => {
      await assertReached(await client('anyone'));
      for (const sfu of sfus) sfu.received.length = 0;
      await assertRefused(await client('clients'));
    }));

  test('is reached by scope clients where CASTWAY_CLIENTS_PEER_IP names the address', () =>
    beside({ CASTWAY_CLIENTS_PEER_IP: `${SERVER},${SERVER_6}` }, async (client) => {
      await assertReached(await client('clients'));
      for (const sfu of sfus) sfu.received.length = 0;
      await assertRefused(await client('anyone'));
    }));
});
