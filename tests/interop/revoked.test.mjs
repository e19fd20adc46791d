// Certificates that their authority wants replaced early (RFC 9773), in particular revoked ones.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { connect } from 'node:tls';
import { domain, withCertified } from './support/certified.mjs';
import { withRenewalInfo } from './support/renewal-info.mjs';
import { TIMEOUT_MS, until as untilSeen } from './support/wait.mjs';

// Orders and the pauses between them need more time than usual.
const until = (what, look) => untilSeen(what, look, Boolean, { limit: 4 * TIMEOUT_MS });

// Certificates are valid for a year, so none is due for renewal. `body` gets a server with its first certificate.
const withFirstCertificate = (body) =>
  withCertified({ life: 365 * 86_400, front: withRenewalInfo }, {}, async (parts) => {
    await until('the first certificate', async () => (await parts.certificate()).kind === 'acme');
    // The server asks for renewal information as soon as it has the certificate.
    await until('the first question', () => parts.authority.asked.length > 0);
    await body(parts);
  });

// The certificate that is served, verified.
async function served(server, authority) {
  const socket = connect({ host: '127.0.0.1', port: server.httpsPort, ca: authority.root, servername: domain });
  await once(socket, 'secureConnect');
  assert.equal(socket.authorized, true, String(socket.authorizationError));
  const { fingerprint256, serialNumber } = socket.getPeerCertificate();
  socket.destroy();
  return { fingerprint: fingerprint256, serial: serialNumber.toLowerCase() };
}

// The stored certificate and its key.
function kept(server) {
  const folder = join(server.dataDir, 'tls');
  const [name] = readdirSync(folder).filter((entry) => entry.startsWith('127.0.0.1'));
  return readFileSync(join(folder, name, 'certificate.pem'), 'utf8');
}

const askNow = (server) => process.kill(server.pid, 'SIGHUP');

// Each test has an authority and a server of its own, and mostly waits for them.
describe('a certificate whose authority wants it replaced', { concurrency: true }, () => {
  test('a revoked certificate is replaced while the server runs, and at the next start', async () => {
    await withFirstCertificate(async ({ authority, server }) => {
      const first = await served(server, authority);
      assert.equal((await authority.status(Buffer.from(first.serial, 'hex'))).Status, 'Valid');
      await authority.revoke(kept(server));
      assert.equal((await authority.status(Buffer.from(first.serial, 'hex'))).Status, 'Revoked');
      askNow(server);
      const second = await until('another certificate', async () => {
        const now = await served(server, authority);
        return now.fingerprint !== first.fingerprint && now;
      });
      // The authority was told what the new one replaces.
      assert.deepEqual(authority.replaced.map((name) => Buffer.from(name.split('.')[1], 'base64url').toString('hex').replace(/^00/, '')), [first.serial.replace(/^00/, '')]);
      assert.notEqual(server.logged(/the authority wants the certificate renewed/).length, 0, 'the log says so');

      await server.stop();
      await authority.revoke(kept(server));
      await server.start();
      await until('the third certificate', async () => (await served(server, authority)).fingerprint !== second.fingerprint);
      assert.equal(authority.replaced.length, 2);
      assert.deepEqual(server.logged(/no certificate for/), []);
    });
  });

  test('a certificate is renewed in the time that the authority suggests, and not before', async () => {
    await withFirstCertificate(async ({ authority, server }) => {
      const first = await served(server, authority);
      const [start, end] = [Date.now() + 4000, Date.now() + 6000];
      authority.answer = () => ({ body: { suggestedWindow: { start: new Date(start).toISOString(), end: new Date(end).toISOString() } } });
      const asked = authority.asked.length;
      askNow(server);
      await until('the question', () => authority.asked.length > asked);
      // The authority does not want the next certificate replaced.
      authority.answer = null;
      await until('another certificate', async () => (await served(server, authority)).fingerprint !== first.fingerprint);
      assert.ok(Date.now() >= start, 'too early');
    });
  });

  test('an authority that gives no sense leaves the certificate as it is', async () => {
    await withFirstCertificate(async ({ authority, server, certificate }) => {
      const first = await served(server, authority);
      const past = new Date(Date.now() - 5000).toISOString();
      for (const answer of [
        { body: { suggestedWindow: { start: past, end: past } } },
        { body: { suggestedWindow: { start: past, end: new Date(Date.now() - 9000).toISOString() } } },
        { body: { suggestedWindow: 'soon' } },
        { status: 500, body: { type: 'urn:ietf:params:acme:error:serverInternal', detail: 'broken', status: 500 } },
        { status: 404, body: {} },
      ]) {
        authority.answer = () => answer;
        const asked = authority.asked.length;
        askNow(server);
        await until('the question', () => authority.asked.length > asked);
      }
      // The server still works: when it asks again, it has handled the last answer.
      const asked = authority.asked.length;
      askNow(server);
      await until('the question', () => authority.asked.length > asked);
      assert.equal((await served(server, authority)).fingerprint, first.fingerprint);
      assert.deepEqual([(await certificate()).failing, authority.replaced.length], [false, 0]);
    });
  });

  test('an authority that will not have it replaced gets an order that names nothing', async () => {
    await withFirstCertificate(async ({ authority, server, certificate }) => {
      const first = await served(server, authority);
      authority.refuse = true;
      await authority.revoke(kept(server));
      askNow(server);
      await until('the complaint', async () => (await certificate()).failing);
      await until('another certificate', async () => (await served(server, authority)).fingerprint !== first.fingerprint);
      assert.equal(authority.replaced.length, 1);
      assert.equal((await certificate()).failing, false);
    });
  });
});
