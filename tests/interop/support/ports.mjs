// Free ports for programs that take their port from a setting.
import { randomInt } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer } from 'node:net';

// Below Linux's ephemeral ports and below the relayed ones: between the check and the program's bind, and during a restart, only
// another test that draws the same port can take it. Above 10080, the highest port that fetch and browsers refuse.
const [LOWEST, HIGHEST] = [11_000, 32_767];
const given = new Set();
// Relayed ports that stay free until a test asks for them: they are above Linux's ephemeral ports, and no other test relays there.
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

// Calls `start` again, which draws other ports, where a program found its port taken.
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
