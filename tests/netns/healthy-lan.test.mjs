// The server's machine, a TV and a caster in one network without the internet.
import { declareHealthy } from './healthy.mjs';
import { buildLan, DOMAIN, firewall, IN_LAN, openFirewall } from './internet.mjs';

const DIRECT = /^direct\/udp$/;
const SELF_SIGNED = { CASTWAY_CERT: undefined, CASTWAY_PKEY: undefined, CASTWAY_CERT_TRUSTED: undefined };

declareHealthy('a network without the internet', {
  make: buildLan,
  options: () => ({ names: [`DNS:${DOMAIN}`, `IP:${IN_LAN}`] }),
  setups: [
    { title: 'without a name, and with a certificate of its own', settings: { ...SELF_SIGNED, CASTWAY_HTTPS_ADDR: undefined }, serve: { origin: `https://${IN_LAN}:8443`, accept: true }, route: DIRECT },
    { title: "with a name and a certificate of the company's authority", route: DIRECT },
    { title: 'with a firewall that opens what is needed', arrange: () => firewall(), restore: openFirewall, route: DIRECT },
  ],
});
