// Casts between the two homes, and the relay's traffic of them.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { excerpt } from '../interop/support/excerpt.mjs';
import { TIMEOUT_MS, within } from '../interop/support/wait.mjs';

const script = fileURLToPath(new URL('peer.mjs', import.meta.url));

// A TV or a caster in a home. `next` resolves to the next object that it prints.
function peer(home, ca, ...args) {
  const env = ca ? { ...process.env, NODE_EXTRA_CA_CERTS: ca } : process.env;
  const child = spawn('ip', ['netns', 'exec', home, process.execPath, script, ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  let errors = '';
  child.stderr.on('data', (chunk) => (errors += chunk));
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async () => {
    const { value, done } = await within(lines.next(), `word of ${args[0]} in ${home}`, 4 * TIMEOUT_MS);
    assert.ok(!done, `${args[0]} in ${home} ended: ${excerpt(errors)}`);
    return JSON.parse(value);
  };
  const ended = once(child, 'close');
  const end = async () => {
    child.kill('SIGKILL');
    await ended;
  };
  return { next, end };
}

// Runs one cast, and resolves to the object that the caster prints at its end. `options` are for both peers, `ca` is the certificate file
// of an authority that they trust.
export async function cast(url, options = [], ca) {
  const tv = peer('home1', ca, 'tv', url, ...options);
  let caster;
  try {
    const { code } = await tv.next();
    caster = peer('home2', ca, 'caster', url, code, ...options);
    return await caster.next();
  } finally {
    await tv.end();
    await caster?.end();
  }
}

// Payload bytes of a cast: three rounds of fifty echoes of 8 kB on average, in both directions. The tests accept a little less.
export const PAYLOADS = 3 * 50 * 7000;

// Bytes relayed so far, by the clients' transport.
export async function relayed(server) {
  const text = await (await fetch(`${server.url}/metrics`)).text();
  const sum = (transport) =>
    [...text.matchAll(new RegExp(`^castway_relay_bytes_total\\{direction="[^"]+",transport="${transport}"\\} (\\S+)$`, 'gm'))].reduce((all, [, bytes]) => all + Number(bytes), 0);
  return { udp: sum('udp'), tcp: sum('tcp'), tls: sum('tls') };
}
