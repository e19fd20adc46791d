// The setting CASTWAY_EXTERNAL_IP names an address of nobody. The name of the pages still leads to the server.
import assert from 'node:assert/strict';
import { declareFault, WITHOUT_TLS } from './faults.mjs';

const WRONG = '16.0.0.5';

declareFault('the external address of the settings is wrong', {
  settings: { CASTWAY_EXTERNAL_IP: WRONG },
  evidence: async (setup) => {
    const found = await setup.probe('home2');
    assert.equal(found.udp, 'no answer');
    assert.match(found.tcp, /^(no answer|E\w*UNREACH)$/);
    assert.equal(found.tls, 'allocated');
  },
  check: { verdict: 'wrong_external_address', rows: { udp: 'failed', tcp: 'failed', tls: 'ok' }, text: /16\.0\.0\.5/ },
  doctor: { lines: { address: { state: 'unknown', text: /16\.0\.0\.5.*CASTWAY_EXTERNAL_IP=11\.0\.0\.1/ }, outside: { state: 'failed', verdict: 'wrong_external_address' } } },
  route: /^relay\/tls$/,
  failure: { settings: WITHOUT_TLS, verdict: 'wrong_external_address', text: /16\.0\.0\.5/ },
});
