// A server's machine and homes with IPv6, which no router translates.
import { declareHealthy } from './healthy.mjs';
import { build, DOMAIN, firewall, openFirewall, OTHER_DOMAIN, run, SERVER, SERVER_V6 } from './internet.mjs';
import { nameAll } from './networks.mjs';

declareHealthy('a machine with IPv6', {
  make: () => build({ six: true }),
  setups: [
    { title: 'and IPv4', arrange: () => nameAll({ [DOMAIN]: [SERVER, SERVER_V6] }), route: /^(direct|relay)\//, rows: { udp: 'ok', tcp: 'ok', tls: 'ok' } },
    { title: 'and IPv4, over the relay', arrange: () => firewall(), restore: openFirewall, query: '?ice=relay', route: /^relay\// },
    {
      title: 'alone',
      casts: true,
      arrange: () => {
        nameAll({ [DOMAIN]: SERVER_V6, [OTHER_DOMAIN]: SERVER_V6 });
        run(`ip addr del ${SERVER}/24 dev wan; for n in 1 2; do ip -n home$n addr del 192.168.$n.2/24 dev eth0; done`);
      },
      serve: { origin: `https://${OTHER_DOMAIN}` },
      query: '?ice=relay',
      route: /^relay\//,
    },
  ],
});
