// The server's own firewall drops UDP 3478, the most frequent fault of all.
import { declareFault, UDP_ALONE } from './faults.mjs';
import { build, firewall } from './internet.mjs';

const RANGE = '49152-65535';

declareFault("the server's firewall drops UDP 3478", {
  make: () => {
    build();
    firewall({ udp: [RANGE] });
  },
  evidence: { udp: 'no answer', tcp: 'allocated', tls: 'allocated' },
  // One device can't tell the server's firewall from one of its own network; doctor and two devices can.
  check: { verdict: 'udp_closed_or_visitor_blocks_udp', rows: { udp: 'failed', tcp: 'ok', tls: 'ok' }, text: /UDP 3478/, together: 'udp_closed' },
  doctor: { lines: { firewall: { state: 'failed', text: /UDP 3478/ }, relay: { state: 'ok' }, outside: { state: 'failed', verdict: 'udp_closed' } }, exit: 1 },
  route: /^relay\/(tcp|tls)$/,
  failure: { settings: UDP_ALONE, verdict: 'udp_closed', text: /UDP 3478/ },
  opens: { udp: 'allocated' },
});
