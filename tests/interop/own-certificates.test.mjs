// Certificates made with the tutorials' own commands. No browser trusts them, so plain HTTP stays available. Also tests the effect of the
// machine's trust store.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { connect as connectTcp } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { ownAuthority } from './support/authority.mjs';
import { assertUclient } from './support/relaying.mjs';
import { startServer } from './support/server.mjs';
import { until } from './support/wait.mjs';

const DAY = 24 * 3600;
// Answers to the questions that openssl asks if the command names no subject: Return.
const RETURNS = '\n'.repeat(10);

const made = [
  {
    name: 'key and certificate in one file, no names but the common one',
    make({ openssl, file }) {
      openssl(['req', '-x509', '-out', file('cert.crt'), '-keyout', file('key.pem'), '-newkey', 'rsa:2048', '-nodes', '-sha256', '-subj', '/CN=webrtc.zhaoweiguo.com']);
      copyFileSync(file('key.pem'), file('cert.pem'));
      appendFileSync(file('cert.pem'), readFileSync(file('cert.crt')));
      return { cert: 'cert.pem', key: 'cert.pem', names: ['webrtc.zhaoweiguo.com'], days: 30 };
    },
  },
  {
    name: 'for 99999 days, that is beyond 2049, for nobody',
    make({ openssl, file }) {
      openssl(['req', '-x509', '-newkey', 'rsa:2048', '-keyout', file('turn_server_pkey.pem'), '-out', file('turn_server_cert.pem'), '-days', '99999', '-nodes'], RETURNS);
      return { cert: 'turn_server_cert.pem', key: 'turn_server_pkey.pem', names: [], days: 99_999 };
    },
  },
  {
    name: 'with a key that was made before',
    make({ openssl, file }) {
      openssl(['genrsa', '-out', file('key.pem'), '2048']);
      openssl(['req', '-new', '-x509', '-key', file('key.pem'), '-out', file('cert.pem'), '-days', '1095'], `CN\n\n\n\n\n49.235.159.44\n\n`);
      return { cert: 'cert.pem', key: 'key.pem', names: ['49.235.159.44'], days: 1095 };
    },
  },
  {
    name: 'of X.509 version 1, as older openssl makes them',
    make({ openssl, file }) {
      writeFileSync(file('plain.cnf'), '[req]\ndistinguished_name = name\n[name]\n');
      openssl(['req', '-x509', '-config', file('plain.cnf'), '-newkey', 'rsa:2048', '-nodes', '-keyout', file('key.pem'), '-out', file('cert.pem'), '-days', '1095', '-subj', '/CN=apprtc.domain.com']);
      const text = execFileSync('openssl', ['x509', '-in', file('cert.pem'), '-noout', '-text'], { encoding: 'utf8' });
      assert.match(text, /Version: 1 /);
      return { cert: 'cert.pem', key: 'key.pem', names: ['apprtc.domain.com'], days: 1095 };
    },
  },
];

function folderOfCertificates() {
  const folder = mkdtempSync(join(tmpdir(), 'castway-own-'));
  const file = (name) => join(folder, name);
  const openssl = (args, input) => execFileSync('openssl', args, { input, stdio: ['pipe', 'ignore', 'pipe'] });
  return { file, openssl, close: () => rmSync(folder, { recursive: true, force: true }) };
}

// The status of a request without TLS from another machine, which a trusted proxy announces.
async function fromElsewhere(server, path) {
  const [host, port] = server.httpAddr.split(':');
  const socket = connectTcp(Number(port), host);
  let answer = '';
  socket.setEncoding('utf8').on('data', (text) => (answer += text));
  socket.write(`PROXY TCP4 192.0.2.9 192.0.2.1 5 80\r\nGET ${path} HTTP/1.1\r\nHost: 47.253.204.204:8080\r\nConnection: close\r\n\r\n`);
  await once(socket, 'close');
  return Number(answer.split(' ')[1]);
}

const certificateOf = async (server) => (await (await fetch(`${server.url}/readyz`)).json()).certificate;

async function statusOverTls(server, path) {
  const asked = request({ host: '127.0.0.1', port: server.httpsPort, path, rejectUnauthorized: false }).end();
  const [response] = await once(asked, 'response');
  response.resume();
  return response.statusCode;
}

for (const { name, make } of made) {
  describe(`a certificate ${name}`, () => {
    let own;
    let server;
    let expected;
    before(async () => {
      own = folderOfCertificates();
      expected = make(own);
      const settings = { CASTWAY_CERT: own.file(expected.cert), CASTWAY_PKEY: own.file(expected.key) };
      server = await startServer({ ...settings, CASTWAY_TURN_ACCESS: 'open', CASTWAY_TRUSTED_PROXIES: '127.0.0.1' });
    });
    after(async () => {
      await server?.close();
      own?.close();
    });

    test('is served, and read as it is', async () => {
      const { kind, trusted, names, expires, fingerprint } = await certificateOf(server);
      assert.deepEqual({ kind, trusted, names }, { kind: 'untrusted_files', trusted: false, names: expected.names });
      const days = (expires - Date.now() / 1000) / DAY;
      assert.ok(days > expected.days - 1 && days <= expected.days, `${days} days`);
      assert.equal(await statusOverTls(server, '/tv'), 200);
      assert.ok(server.log.includes(fingerprint) && server.log.includes('CASTWAY_CERT_TRUSTED=true'), server.log);
    });

    test('leaves plain HTTP alone', async () => {
      for (const path of ['/', '/tv', '/cast', '/r', '/socket.io/?EIO=3&transport=polling', '/socket.io/?EIO=4&transport=polling', '/turn?username=x']) {
        assert.equal(await fromElsewhere(server, path), 200, path);
      }
    });

    test('is no reason to name turns:, and good for who asks for no proof', async () => {
      const granted = await (await fetch(`${server.url}/turn?username=alice`)).json();
      assert.deepEqual(granted.uris.filter((uri) => uri.startsWith('turns:')), []);
      await assertUclient(server.httpsPort, ['-t', '-S'], granted);
    });
  });
}

test("an authority in the machine's trust store counts, from the next time that the files are read", async () => {
  const authority = ownAuthority();
  const own = folderOfCertificates();
  let server;
  try {
    own.openssl(['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', own.file('key.pem'), '-out', own.file('cert.pem'), '-subj', '/CN=localhost']);
    const settings = { CASTWAY_CERT: own.file('cert.pem'), CASTWAY_PKEY: own.file('key.pem'), CASTWAY_TRUSTED_PROXIES: '127.0.0.1' };
    server = await startServer({ ...settings, CASTWAY_TURN_ACCESS: 'open', SSL_CERT_FILE: authority.ca });
    const uris = async () => (await (await fetch(`${server.url}/turn?username=alice`)).json()).uris;
    assert.equal((await certificateOf(server)).kind, 'untrusted_files');
    assert.equal(await fromElsewhere(server, '/tv'), 200);
    assert.equal((await uris()).length, 2);
    copyFileSync(authority.key, own.file('key.pem'));
    copyFileSync(authority.cert, own.file('cert.pem'));
    await until('the new certificate', async () => (await certificateOf(server)).kind === 'files');
    assert.equal(await fromElsewhere(server, '/tv'), 308);
    assert.match((await uris()).at(-1), /^turns:127\.0\.0\.1:\d+\?transport=tcp$/);
  } finally {
    await server?.close();
    own.close();
    authority.close();
  }
});
