// One port carries a cast between two browsers and clients of every other kind, while its certificate is renewed.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { certificateOf, domain, startCertified } from '../interop/support/certified.mjs';
import { closeAll, connect } from '../interop/support/clients.mjs';
import { exchange, pair } from '../interop/support/dialects.mjs';
import { run } from '../interop/support/process.mjs';
import { aiortc, assertUclient } from '../interop/support/relaying.mjs';
import { inRounds } from '../interop/support/rounds.mjs';
import { relayBothWays } from '../interop/support/turn.mjs';
import { TIMEOUT_MS } from '../interop/support/wait.mjs';
import { assertMagenta, assertPicture, inState, openSource, openTv, startCast, statistics, until } from './support/browser.mjs';
import { browserTest } from './support/browser-test.mjs';
import { homeThatTrusts } from './support/trust.mjs';

// A certificate is renewed after two thirds of this time.
const CERTIFICATE_LIFE_S = 120;
// Orders, the pauses between them and the lifetimes of certificates need more time than usual.
const CERTIFICATE_TIMEOUT_MS = 4 * TIMEOUT_MS;

// The pages use the relay over TLS only; the other clients use its other transports.
const overTls = () => {
  const Connection = window.RTCPeerConnection;
  const only = ({ iceServers, ...more }) => ({ ...more, iceServers: iceServers?.map((server) => ({ ...server, urls: [server.urls].flat().filter((url) => url.startsWith('turns:')) })).filter(({ urls }) => urls.length > 0) });
  window.RTCPeerConnection = class extends Connection {
    constructor(configuration = {}) {
      super(only(configuration));
    }

    setConfiguration(configuration) {
      super.setConfiguration(only(configuration));
    }
  };
};

async function start(fixture) {
  const { authority, server } = await startCertified({ life: CERTIFICATE_LIFE_S }, { CASTWAY_TURN_ACCESS: 'open' });
  fixture.onClose(authority.close);
  fixture.authority = authority;
  return server;
}

browserTest('browsers cast over the one port that everybody uses while its certificate is renewed', start, async (fixture, server) => {
  const certificate = () => certificateOf(server);
  await until('the first certificate', certificate, ({ kind }) => kind === 'acme', CERTIFICATE_TIMEOUT_MS);
  const root = join(server.dataDir, 'root.pem');
  writeFileSync(root, fixture.authority.root);
  const { home, close } = homeThatTrusts(root);
  fixture.onClose(async () => close());
  const [port, at] = [server.httpsPort, `${domain}:${server.httpsPort}`];
  const secure = { url: `https://${at}` };
  const granted = await (await fetch(`${server.url}/turn?username=alice`)).json();
  assert.ok(granted.uris.includes(`turns:${at}?transport=tcp`), granted.uris.join(' '));

  const options = { home, args: [`--host-resolver-rules=MAP ${domain} 127.0.0.1`] };
  const [tvBrowser, castBrowser] = [await fixture.browser(options), await fixture.browser(options)];
  await openSource(castBrowser);
  const { page: tv, code } = await openTv(tvBrowser, secure, { script: overTls });
  const caster = await startCast(castBrowser, secure, code, { script: overTls });
  await inState(tv, 'playing');
  await assertPicture(tv, 1);
  const ends = () => Promise.all([tv, caster].map((page) => statistics(page)));
  for (const { local, remote, url } of await ends()) assert.deepEqual([local, remote, url], ['relay', 'relay', `turns:${at}?transport=tcp`]);
  const addresses = async () => (await ends()).map(({ address }) => address);
  const [before, { fingerprint }] = [await addresses(), await certificate()];

  const clients = await Promise.all(['TV', 'caster'].map((label) => connect(secure, { ca: fixture.authority.root, label })));
  fixture.onClose(async () => closeAll());
  await pair(clients[0], 'A', clients[1], 'A');
  let mark = 0;
  const ways = {
    'a cast of other clients over WSS': async () => {
      mark += 1;
      await exchange(clients[0], 'A', clients[1], 'A', { mark });
    },
    'a page over HTTP/2': async () => {
      const { output } = await run('curl', ['-sS', '--http2', '--cacert', root, '--resolve', `${at}:127.0.0.1`, '-o', '/dev/null', '-w', '%{http_code} %{http_version}', `https://${at}/tv`]);
      assert.equal(output, '200 2');
    },
    "coturn's client over TCP": () => assertUclient(port, ['-t'], granted),
    "coturn's client over TLS": () => assertUclient(port, ['-t', '-S'], granted),
    'plain TURN over TCP': async () => assert.equal(await relayBothWays({ port, transport: 'tcp', ...granted }), 'relayed'),
    'aiortc over TLS': async () => {
      const { code: status, output } = await aiortc(domain, port, granted, root);
      assert.equal(status, 0, output);
    },
  };
  // All these clients are active while the authority checks the challenge.
  await inRounds(ways, until('the next certificate', certificate, (now) => now.fingerprint !== fingerprint, CERTIFICATE_TIMEOUT_MS));

  const { frames } = await statistics(tv);
  await assertPicture(tv, 3, frames + 1);
  await assertMagenta(tv);
  // A relayed address would have ended with its TLS connection.
  assert.deepEqual(await addresses(), before);
  // The first attempt, which uses TLS-ALPN-01, succeeds.
  assert.deepEqual(server.logged(/no certificate for/), []);
});
