// A server's machine behind a router that forwards ports to it, but not those of hosts inside: the server can't reach itself at its external
// address, while everybody outside can.
import { declareHealthy } from './healthy.mjs';
import { buildBehindNat, SERVER } from './internet.mjs';

const RELAYED = /^relay\//;

declareHealthy('behind NAT that serves nobody inside', {
  make: () => buildBehindNat({ tcp: '{ 443, 3478 }', udp: '3478', hairpin: false }),
  setups: [
    { title: 'without an external address, which casts do not need', route: RELAYED },
    { title: 'with its external address', settings: { CASTWAY_EXTERNAL_IP: SERVER }, route: RELAYED },
  ],
});
