// One host and port for `turn:` and `turns:`: front ends such as Nextcloud Talk have a single field for both. The relay's own ports serve TURN
// over UDP, TCP and TLS, and HTTP only where a setting says so.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { ownAuthority } from './support/authority.mjs';
import { NAME } from './support/clients.mjs';
import { freePort } from './support/ports.mjs';
import { run } from './support/process.mjs';
import { getFrom } from './support/proxy.mjs';
import { Raw } from './support/raw.mjs';
import { assertUclient } from './support/relaying.mjs';
import { startServer } from './support/server.mjs';
import { relayBothWays } from './support/turn.mjs';
import { TIMEOUT_MS } from './support/wait.mjs';

let authority;
let ca;
let second;
const started = [];
const start = async (more = {}) => {
  const server = await startServer(async () => {
    second = await freePort();
    return { ...authority.settings, CASTWAY_ALT_LISTENING_PORT: String(second), CASTWAY_TURN_ACCESS: 'open', ...more };
  });
  started.push(server);
  return server;
};
before(() => {
  authority = ownAuthority([`DNS:${NAME}`, 'IP:127.0.0.1']);
  ca = readFileSync(authority.ca);
});
after(async () => {
  await Promise.all(started.map((server) => server.close()));
  authority?.close();
});

// openssl's client with options: what it prints, once the server has closed the connection or answered what it was sent.
const openssl = async (port, options = '', said = '') => {
  const line = `printf '${said}' | timeout ${TIMEOUT_MS / 1000} openssl s_client -connect 127.0.0.1:${port} -servername ${NAME} -CAfile ${authority.ca} -ign_eof ${options}`;
  return (await run('sh', ['-c', line])).output;
};
const GET = 'GET /healthz HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n';

describe('the field HOST:PORT of a front end', () => {
  let server;
  let granted;
  let ports;
  before(async () => {
    server = await start();
    ports = [server.turnPort, second];
    granted = JSON.parse((await getFrom({ port: server.httpsPort, ca, name: NAME }, '/turn?username=alice')).body);
  });

  for (const [scheme, ways] of [['turn: over UDP', []], ['turn: over TCP', ['-t']], ['turns:', ['-t', '-S']]]) {
    test(`${scheme} is served to coturn's client`, async () => {
      for (const port of ports) await assertUclient(port, ways, granted);
    });
  }

  for (const [scheme, transport] of [['turn:', 'tcp'], ['turns:', 'tls']]) {
    test(`${scheme} is served to a client that verifies the certificate`, async () => {
      for (const port of ports) {
        const { username, password } = granted;
        assert.equal(await relayBothWays({ port, username, password, transport, tls: { ca, servername: NAME } }), 'relayed');
      }
    });
  }

  test("openssl's client gets the certificate of the name and the protocol stun.turn", async () => {
    for (const port of ports) {
      // The server closes the connection because of a byte that begins no message.
      const output = await openssl(port, '-alpn stun.turn -verify_return_error', '\\377');
      assert.match(output, /Verification: OK|Verify return code: 0/);
      assert.match(output, /ALPN protocol: stun\.turn/);
    }
  });

  test('HTTP gets no answer there, plain or inside TLS', async () => {
    for (const port of ports) {
      const plain = new Raw({ httpAddr: `127.0.0.1:${port}` });
      await plain.request('GET', '/healthz');
      await plain.end();
      assert.equal(plain.heard.length, 0, plain.heard.toString());
      for (const alpn of ['', '-alpn http/1.1', '-alpn h2,http/1.1']) assert.doesNotMatch(await openssl(port, alpn, GET), /HTTP\/1\.1/, alpn);
    }
  });

  test('the URLs that clients get stay those of the ports for all', () => {
    assert.ok(granted.uris.some((uri) => uri.startsWith('turns:') && uri.endsWith(`:${server.httpsPort}?transport=tcp`)), granted.uris.join(' '));
    assert.ok(granted.uris.every((uri) => !uri.startsWith('turns:') || !ports.some((port) => uri.includes(`:${port}?`))), granted.uris.join(' '));
  });
});

test('a setting adds HTTP there', async () => {
  const server = await start({ CASTWAY_TURN_HTTP: 'true' });
  for (const port of [server.turnPort, second]) {
    assert.equal((await fetch(`http://127.0.0.1:${port}/api/info`)).status, 200);
    assert.equal((await getFrom({ port, ca, name: NAME }, '/cast')).status, 200);
    const granted = JSON.parse((await getFrom({ port, ca, name: NAME }, '/turn?username=alice')).body);
    for (const ways of [[], ['-t'], ['-t', '-S']]) await assertUclient(port, ways, granted);
  }
});
