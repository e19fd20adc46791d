// The largest payloads: 60 kB, which UDP carries as IP fragments where the network's packets are smaller.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { Allocations } from './allocations.mjs';
import { within } from './wait.mjs';

const CHANNEL = 0x4000;
const SIZES = [1, 1200, 1472, 1473, 9000, 40_001, 60_000];
export const USER = { username: 'alice', password: 'alice-password-1' };
// A user may send to plain peers of this machine.
export const SETTINGS = { CASTWAY_ALLOWED_PEER_IP: '127.0.0.1' };

// A plain UDP peer: `next` resolves to {data, port} of the next datagram.
async function plainPeer() {
  const socket = createSocket({ type: 'udp4', recvBufferSize: 1 << 20 });
  const [heard, waiting] = [[], []];
  socket.on('message', (data, { port }) => (waiting.shift() ?? ((item) => heard.push(item)))({ data, port }));
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  const next = () => within(heard.length ? Promise.resolve(heard.shift()) : new Promise((resolve) => waiting.push(resolve)), 'datagram at the peer');
  return { address: '127.0.0.1', port: socket.address().port, next, send: (data, port) => socket.send(data, port, '127.0.0.1'), close: () => socket.close() };
}

// Between a client and a plain peer: with Send and Data indications, and then on a channel.
export async function assertPayloadsToPeer(server, transport) {
  const [allocations, peer] = [new Allocations(server), await plainPeer()];
  try {
    const client = await allocations.allocated(USER, { transport, recvBufferSize: 1 << 20 });
    assert.equal(await client.permit(peer), 0);
    for (const way of ['indication', 'channel']) {
      if (way === 'channel') assert.equal(await client.bind(CHANNEL, peer), 0);
      for (const size of SIZES) {
        const [there, back] = [randomBytes(size), randomBytes(size)];
        if (way === 'channel') client.sendOn(CHANNEL, there);
        else client.send(peer, there);
        const { data, port } = await peer.next();
        assert.ok(data.equals(there), `${size} bytes to the peer, ${way}`);
        assert.equal(port, client.relayed.port);
        peer.send(back, client.relayed.port);
        const heard = await client.receive();
        assert.ok(heard.data.equals(back), `${size} bytes to the client, ${way}`);
        assert.equal(heard.channel, way === 'channel' ? CHANNEL : undefined);
      }
    }
  } finally {
    peer.close();
    await allocations.close();
  }
}

// Between two clients.
export async function assertPayloadsBetween(server, credentials, one, other) {
  const allocations = new Allocations(server);
  try {
    const options = { recvBufferSize: 1 << 20 };
    const [a, b] = [await allocations.allocated(credentials, { transport: one, ...options }), await allocations.allocated(credentials, { transport: other, ...options })];
    assert.deepEqual([await a.bind(CHANNEL, b.relayed), await b.bind(CHANNEL, a.relayed)], [0, 0]);
    for (const size of SIZES) {
      for (const [from, to] of [[a, b], [b, a]]) {
        const payload = randomBytes(size);
        from.sendOn(CHANNEL, payload);
        assert.ok((await to.receive()).data.equals(payload), `${size} bytes from ${from.transport} to ${to.transport}`);
      }
    }
  } finally {
    await allocations.close();
  }
}

const TRANSPORTS = ['udp', 'tcp', 'tls'];
export const PAIRS = TRANSPORTS.flatMap((one, at) => TRANSPORTS.slice(at).map((other) => [one, other]));
