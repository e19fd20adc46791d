// The server's own firewall drops UDP 3478, the most frequent fault of all.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { declareFault, UDP_ALONE } from './faults.mjs';
import { build, firewall, run } from './internet.mjs';

const RANGE = '49152-65535';

declareFault("the server's firewall drops UDP 3478", {
  make: () => {
    build();
    firewall({ udp: [RANGE] });
  },
  evidence: { udp: 'no answer', tcp: 'allocated', tls: 'allocated' },
  // One device can't tell the server's firewall from one of its own network; doctor and two ends can.
  check: { verdict: /^udp_closed/, rows: { udp: 'failed', tcp: 'ok', tls: 'ok' }, text: /UDP 3478/ },
  doctor: { lines: { firewall: { state: /^(warning|failed)$/, text: /3478/ }, relay: { state: 'ok' }, outside: { state: /^(warning|failed)$/, verdict: /^udp_closed/ } } },
  route: /^relay\/(tcp|tls)$/,
  failure: { settings: UDP_ALONE, verdict: 'udp_closed', text: /UDP 3478/ },
  more: (setup) =>
    test('the command that doctor prints opens it', async () => {
      const firewallOf = async () => (await setup().doctor()).lines.filter(({ name }) => name === 'firewall');
      const [closed] = (await firewallOf()).filter(({ state }) => state !== 'ok');
      assert.ok(closed?.command, JSON.stringify(closed));
      run(closed.command.replaceAll('sudo ', ''));
      assert.equal((await setup().probe('home2')).udp, 'allocated');
      assert.deepEqual((await firewallOf()).filter(({ state }) => state !== 'ok'), []);
    }),
});
