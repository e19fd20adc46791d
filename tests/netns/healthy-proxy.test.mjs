// A server behind a proxy for its pages, whose relay clients reach without it.
import { declareHealthy } from './healthy.mjs';
import { build, DOMAIN, OTHER_DOMAIN, PROXY, SERVER } from './internet.mjs';
import { nameAll } from './networks.mjs';
import { haproxyBefore, nginxBefore } from './proxies.mjs';

const RELAYED = /^relay\/(udp|tcp)$/;
const HERE = { address: SERVER };
const BEHIND = { CASTWAY_NO_TLS: 'true', CASTWAY_CERT: undefined, CASTWAY_PKEY: undefined, CASTWAY_CERT_TRUSTED: undefined, CASTWAY_HTTPS_ADDR: undefined };

let proxy;
const restore = () => proxy?.close();
const nginx = async ({ trusted }, upstream, at) => {
  proxy = await nginxBefore(upstream, trusted, at);
};

declareHealthy('a server behind a proxy', {
  make: build,
  setups: [
    {
      title: 'nginx on the same machine',
      settings: { ...BEHIND, CASTWAY_TRUSTED_PROXIES: '127.0.0.1' },
      prepare: (setup) => nginx(setup, 'http://127.0.0.1:8080', HERE),
      restore,
      route: RELAYED,
    },
    {
      title: 'HAProxy with the PROXY protocol on the same machine',
      settings: { CASTWAY_HTTPS_ADDR: '[::]:8443', CASTWAY_TRUSTED_PROXIES: '127.0.0.1', CASTWAY_PUBLIC_URL: `https://${DOMAIN}` },
      prepare: async () => {
        proxy = await haproxyBefore('127.0.0.1:8443', HERE);
      },
      restore,
      route: /^relay\//,
    },
    {
      title: 'nginx on another machine, with the address of the relay in the settings',
      casts: true,
      arrange: () => nameAll({ [OTHER_DOMAIN]: PROXY }),
      settings: { ...BEHIND, CASTWAY_TRUSTED_PROXIES: PROXY, CASTWAY_EXTERNAL_IP: SERVER, CASTWAY_PUBLIC_URL: `https://${OTHER_DOMAIN}` },
      serve: { origin: `https://${OTHER_DOMAIN}` },
      prepare: (setup) => nginx(setup, `http://${SERVER}:8080`, { address: PROXY, namespace: 'proxy' }),
      restore,
      route: RELAYED,
    },
  ],
});
