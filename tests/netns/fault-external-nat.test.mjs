// A server behind NAT that has API keys, and that nobody has told its external address: relayed addresses are private ones.
import assert from 'node:assert/strict';
import { signed } from '../interop/support/strangers.mjs';
import { TurnClient } from '../interop/support/turn.mjs';
import { declareFault } from './faults.mjs';
import { buildBehindNat, INSIDE } from './internet.mjs';

const SECRET = 'a-secret-that-the-test-knows-0123456789';

declareFault('a server behind NAT advertises its private address', {
  make: () => buildBehindNat({ tcp: '{ 80, 443, 3478, 5349 }', udp: '{ 3478, 49152-65535 }' }),
  settings: { CASTWAY_STATIC_AUTH_SECRET: SECRET, CASTWAY_API_KEYS: 'a key of another service' },
  evidence: async (setup) => {
    assert.deepEqual(await setup.probe('home2'), { udp: 'allocated', tcp: 'allocated', tls: 'allocated' });
    const client = new TurnClient({ host: INSIDE, port: 3478, local: INSIDE, ...signed('anyone', SECRET, 'alice') });
    try {
      assert.equal(await client.allocate(), 0);
      assert.equal(client.relayed.address, INSIDE);
    } finally {
      await client.close();
    }
  },
  check: { verdict: 'wrong_external_address', rows: { udp: 'ok', tcp: 'ok', tls: 'ok', range: 'failed' }, text: /10\.0\.0\.5/ },
  doctor: { lines: { address: { state: 'unknown', text: /10\.0\.0\.5.*CASTWAY_EXTERNAL_IP/ }, outside: { state: 'failed', verdict: 'wrong_external_address' } } },
  // Casts and calls don't need the address.
  route: /^relay\//,
});
