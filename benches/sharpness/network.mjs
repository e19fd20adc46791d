// A slow network between two UDP sockets of this machine: a bit rate, a delay and a queue with a bound, in each direction.
import { createSocket } from 'node:dgram';

const MAX_QUEUE_MS = 150;

function slow({ kbps, delayMs }, deliver) {
  let free = 0;
  return (packet) => {
    const now = performance.now();
    const start = Math.max(now, free);
    if (start - now > MAX_QUEUE_MS) return;
    free = start + (packet.length * 8) / kbps;
    setTimeout(() => deliver(packet), free - now + delayMs);
  };
}

const bound = (socket) => new Promise((resolve) => socket.bind(0, '127.0.0.1', () => resolve(socket.address().port)));

// Passes packets between two sockets, one on each side. A side sees the other one at its port of `ports`. A side that was not connected is
// the first socket that sends.
export async function slowNetwork(shape) {
  const sockets = [createSocket('udp4'), createSocket('udp4')];
  const ports = [await bound(sockets[0]), await bound(sockets[1])];
  const peers = [0, 0];
  let closed = false;
  sockets.forEach((socket, side) => {
    const other = 1 - side;
    const pass = slow(shape, (packet) => {
      if (peers[other] && !closed) sockets[other].send(packet, peers[other], '127.0.0.1', () => {});
    });
    socket.on('message', (packet, from) => {
      peers[side] ||= from.port;
      if (from.port === peers[side]) pass(packet);
    });
    socket.on('error', () => {});
  });
  return {
    ports,
    // The port of the real socket of `side`.
    connect: (side, port) => (peers[side] = port),
    close() {
      closed = true;
      sockets.forEach((socket) => socket.close());
    },
  };
}
