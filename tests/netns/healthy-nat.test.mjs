// A server's machine behind a router that forwards ports to it.
import { declareHealthy } from './healthy.mjs';
import { buildBehindNat, SERVER } from './internet.mjs';

const RELAYED = /^relay\//;

declareHealthy('behind NAT that also serves hosts inside', {
  make: () => buildBehindNat({ tcp: '{ 80, 443, 3478, 5349 }', udp: '{ 3478, 49152-65535 }' }),
  setups: [
    { title: 'without an external address, which casts do not need', route: RELAYED },
    { title: 'with its external address', settings: { CASTWAY_EXTERNAL_IP: SERVER }, route: RELAYED },
    { title: 'with its external address and an API key', settings: { CASTWAY_EXTERNAL_IP: SERVER, CASTWAY_API_KEYS: 'a key of another service' }, route: RELAYED, verdict: /^fine$/, rows: { range: 'ok' } },
  ],
});
