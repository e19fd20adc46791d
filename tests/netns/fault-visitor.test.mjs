// The network of one visitor passes on TCP to the ports of the web, and nothing else. The server is healthy, and the other home's UDP arrives.
import { declareFault, WITHOUT_TLS } from './faults.mjs';
import { build, passOnly } from './internet.mjs';

declareFault("a visitor's network without UDP", {
  make: () => {
    build();
    passOnly(2, 'tcp dport { 80, 443 }');
  },
  prepare: (setup) => setup.probe('home1'),
  evidence: { udp: 'no answer', tcp: 'no answer', tls: 'allocated' },
  check: { verdict: 'visitor_blocks_udp', rows: { udp: 'failed', tls: 'ok' }, text: /UDP 3478 works for others .*TLS on 443 does/ },
  doctor: { lines: { relay: { state: 'ok' }, firewall: { state: 'ok' }, outside: { state: 'warning', verdict: 'visitor_blocks_udp', text: /works for others/ } }, exit: 0 },
  route: /^relay\/tls$/,
  // A certificate that devices trust would let TURN over TLS through.
  failure: { settings: WITHOUT_TLS, before: (setup) => setup.probe('home1'), verdict: 'untrusted_certificate', text: /UDP or TCP/ },
});
