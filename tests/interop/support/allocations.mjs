// Allocations of tests, sockets that show what arrives at a peer, and the relay's counters.
import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { TurnClient } from './turn.mjs';
import { until } from './wait.mjs';

// Each client has a loopback address of its own by default, since the server counts by address.
let clients = 0;
function ownAddress() {
  clients += 1;
  return `127.1.${clients >> 8}.${clients & 0xff}`;
}

// The clients of one test, which `close` ends.
export class Allocations {
  #clients = [];

  constructor(server) {
    this.server = server;
  }

  // A client that has not allocated yet.
  client(credentials, { transport = 'udp', ...more } = {}) {
    const port = transport === 'tls' ? this.server.httpsPort : this.server.turnPort;
    const tls = transport === 'tls' ? { rejectUnauthorized: false } : undefined;
    const local = more.host === '::1' ? '::1' : ownAddress();
    const client = new TurnClient({ port, transport, tls, local, ...credentials, ...more });
    this.#clients.push(client);
    return client;
  }

  async allocated(credentials, { attributes, ...more } = {}) {
    const client = this.client(credentials, more);
    assert.equal(await client.allocate(undefined, attributes), 0, `an Allocate of ${credentials.username}`);
    return client;
  }

  // Two clients that may send to each other on channel 0x4000.
  async pair(first, second = first, options = {}) {
    const [a, b] = [await this.allocated(first, options), await this.allocated(second, options)];
    assert.deepEqual([await a.bind(0x4000, b.relayed), await b.bind(0x4000, a.relayed)], [0, 0]);
    return [a, b];
  }

  async close() {
    for (const client of this.#clients.splice(0)) {
      await client.close().catch(() => {});
    }
  }
}

// A UDP socket that keeps what arrives: {address, port, received, settle, close}.
export async function sink(address, port = 0) {
  const type = address.includes(':') ? 'udp6' : 'udp4';
  const socket = createSocket(type);
  const received = [];
  socket.on('message', (data) => received.push(String(data)));
  socket.bind(port, address);
  await once(socket, 'listening');
  const own = socket.address();
  // Resolves when everything that was sent to the sink before has arrived.
  const settle = async () => {
    const sender = createSocket(type);
    const mark = `mark ${received.length}`;
    try {
      sender.send(mark, own.port, address);
      await until(`${mark} arrives`, () => received.includes(mark));
    } finally {
      sender.close();
    }
    received.splice(received.indexOf(mark), 1);
  };
  return { address, port: own.port, received, settle, close: () => socket.close() };
}

// The sum of all series of a metric whose labels contain `labels`.
export async function total(server, name, labels = '') {
  const lines = (await (await fetch(`${server.url}/metrics`)).text()).split('\n');
  return lines.filter((line) => line.startsWith(`${name}{`) && line.includes(labels)).reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
}
