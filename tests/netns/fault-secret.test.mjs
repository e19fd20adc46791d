// Pages on one machine, and the relay on another one, which was given another secret.
import { declareFault, PAGES_ALONE, relayElsewhere } from './faults.mjs';

let relay;
declareFault('the relay has another secret than the pages', {
  settings: { ...PAGES_ALONE, CASTWAY_STATIC_AUTH_SECRET: 'the secret of the pages 0123456789' },
  prepare: async () => {
    relay = await relayElsewhere({ CASTWAY_STATIC_AUTH_SECRET: 'the secret of the relay 0123456789' });
  },
  finish: () => relay?.close(),
  evidence: { udp: 401, tcp: 401 },
  check: { verdict: 'credentials_refused', rows: { udp: 'failed', tcp: 'failed' }, text: /CASTWAY_STATIC_AUTH_SECRET/ },
  doctor: { lines: { relay: { state: 'failed', text: /401|credentials/ }, outside: { state: 'failed', verdict: 'credentials_refused' } }, exit: 1 },
  failure: { verdict: 'credentials_refused', text: /CASTWAY_STATIC_AUTH_SECRET/ },
});
