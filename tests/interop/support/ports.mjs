// Ports for programs that have to be told one.
import { randomInt } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer } from 'node:net';

// Below those that Linux gives to whoever asks for any, and below the relayed ones: from the look to the program's bind, and over
// its restart, nobody comes in between but another test that draws the same. And above 10080, which fetch and browsers refuse.
const [LOWEST, HIGHEST] = [11_000, 32_767];
const given = new Set();
// For relayed addresses that stay free until they are asked for: above those that Linux gives away, and no other test relays there.
export const UNUSED_RELAY_PORTS = { CASTWAY_MIN_PORT: '61000', CASTWAY_MAX_PORT: '65535' };

// Free for TCP and UDP at `host`, and not given before.
export async function freePort(host = '127.0.0.1') {
  for (;;) {
    const port = randomInt(LOWEST, HIGHEST + 1);
    if (given.has(port) || !(await isFree(port, host))) continue;
    given.add(port);
    return port;
  }
}

// Begins anew, with other ports, where a program has found one taken.
export async function onFreePorts(start, tries = 5) {
  for (let left = tries; ; left -= 1) {
    try {
      return await start();
    } catch (error) {
      if (left <= 1 || !/in use|taken/i.test(String(error))) throw error;
    }
  }
}

async function isFree(port, host) {
  const tcp = createServer();
  const udp = createSocket(host.includes(':') ? 'udp6' : 'udp4');
  try {
    tcp.listen(port, host);
    await once(tcp, 'listening');
    udp.bind(port, host);
    await once(udp, 'listening');
    return true;
  } catch {
    return false;
  } finally {
    await Promise.all([tcp, udp].map((socket) => new Promise((resolve) => socket.close(resolve))));
  }
}
