// Servers whose relayed ports are used: by API keys, and by other issuers of credentials.
import { declareHealthy } from './healthy.mjs';
import { build, firewall, openFirewall } from './internet.mjs';

const RELAYED = /^relay\//;
const rows = { udp: 'ok', tcp: 'ok', range: 'ok' };
const SECRET = 'a-secret-that-the-test-knows-0123456789';

declareHealthy('a relay for other services', {
  make: build,
  setups: [
    { title: 'with an API key', settings: { CASTWAY_API_KEYS: 'a key of another service' }, route: RELAYED, verdict: /^fine$/, rows },
    { title: 'with a secret that it shares', settings: { CASTWAY_STATIC_AUTH_SECRET: SECRET }, arrange: () => firewall(), restore: openFirewall, route: RELAYED, verdict: /^fine$/, rows },
    { title: 'with the pages at its port, too', settings: { CASTWAY_API_KEYS: 'a key of another service', CASTWAY_TURN_HTTP: 'true' }, route: RELAYED, verdict: /^fine$/, rows },
  ],
});
