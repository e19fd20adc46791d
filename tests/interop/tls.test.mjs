// TLS with other implementations: curl over HTTP/2, coturn's client, aioice and aiortc over TLS, WebSockets, and an ACME server.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync, readdirSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { connect as connectTls } from 'node:tls';
import WebSocket from 'ws';
import { ownAuthority } from './support/authority.mjs';
import { domain, withCertified } from './support/certified.mjs';
import { closeAll, connect } from './support/clients.mjs';
import { exchange, pair } from './support/dialects.mjs';
import { run } from './support/process.mjs';
import { freePort } from './support/ports.mjs';
import { aioice, aiortc, assertUclient } from './support/relaying.mjs';
import { inRounds } from './support/rounds.mjs';
import { startServer } from './support/server.mjs';
import { shown } from './support/raw.mjs';
import { TIMEOUT_MS, until } from './support/wait.mjs';

// A verified TLS connection.
async function tls(port, { ca, servername, ...more }) {
  const socket = connectTls({ host: '127.0.0.1', port, ca, servername, ...more });
  await once(socket, 'secureConnect');
  assert.equal(socket.authorized, true, String(socket.authorizationError));
  return socket;
}

// A Socket.IO client over WSS.
async function webSocket(port, options) {
  const socket = new WebSocket(`wss://127.0.0.1:${port}/socket.io/?EIO=4&transport=websocket`, options);
  socket.heard = [];
  socket.on('message', (data) => {
    socket.heard.push(String(data));
    if (String(data) === '2') socket.send('3');
  });
  await until('the handshake of Engine.IO', () => socket.heard.length > 0);
  socket.send('40');
  await until('the namespace', () => socket.heard.some((text) => text.startsWith('40')));
  return socket;
}

let asked = 0;
// Asserts that the socket still gets an answer.
async function assertAlive(socket) {
  assert.equal(socket.readyState, WebSocket.OPEN);
  asked += 1;
  socket.send(`42${asked}["CONFIG"]`);
  await until('an answer', () => socket.heard.some((text) => text.startsWith(`43${asked}`)));
}

const credentials = async (server) => (await fetch(`${server.url}/turn?username=alice`)).json();

describe('with a certificate from files', () => {
  let server;
  let authority;
  before(async () => {
    authority = ownAuthority(['DNS:localhost', `DNS:${domain}`]);
    server = await startServer({ ...authority.settings, CASTWAY_TURN_ACCESS: 'open' });
  });
  after(async () => {
    await server?.close();
    authority?.close();
  });

  test('curl gets a page over HTTP/2, HTTP/1.1 and TLS 1.2', async () => {
    const curl = (...more) => run('curl', ['-sS', '--cacert', authority.ca, '-o', '/dev/null', '-w', '%{http_code} %{http_version}', ...more, `https://localhost:${server.httpsPort}/tv`]);
    assert.equal((await curl('--http2')).output, '200 2');
    assert.equal((await curl('--http1.1')).output, '200 1.1');
    assert.equal((await curl('--http1.1', '--tls-max', '1.2')).output, '200 1.1');
    assert.notEqual((await curl('--tls-max', '1.1')).code, 0);
  });

  test('the host of a request over HTTP/2 is known', async () => {
    const at = `${domain}:${server.httpsPort}`;
    const { output } = await run('curl', ['-sS', '--http2', '--cacert', authority.ca, '--resolve', `${at}:127.0.0.1`, `https://${at}/turn?username=x`]);
    assert.ok(JSON.parse(output).uris.includes(`turns:${at}?transport=tcp`), output);
  });

  test("coturn's client relays over TLS and over TCP, on the same port", async () => {
    const granted = await credentials(server);
    for (const ways of [['-t', '-S'], ['-t']]) await assertUclient(server.httpsPort, ways, granted);
  });

  test('aioice relays over TLS that it has verified, on the same port', async () => {
    const granted = await credentials(server);
    const { code, output } = await aioice(domain, server.httpsPort, 'tls', granted, authority.ca);
    assert.equal(code, 0, output);
    assert.match(output, /^ok$/m);
    const distrusted = await aioice(domain, server.httpsPort, 'tls', granted, '/dev/null');
    assert.notEqual(distrusted.code, 0);
    // The agent found no candidate; the library does not report the reason.
    assert.match(distrusted.output, /AssertionError: set\(\)/, distrusted.output);
  });

  test('aiortc casts over TLS that it has verified, on the same port', async () => {
    const granted = await credentials(server);
    const { code, output } = await aiortc(domain, server.httpsPort, granted, authority.ca);
    assert.equal(code, 0, output);
    assert.match(output, /^ok$/m);
    const distrusted = await aiortc(domain, server.httpsPort, granted, '/dev/null');
    assert.notEqual(distrusted.code, 0);
    assert.match(distrusted.output, /AssertionError: set\(\)/, distrusted.output);
  });

  test('Socket.IO works over WSS', async () => {
    const socket = await webSocket(server.httpsPort, { ca: readFileSync(authority.ca), servername: 'localhost' });
    await assertAlive(socket);
    socket.close();
  });
});

// Each test has an authority and a server of its own, and mostly waits for them.
describe('with a certificate authority', { concurrency: true }, () => {
  // Orders, the pauses between them and the lifetimes of certificates need more time than usual.
  const untilThere = (what, look) => until(what, look, Boolean, { limit: 4 * TIMEOUT_MS });

  test('one is had by TLS-ALPN-01, verified, kept, and renewed while connections stay', async () => {
    await withCertified({ life: 30 }, {}, async ({ authority, server, certificate }) => {
      await untilThere('the first certificate', async () => (await certificate()).kind === 'acme');
      const first = await tls(server.httpsPort, { ca: authority.root, servername: domain });
      assert.equal(first.getPeerCertificate().subjectaltname, `DNS:${domain}`);
      const fingerprint = first.getPeerCertificate().fingerprint256;
      assert.equal((await certificate()).fingerprint, fingerprint);
      const host = new URL(server.settings.CASTWAY_ACME_DIRECTORY).host.replace(':', '-');
      const named = readdirSync(join(server.dataDir, 'tls')).filter((name) => name.startsWith(`${host}-`));
      assert.equal(named.length, 1, 'the directory has a folder');
      const folder = join(server.dataDir, 'tls', named[0]);
      for (const name of ['account.json', 'certificate.pem']) assert.equal(statSync(join(folder, name)).mode & 0o777, 0o600, name);

      const socket = await webSocket(server.httpsPort, { ca: authority.root, servername: domain, headers: { host: domain } });
      await assertAlive(socket);
      await untilThere('the next certificate', async () => (await certificate()).fingerprint !== fingerprint);
      await assertAlive(socket);
      const second = await tls(server.httpsPort, { ca: authority.root, servername: domain });
      assert.notEqual(second.getPeerCertificate().fingerprint256, fingerprint);
      for (const each of [first, second]) each.destroy();
      socket.close();

      // HTTP-01 would be used only after a failure.
      assert.deepEqual(server.logged(/no certificate for/), []);

      // The next start serves the stored certificate immediately, also from the folder where earlier versions kept it.
      const kept = (await certificate()).fingerprint;
      const account = readFileSync(join(folder, 'account.json'), 'utf8');
      await server.stop();
      renameSync(folder, join(server.dataDir, 'tls', host));
      await server.start();
      assert.equal(readFileSync(join(folder, 'account.json'), 'utf8'), account, 'the account stays');
      assert.notEqual(server.logged(/cast\.castway\.test/).length, 0, 'the log says so');
      const now = await certificate();
      assert.equal(now.kind, 'acme');
      if (now.fingerprint !== kept) assert.notEqual(server.logged(/a new certificate/).length, 0, 'the log says so');
    });
  });

  test('one port carries everything at once, the proof for the next certificate included', async () => {
    await withCertified({ life: 75 }, { CASTWAY_TURN_ACCESS: 'open' }, async ({ authority, server, certificate }) => {
      await untilThere('the first certificate', async () => (await certificate()).kind === 'acme');
      const { fingerprint } = await certificate();
      const root = join(server.dataDir, 'root.pem');
      writeFileSync(root, authority.root);
      const [port, granted] = [server.httpsPort, await credentials(server)];
      const at = `${domain}:${port}`;
      const relayed = async (transport) => {
        const { code, output } = await aioice(domain, port, transport, granted, root);
        assert.equal(code, 0, output);
      };
      const secure = { url: `https://${at}` };
      const [tv, caster] = [await connect(secure, { ca: authority.root, label: 'TV' }), await connect(secure, { ca: authority.root, label: 'caster' })];
      await pair(tv, 'A', caster, 'A');
      let mark = 0;
      const ways = {
        'a cast over WSS': async () => {
          mark += 1;
          await exchange(tv, 'A', caster, 'A', { mark });
        },
        'a page over HTTP/2': async () => {
          const { output } = await run('curl', ['-sS', '--http2', '--cacert', root, '--resolve', `${at}:127.0.0.1`, '-o', '/dev/null', '-w', '%{http_code} %{http_version}', `https://${at}/tv`]);
          assert.equal(output, '200 2');
        },
        "coturn's client over TCP": () => assertUclient(port, ['-t'], granted),
        "coturn's client over TLS": () => assertUclient(port, ['-t', '-S'], granted),
        'aioice over TCP': () => relayed('tcp'),
        'aioice over TLS': () => relayed('tls'),
      };
      try {
        // All these clients are active while the authority checks the challenge.
        await inRounds(ways, untilThere('the next certificate', async () => (await certificate()).fingerprint !== fingerprint));
      } finally {
        closeAll();
      }
      // The first attempt, which uses TLS-ALPN-01, succeeds.
      assert.deepEqual(server.logged(/no certificate for/), []);
      assert.deepEqual([...tv.heard('CAST_ERROR'), ...caster.heard('CAST_ERROR')], []);
    });
  });

  test('HTTP-01 helps where the TLS port is not reached, and what to check is logged', async () => {
    await withCertified({ tls: await freePort(), life: 3600 }, {}, async ({ server, certificate }) => {
      await untilThere('a complaint', async () => (await certificate()).failing);
      assert.equal((await certificate()).kind, 'self_signed');
      assert.notEqual(server.logged(/no certificate for cast\.castway\.test .*DNS record.*TCP port 443/).length, 0, 'the log says so');
      await untilThere('the certificate', async () => (await certificate()).kind === 'acme');
      assert.equal((await certificate()).failing, false);
    });
  });

  test('a directory that does not answer leaves the self-signed one', async () => {
    const dead = `https://127.0.0.1:${await freePort()}/dir`;
    await withCertified({ life: 3600 }, { CASTWAY_ACME_DIRECTORY: dead }, async ({ server, certificate }) => {
      await untilThere('a complaint', async () => (await certificate()).failing);
      assert.equal((await certificate()).kind, 'self_signed');
      assert.deepEqual((await shown(server.httpsPort, { servername: domain })).names, [domain]);
      assert.notEqual(server.logged(new RegExp(`no certificate for ${domain} from ${dead}`)).length, 0, 'the log says so');
      assert.equal((await fetch(`${server.url}/readyz`)).status, 200);
    });
  });
});
