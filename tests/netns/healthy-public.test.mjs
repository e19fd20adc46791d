// A server's machine with a public address.
import { declareHealthy } from './healthy.mjs';
import { addSecondLink, build, SERVER } from './internet.mjs';

const RELAYED = /^relay\//;

declareHealthy('a machine with a public address', {
  make: build,
  setups: [
    { title: 'with nothing but a certificate', route: RELAYED, rows: { udp: 'ok', tcp: 'ok', tls: 'ok' } },
    { title: 'that says which address relays', settings: { CASTWAY_RELAY_IP: SERVER, CASTWAY_EXTERNAL_IP: SERVER }, route: RELAYED },
    { title: 'with a certificate that devices do not trust', settings: { CASTWAY_CERT_TRUSTED: 'false' }, alarms: ['warning cert'], route: /^relay\/(udp|tcp)$/ },
    { title: 'with a second link and address', arrange: addSecondLink, route: RELAYED },
  ],
});
