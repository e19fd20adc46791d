// Pages on one machine, and the relay on another one, which has the same secret and a clock that is 7 hours ahead: credentials that live for an
// hour are expired when they arrive.
import assert from 'node:assert/strict';
import { SettableClock } from '../interop/support/clock.mjs';
import { declareFault, PAGES_ALONE, relayElsewhere } from './faults.mjs';

const SECRET = 'the secret of both servers 0123456789';
const HOUR = '3600';

let clock;
let relay;
declareFault("the relay's clock is 7 hours off", {
  settings: { ...PAGES_ALONE, CASTWAY_STATIC_AUTH_SECRET: SECRET, CASTWAY_TTL: HOUR, CASTWAY_ICE_TTL: HOUR },
  prepare: async () => {
    clock = new SettableClock('+7h');
    relay = await relayElsewhere({ ...clock.settings, CASTWAY_STATIC_AUTH_SECRET: SECRET });
  },
  finish: async () => {
    await relay?.close();
    clock?.close();
  },
  evidence: async (setup) => {
    assert.deepEqual(await setup.probe('home2'), { udp: 401, tcp: 401 });
    clock.set('+0');
    await relay.restart();
    assert.deepEqual(await setup.probe('home2'), { udp: 'allocated', tcp: 'allocated' });
    clock.set('+7h');
    await relay.restart();
  },
  check: { verdict: 'credentials_refused', rows: { udp: 'failed', tcp: 'failed' }, text: /clock/ },
  doctor: { lines: { relay: { state: 'failed', text: /401|credentials/ }, outside: { state: 'failed', verdict: 'credentials_refused' } }, exit: 1 },
  failure: { verdict: 'credentials_refused', text: /clock/ },
});
