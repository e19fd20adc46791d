// The whole flow across the dialects, with acks, on the other dialect's namespace, and between generations of clients. clients.test.mjs
// tests each dialect on its own with every client.
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import { closeAll, connect, transports, versions } from './support/clients.mjs';
import { wholeFlow } from './support/dialects.mjs';
import { startServer } from './support/server.mjs';
import { until } from './support/wait.mjs';

const home = { A: '/', B: '/rtc' };
const upgraded = (peer) => until(`${peer.label} has upgraded`, () => peer.transport, (transport) => transport === 'websocket');

let server;
before(async () => {
  server = await startServer();
});
after(() => server?.close());
afterEach(closeAll);

for (const version of Object.keys(versions)) {
  describe(`socket.io-client ${version}`, () => {
    for (const transport of Object.keys(transports)) {
      for (const [tvDialect, casterDialect] of ['AA', 'BB', 'AB', 'BA']) {
        for (const acks of [false, true]) {
          if (!acks && tvDialect === casterDialect) continue;
          test(`${transport}: TV ${tvDialect}, caster ${casterDialect}, ${acks ? 'with' : 'without'} acks`, async () => {
            const tv = await connect(server, { version, transport, namespace: home[tvDialect], label: 'TV' });
            const caster = await connect(server, { version, transport, namespace: home[casterDialect], label: 'caster' });
            const username = casterDialect === 'B' ? 'Zoë 张' : undefined;
            await wholeFlow(tv, tvDialect, caster, casterDialect, { acks, username });
            if (transport === 'upgrade') await upgraded(tv);
            if (transport === 'polling') assert.equal(tv.transport, 'polling');
            assert.deepEqual(tv.heard('CAST_ERROR'), []);
            assert.deepEqual(caster.heard('CAST_ERROR'), []);
          });
        }
      }
    }
  });
}

describe('namespaces', () => {
  for (const version of Object.keys(versions)) {
    for (const tvSpace of ['/', '/rtc']) {
      for (const casterSpace of ['/', '/rtc']) {
        for (const [tvDialect, casterDialect] of ['AA', 'BB', 'AB', 'BA']) {
          if (tvSpace === home[tvDialect] && casterSpace === home[casterDialect]) continue;
          test(`${version}: TV ${tvDialect} on ${tvSpace}, caster ${casterDialect} on ${casterSpace}`, async () => {
            const tv = await connect(server, { version, namespace: tvSpace, label: 'TV' });
            const caster = await connect(server, { version, namespace: casterSpace, label: 'caster' });
            await wholeFlow(tv, tvDialect, caster, casterDialect);
          });
        }
      }
    }
  }
});

describe('generations mixed', () => {
  for (const [tvVersion, casterVersion] of [['2.5', '4.8'], ['4.8', '2.5'], ['3.1', '2.5']]) {
    test(`TV ${tvVersion} polling, caster ${casterVersion} upgrading`, async () => {
      const tv = await connect(server, { version: tvVersion, transport: 'polling', namespace: '/rtc', label: 'TV' });
      const caster = await connect(server, { version: casterVersion, transport: 'upgrade', label: 'caster' });
      await wholeFlow(tv, 'B', caster, 'A');
    });
  }
});
