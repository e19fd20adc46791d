// Renewal information (RFC 9773) in front of pebble: pebble's own where it has any (since 2.6, as in Debian 13), otherwise derived from
// pebble's record of revoked certificates. All other requests are forwarded unchanged.
import { createPrivateKey, createPublicKey, sign, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, request } from 'node:https';
import { ownAuthority } from './authority.mjs';

const PATH = '/renewal-info';
const base64 = (value) => Buffer.from(value).toString('base64url');
const at = (fromNow) => new Date(Date.now() + fromNow).toISOString();

// {status, headers, body} of a request to 127.0.0.1.
function ask({ port, ca }, { method = 'GET', path, headers = {}, body = '' }) {
  return new Promise((resolve, reject) => {
    const asked = request({ host: '127.0.0.1', port, ca, method, path, headers, agent: false }, (answer) => {
      const parts = [];
      answer.on('data', (part) => parts.push(part));
      answer.on('end', () => resolve({ status: answer.statusCode, headers: answer.headers, body: Buffer.concat(parts).toString() }));
    });
    asked.on('error', reject);
    asked.end(body);
  });
}

// `asked`: names of certificates whose renewal information was requested; `replaced`: those that orders have named. `answer`, if set, makes
// the answer: {status, body}. `refuse`: orders that replace a certificate are refused.
export async function withRenewalInfo(authority) {
  const own = ownAuthority(['IP:127.0.0.1']);
  const behind = { port: new URL(authority.settings.CASTWAY_ACME_DIRECTORY).port, ca: readFileSync(authority.settings.CASTWAY_ACME_CA) };
  let itsOwn;
  const front = { asked: [], replaced: [], answer: null, refuse: false };

  async function information(name) {
    front.asked.push(name);
    if (front.answer) return front.answer();
    if (itsOwn) return { body: JSON.parse((await ask(behind, { path: `${itsOwn}/${name}` })).body) };
    const { Status } = await authority.status(name.split('.')[1]);
    if (Status === 'Revoked') return { body: { suggestedWindow: { start: at(-7_200_000), end: at(-3_600_000) }, explanationURL: 'https://castway.test/revoked' } };
    return { body: { suggestedWindow: { start: at(86_400_000), end: at(2 * 86_400_000) } } };
  }

  async function answer({ method, url, headers }, body) {
    if (url.startsWith(`${PATH}/`)) {
      const { status = 200, body: about } = await information(url.slice(PATH.length + 1));
      return { status, headers: { 'retry-after': '21600', 'content-type': 'application/json' }, body: JSON.stringify(about) };
    }
    const passed = await ask(behind, { method, path: url, headers, body });
    if (url === '/dir') {
      const directory = JSON.parse(passed.body);
      itsOwn = directory.renewalInfo && new URL(directory.renewalInfo).pathname;
      return { ...passed, body: JSON.stringify({ ...directory, renewalInfo: `https://${headers.host}${PATH}` }) };
    }
    const { replaces } = method === 'POST' && url.endsWith('/order-plz') ? JSON.parse(Buffer.from(JSON.parse(body).payload, 'base64url')) : {};
    if (!replaces || passed.status !== 201) return passed;
    front.replaced.push(replaces);
    if (front.refuse) {
      const problem = { type: 'urn:ietf:params:acme:error:alreadyReplaced', detail: 'it was replaced before', status: 409 };
      return { status: 409, headers: { ...passed.headers, 'content-type': 'application/problem+json' }, body: JSON.stringify(problem) };
    }
    return { ...passed, body: JSON.stringify({ ...JSON.parse(passed.body), replaces }) };
  }

  // By default Node closes a connection after some silent seconds, and a request sent at that moment would fail.
  const options = { cert: readFileSync(own.cert), key: readFileSync(own.key), keepAliveTimeout: 0 };
  const server = createServer(options, async (asked, response) => {
    const parts = [];
    for await (const part of asked) parts.push(part);
    const { status, headers, body } = await answer(asked, Buffer.concat(parts)).catch((error) => ({ status: 502, headers: {}, body: String(error.stack) }));
    const { 'content-length': _, ...kept } = headers;
    response.writeHead(status, kept);
    response.end(asked.method === 'HEAD' ? '' : body);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  const directory = `https://127.0.0.1:${port}/dir`;

  return Object.assign(front, {
    ...authority,
    settings: { ...authority.settings, CASTWAY_ACME_DIRECTORY: directory, CASTWAY_ACME_CA: own.ca },
    async close() {
      server.closeAllConnections();
      server.close();
      own.close();
      await authority.close();
    },
    // Revokes a certificate with its own key (RFC 8555 §7.6); `pem` has both.
    async revoke(pem) {
      const here = { port, ca: readFileSync(own.ca) };
      const urls = JSON.parse((await ask(here, { path: '/dir' })).body);
      const key = createPrivateKey(pem.match(/-----BEGIN PRIVATE KEY-----[\s\S]*?-----END PRIVATE KEY-----/)[0]);
      const { kty, crv, x, y } = createPublicKey(key).export({ format: 'jwk' });
      const nonce = (await ask(here, { method: 'HEAD', path: new URL(urls.newNonce).pathname })).headers['replay-nonce'];
      const head = base64(JSON.stringify({ alg: 'ES256', jwk: { kty, crv, x, y }, nonce, url: urls.revokeCert }));
      const payload = base64(JSON.stringify({ certificate: base64(new X509Certificate(pem).raw) }));
      const signature = base64(sign('sha256', Buffer.from(`${head}.${payload}`), { key, dsaEncoding: 'ieee-p1363' }));
      const body = JSON.stringify({ protected: head, payload, signature });
      const headers = { 'content-type': 'application/jose+json', 'content-length': Buffer.byteLength(body) };
      const { status, body: answered } = await ask(here, { method: 'POST', path: new URL(urls.revokeCert).pathname, headers, body });
      if (status !== 200) throw new Error(`not revoked: ${status} ${answered}`);
    },
  });
}
