// Free ports for programs whose port is a setting.
import { randomInt } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer } from 'node:net';

// These ports are below Linux's ephemeral ports and below the relayed ones: between the check and the program's bind, and during a restart,
// only another test that draws the same port can take it. They are above 10080, the highest port that fetch and browsers refuse.
const [LOWEST, HIGHEST] = [11_000, 32_767];
const given = new Set();
// Relayed ports that stay free until a test requests them: they are above Linux's ephemeral ports, and no other test relays there at the
// same address.
export const UNUSED_RELAY_PORTS = { CASTWAY_MIN_PORT: '61000', CASTWAY_MAX_PORT: '65535' };

// A port that is free for TCP and UDP at `host`, and was not returned before.
export async function freePort(host = '127.0.0.1') {
  for (;;) {
    const port = randomInt(LOWEST, HIGHEST + 1);
    if (given.has(port) || !(await isFree(port, host))) continue;
    given.add(port);
    return port;
  }
}

// Calls `start` again, which draws new ports, if a program has found its port taken.
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
