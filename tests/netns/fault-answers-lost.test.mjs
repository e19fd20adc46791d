// A machine with two links: what comes in by one is answered by the other, where the provider drops packets with a foreign source address.
import assert from 'node:assert/strict';
import { declareFault, UDP_ALONE } from './faults.mjs';
import { arrivals, build, countArrivals, run, sendDatagramsByAnotherLink } from './internet.mjs';

declareFault('answers over UDP leave by another link', {
  make: () => {
    build();
    countArrivals();
    sendDatagramsByAnotherLink();
  },
  evidence: async (setup) => {
    const before = arrivals().udp;
    const leaving = () => JSON.parse(run('ip -s -j link show second'))[0].stats64.tx.packets;
    const sent = leaving();
    assert.deepEqual(await setup.probe('home2'), { udp: 'no answer', tcp: 'allocated', tls: 'allocated' });
    assert.ok(arrivals().udp > before, 'requests arrive');
    assert.ok(leaving() > sent, 'they are answered, by the other link');
  },
  check: { verdict: 'answers_lost', rows: { udp: 'failed', tcp: 'ok', tls: 'ok' }, text: /21\.2\.0\.2/ },
  doctor: { lines: { outside: { state: 'failed', verdict: 'answers_lost' } } },
  route: /^relay\/(tcp|tls)$/,
  failure: { settings: UDP_ALONE, verdict: 'answers_lost' },
});
