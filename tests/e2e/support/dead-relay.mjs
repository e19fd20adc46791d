// A relay that is advertised at an address where nothing answers, until a test opens the way to it.
import { createSocket } from 'node:dgram';
import { once } from 'node:events';

const DEAD = '127.0.0.77';

export const DEAD_RELAY = { CASTWAY_EXTERNAL_IP: DEAD };

// Carries the datagrams to the advertised address on to the relay, and the answers back. Returns a function that ends this.
export async function openTheWay(server) {
  const port = server.turnPort;
  const outside = createSocket('udp4');
  const insides = new Map();
  outside.on('message', (packet, from) => {
    const key = `${from.address}:${from.port}`;
    let inside = insides.get(key);
    if (!inside) {
      inside = createSocket('udp4');
      inside.on('message', (answer) => outside.send(answer, from.port, from.address));
      insides.set(key, inside);
    }
    inside.send(packet, port, '127.0.0.1');
  });
  outside.bind(port, DEAD);
  await once(outside, 'listening');
  return async () => {
    for (const socket of [outside, ...insides.values()]) socket.close();
  };
}
