// The name leads to a proxy for HTTP, such as that of a CDN. It carries the pages and signaling, and no UDP.
import assert from 'node:assert/strict';
import { declareFault } from './faults.mjs';
import { build, DOMAIN, PROXY, SERVER } from './internet.mjs';
import { nameAll } from './networks.mjs';
import { nginxBefore } from './proxies.mjs';

let nginx;
declareFault('the name leads to a proxy that carries no UDP', {
  make: () => {
    build();
    nameAll({ [DOMAIN]: PROXY });
  },
  settings: { CASTWAY_TRUSTED_PROXIES: PROXY, CASTWAY_PUBLIC_URL: `https://${DOMAIN}` },
  prepare: async (setup) => {
    nginx = await nginxBefore(`http://${SERVER}:8080`, setup.trusted, { address: PROXY, namespace: 'proxy' });
  },
  finish: () => nginx?.close(),
  evidence: async (setup) => {
    const { tls, ...found } = await setup.probe('home2');
    assert.deepEqual(found, { udp: 'no answer', tcp: 'ECONNREFUSED' });
    assert.notEqual(tls, 'allocated');
  },
  check: { verdict: 'proxy_before_name', rows: { udp: 'failed', tcp: 'failed' }, text: new RegExp(DOMAIN) },
  doctor: { lines: { name: { text: /13\.0\.0\.1/ }, outside: { state: 'failed', verdict: 'proxy_before_name' } } },
  failure: { verdict: 'proxy_before_name', text: new RegExp(DOMAIN) },
});
