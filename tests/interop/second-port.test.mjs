// The second port of STUN and TURN, as the tutorials' coturn has it at 3479 (`alt-listening-port`).
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { freePort } from './support/ports.mjs';
import { assertUclient } from './support/relaying.mjs';
import { startServer } from './support/server.mjs';

let server;
let second;
before(async () => {
  server = await startServer(async () => {
    second = await freePort();
    return { CASTWAY_ALT_LISTENING_PORT: String(second), CASTWAY_TURN_ACCESS: 'open', CASTWAY_NO_TLS: 'true' };
  });
});
after(() => server?.close());

const granted = async () => (await fetch(`${server.url}/turn?username=alice`)).json();

test('its URLs come after those of the first', async () => {
  const ways = ['udp', 'tcp'];
  const expected = [server.turnPort, second].flatMap((port) => ways.map((way) => `turn:127.0.0.1:${port}?transport=${way}`));
  assert.deepEqual((await granted()).uris, expected);
});

describe("coturn's client relays there", () => {
  for (const [transport, ways] of [['UDP', []], ['TCP', ['-t']]]) {
    test(`over ${transport}`, async () => assertUclient(second, ways, await granted()));
  }
});
