// The certificate is signed by an authority that no visitor knows, and the settings claim that they do. Who accepts the browser's warning gets
// the pages; TURN over TLS has no such warning.
import assert from 'node:assert/strict';
import { ownAuthority } from '../interop/support/authority.mjs';
import { declareFault } from './faults.mjs';
import { DOMAIN, passOnly } from './internet.mjs';

declareFault('nobody knows the authority of the certificate', {
  options: () => ({ authority: ownAuthority([`DNS:${DOMAIN}`]) }),
  evidence: async (setup) => {
    const { username, password } = await (await fetch(`${setup.server.url}/turn?username=alice`)).json();
    const uris = [`turn:${DOMAIN}:3478?transport=udp`, `turn:${DOMAIN}:3478?transport=tcp`, `turns:${DOMAIN}:443?transport=tcp`];
    const { tls, ...others } = await setup.probe('home2', { credentials: { uris, username, password } });
    assert.deepEqual(others, { udp: 'allocated', tcp: 'allocated' });
    assert.match(tls, /^(SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_\w+)$/);
  },
  check: { verdict: 'untrusted_certificate', rows: { udp: 'ok', tcp: 'ok', tls: 'failed' } },
  doctor: { lines: { relay: { state: 'failed', verdict: 'untrusted_certificate' }, outside: { state: 'failed', verdict: 'untrusted_certificate' } } },
  route: /^relay\/(udp|tcp)$/,
  failure: { before: () => [1, 2].forEach((n) => passOnly(n, 'tcp dport { 80, 443 }')), verdict: 'untrusted_certificate' },
});
