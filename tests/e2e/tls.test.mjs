// HTTPS, WSS and TURN over TLS on one port, with a certificate that the browser really verifies.
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect } from 'node:tls';
import assert from 'node:assert/strict';
import { after } from 'node:test';
import { ownAuthority } from '../interop/support/authority.mjs';
import { assertMagenta, assertPicture, assertRelayed, inState, openSource, openTv, startCast, statistics, until } from './support/browser.mjs';
import { browserTest } from './support/browser-test.mjs';
import { homeThatTrusts } from './support/trust.mjs';

const authority = ownAuthority();
const { home, close } = homeThatTrusts(authority.ca);
after(() => {
  authority.close();
  close();
});

const onlyTls = { ...authority.settings, CASTWAY_NO_UDP: 'true', CASTWAY_NO_TCP: 'true' };

// A cast whose pages, signaling and relay use one port.
async function castOverTls(fixture, server) {
  const secure = { url: `https://localhost:${server.httpsPort}` };
  const [tvBrowser, castBrowser] = [await fixture.browser({ home }), await fixture.browser({ home })];
  await openSource(castBrowser);
  const { page: tv, code } = await openTv(tvBrowser, secure);
  const caster = await startCast(castBrowser, secure, code);
  await inState(tv, 'playing');
  await assertPicture(tv);
  await assertRelayed(tv, server, 'tls', server.httpsPort);
  await assertRelayed(caster, server, 'tls', server.httpsPort);
  return { tv, caster };
}

browserTest('a screen is cast with one port for pages, signaling and relay', onlyTls, async (fixture, server) => {
  const { tv } = await castOverTls(fixture, server);
  await assertMagenta(tv);
});

// The verified certificate of a new connection.
async function fingerprint(server) {
  const socket = connect({ host: '127.0.0.1', port: server.httpsPort, ca: readFileSync(authority.ca), servername: 'localhost' });
  await once(socket, 'secureConnect');
  const { fingerprint256 } = socket.getPeerCertificate();
  socket.destroy();
  return fingerprint256;
}

browserTest('a certificate is renewed in mid-cast', onlyTls, async (fixture, server) => {
  const { tv, caster } = await castOverTls(fixture, server);
  const ends = () => Promise.all([tv, caster].map(async (page) => (await statistics(page)).address));
  const [before, old] = [await ends(), await fingerprint(server)];

  authority.renew();
  process.kill(server.pid, 'SIGHUP');
  await until('a new connection sees the new certificate', () => fingerprint(server), (seen) => seen !== old);
  const { frames } = await statistics(tv);
  await assertPicture(tv, 5, frames + 1);
  // A relayed address would have ended with its TLS connection.
  assert.deepEqual(await ends(), before);
});

browserTest('a browser without that authority trusts neither the page nor the relay', onlyTls, async (fixture, server) => {
  const browser = await fixture.browser();
  const context = await browser.newContext();
  const refused = await context.newPage();
  await assert.rejects(refused.goto(`https://localhost:${server.httpsPort}/tv`), /ERR_CERT_AUTHORITY_INVALID/);
  const page = await context.newPage();
  await page.goto(`${server.url}/`);
  const gathered = await page.evaluate(async (urls) => {
    const pc = new RTCPeerConnection({ iceServers: [{ urls, username: 'x', credential: 'y' }], iceTransportPolicy: 'relay' });
    const errors = [];
    pc.onicecandidateerror = ({ errorCode }) => errors.push(errorCode);
    pc.createDataChannel('test');
    await pc.setLocalDescription(await pc.createOffer());
    while (pc.iceGatheringState !== 'complete') await new Promise((resolve) => setTimeout(resolve, 100));
    return errors;
  }, `turns:127.0.0.1:${server.httpsPort}?transport=tcp`);
  assert.deepEqual(gathered, [701], 'the relay was not reached: 701, not 401');
});
