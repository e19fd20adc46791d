// Silent connections from many addresses don't keep clients out of TURN over TCP and TLS. Nor do those of one client block another client
// behind the same address.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect as connectTcp } from 'node:net';
import { after, afterEach, before, describe, test } from 'node:test';
import { startServer } from './support/server.mjs';
import { TurnClient } from './support/turn.mjs';

// A school connects so many clients together.
const CLIENTS = 48;
const HOME = '127.0.9.9';

let server;
let credentials;
let silent = [];
let clients = [];
before(async () => {
  server = await startServer({ CASTWAY_TURN_ACCESS: 'open' });
  const { username, password } = await (await fetch(`${server.url}/turn?username=alice`)).json();
  credentials = { username, password };
});
after(() => server?.close());
afterEach(async () => {
  silent.forEach((socket) => socket.destroy());
  for (const client of clients) await client.close().catch(() => {});
  [silent, clients] = [[], []];
});

// Opens `count` connections from each address in sequence. Each one sends `text`, or nothing without it.
async function holds(port, addresses, count, text) {
  for (let n = 0; n < count; n += 1) {
    const opened = addresses.map((localAddress) => {
      const socket = connectTcp({ port, host: '127.0.0.1', localAddress });
      socket.on('error', () => {});
      silent.push(socket);
      return once(socket, 'connect').then(() => text && socket.write(text), () => {});
    });
    await Promise.all(opened);
  }
}

// Allocates with all clients of one address at the same time.
async function allocate(transport) {
  const [port, tls] = transport === 'tcp' ? [server.turnPort] : [server.httpsPort, { rejectUnauthorized: false }];
  const one = async () => {
    const client = new TurnClient({ ...credentials, port, transport, tls, local: HOME });
    clients.push(client);
    return client.allocate();
  };
  return Promise.all(Array.from({ length: CLIENTS }, () => one()));
}

const ALL_ALLOCATED = Array(CLIENTS).fill(0);
const OTHERS = Array.from({ length: 65 }, (_, n) => `127.0.1.${1 + n}`);
// An Allocate without credentials, which gets a 401: its sender looks like a client that is about to authenticate.
const ASKS = Buffer.concat([Buffer.from('000300082112a442', 'hex'), Buffer.alloc(12, 7), Buffer.from('0019000411000000', 'hex')]);

for (const transport of ['tcp', 'tls']) {
  const port = () => (transport === 'tcp' ? server.turnPort : server.httpsPort);
  describe(`TURN over ${transport.toUpperCase()}`, () => {
    test('is open beside 2,080 silent connections of 65 addresses', async () => {
      await holds(port(), OTHERS, 32);
      assert.deepEqual(await allocate(transport), ALL_ALLOCATED);
    });

    test('is open beside hundreds of silent connections of the same address', async () => {
      await holds(port(), [HOME], 600);
      assert.deepEqual(await allocate(transport), ALL_ALLOCATED);
    });

    test('is open beside 2,080 connections that ask and go no further', async () => {
      await holds(port(), OTHERS, 32, ASKS);
      assert.deepEqual(await allocate(transport), ALL_ALLOCATED);
    });
  });
}
