// A server in a container, on a bridge of a machine with a public address.
import { declareHealthy } from './healthy.mjs';
import { build, SERVER } from './internet.mjs';
import { contain, CONTAINER } from './networks.mjs';

// TCP 3478 is not published, so it is not advertised either.
const INSIDE = { TEST_NAMESPACE: 'container', CASTWAY_HTTP_ADDR: `${CONTAINER}:8080`, CASTWAY_NO_TCP: 'true' };

declareHealthy('a container with two published ports', {
  make: () => {
    build();
    contain({ tcp: 443, udp: 3478 });
  },
  setups: [
    { title: 'that knows no external address', settings: INSIDE, route: /^relay\/(udp|tls)$/ },
    { title: 'that knows its external address', settings: { ...INSIDE, CASTWAY_EXTERNAL_IP: SERVER }, route: /^relay\/(udp|tls)$/ },
  ],
});
