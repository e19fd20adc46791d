// The server's own firewall opens UDP 3478 and the port of the pages, and drops TCP at the relay's other ports.
import { declareFault, TCP_ALONE } from './faults.mjs';
import { build, firewall } from './internet.mjs';

declareFault("the server's firewall drops TCP 3478 and 5349", {
  make: () => {
    build();
    firewall({ tcp: [22, 80, 443] });
  },
  evidence: { udp: 'allocated', tcp: 'no answer', tls: 'allocated' },
  check: { verdict: 'tcp_closed', rows: { udp: 'ok', tcp: 'failed' }, text: /TCP 3478/ },
  doctor: { lines: { firewall: { state: 'warning', text: /TCP 3478/ }, relay: { state: 'ok' }, outside: { state: 'failed', verdict: 'tcp_closed' } }, exit: 1 },
  route: /^relay\/(udp|tls)$/,
  failure: { settings: TCP_ALONE, verdict: 'tcp_closed', text: /TCP 3478/ },
  opens: { tcp: 'allocated' },
});
