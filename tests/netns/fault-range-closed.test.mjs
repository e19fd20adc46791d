// A relay with API keys, whose clients may reach every peer: the server's own firewall drops what peers send to the relayed ports.
import assert from 'node:assert/strict';
import { signed } from '../interop/support/strangers.mjs';
import { TurnClient } from '../interop/support/turn.mjs';
import { declareFault } from './faults.mjs';
import { build, ELSEWHERE, firewall, run, SERVER } from './internet.mjs';

const SECRET = 'a-secret-that-the-test-knows-0123456789';
const CLOSED = { udp: [3478] };

declareFault("the server's firewall drops the relayed ports", {
  make: () => {
    build();
    firewall(CLOSED);
  },
  settings: { CASTWAY_STATIC_AUTH_SECRET: SECRET, CASTWAY_API_KEYS: 'a key of another service' },
  evidence: async () => {
    const client = new TurnClient({ host: SERVER, port: 3478, local: SERVER, ...signed('anyone', SECRET, 'alice') });
    try {
      assert.equal(await client.allocate(), 0);
      assert.equal(await client.permit({ address: ELSEWHERE, port: 9 }), 0);
      const send = (text) => run(`ip netns exec elsewhere bash -c 'printf ${text} > /dev/udp/${SERVER}/${client.relayed.port}'`);
      send('closed');
      firewall();
      send('open');
      assert.equal(String((await client.receive()).data), 'open');
    } finally {
      firewall(CLOSED);
      await client.close();
    }
  },
  check: { verdict: 'range_closed', rows: { udp: 'ok', tcp: 'ok', range: 'failed' }, text: /49152/ },
  doctor: { lines: { firewall: { state: 'warning', text: /49152.*API keys/, verdict: 'range_closed' }, relay: { state: 'ok' }, outside: { state: 'failed', verdict: 'range_closed' } } },
  // Two relayed addresses of one server need none of these ports.
  route: /^relay\//,
  opens: async (setup) => assert.equal((await setup.check('home2')).verdict.code, 'fine'),
});
