// Payloads of 60 kB where a packet has at most 1500 bytes, so that UDP carries them as IP fragments.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { assertPayloadsBetween, assertPayloadsToPeer, PAIRS, SETTINGS, USER } from '../interop/support/payloads.mjs';
import { startServer } from '../interop/support/server.mjs';

let server;
let stranger;
before(async () => {
  // This file has a network namespace of its own, and with it a loopback interface.
  assert.equal(process.env.CASTWAY_NETNS, '1', 'tests/netns/enter runs this file');
  execFileSync('ip', ['link', 'set', 'lo', 'mtu', '1500']);
  server = await startServer(SETTINGS);
  await server.addUser(USER.username, USER.password);
  stranger = await (await fetch(`${server.url}/turn?username=bob`)).json();
});
after(() => server?.close());

// The number of packets of this namespace that the kernel has put together from fragments.
function reassembled() {
  const [names, values] = readFileSync('/proc/net/snmp', 'utf8').split('\n').filter((line) => line.startsWith('Ip:')).map((line) => line.split(' '));
  return Number(values[names.indexOf('ReasmOKs')]);
}

describe('payloads of 60 kB in IP fragments', () => {
  for (const transport of ['udp', 'tcp', 'tls']) {
    test(`between a client over ${transport.toUpperCase()} and a plain peer`, async () => {
      const before = reassembled();
      await assertPayloadsToPeer(server, transport);
      assert.ok(reassembled() > before, 'the peer has got fragments');
    });
  }
  for (const [one, other] of PAIRS) {
    test(`between clients over ${one.toUpperCase()} and ${other.toUpperCase()}`, () => assertPayloadsBetween(server, stranger, one, other));
  }
});
