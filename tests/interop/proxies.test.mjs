// The proxy settings of docs/deploy.md, unchanged, in front of the real server: nginx, Caddy and HAProxy where they are installed.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';
import { asTheOriginal, call, callFails, PROXIES, visitors } from './support/behind.mjs';
import { closeAll, connect, NAME } from './support/clients.mjs';
import { FLOWS } from './support/clients-table.mjs';
import { wholeFlow } from './support/dialects.mjs';
import { assertMade, grouped, table } from './support/document.mjs';
import { startOriginal } from './support/originals.mjs';
import { getFrom, haproxy, isInstalled, nginx, deployBlocks, startProxy } from './support/proxy.mjs';
import { startServer } from './support/server.mjs';

// The first block of docs/deploy.md in that language. Only the ports and files are changed to those of this test.
function settings(language, folder, port, server) {
  const changed = deployBlocks(language)[0].replaceAll('127.0.0.1:8080', server.httpAddr).replaceAll('/etc/ssl/', `${folder}/`);
  const listening = changed.replace('listen 443 ssl', `listen 127.0.0.1:${port} ssl`).replace('bind :443 ssl', `bind 127.0.0.1:${port} ssl`);
  return listening.replace(/^cast\.example\.org \{/m, `https://${NAME}:${port} {\n    bind 127.0.0.1\n    tls ${folder}/cast.example.org.pem ${folder}/cast.example.org.key`);
}

const proxies = {
  nginx: { language: 'nginx', ...nginx },
  caddy: {
    language: 'caddy',
    config: (text, folder) => `{\n  admin off\n  auto_https disable_redirects\n  skip_install_trust\n  storage file_system ${folder}/caddy\n}\n${text}`,
    args: (file) => ['run', '--adapter', 'caddyfile', '--config', file],
  },
  haproxy: { language: 'haproxy', ...haproxy },
};

for (const [name, proxy] of Object.entries(proxies)) {
  describe(name, { skip: !isInstalled(name) && `${name} is not installed` }, () => {
    let server;
    let front;
    const get = (path, options) => getFrom({ ...front, name: NAME }, path, options);
    before(async () => {
      server = await startServer({
        CASTWAY_TURN_ACCESS: 'open',
        CASTWAY_CREDENTIALS_RATE: '3',
        CASTWAY_TRUSTED_PROXIES: '127.0.0.1',
        CASTWAY_EXTERNAL_IP: '',
        CASTWAY_RELAY_IP: '127.0.0.1',
        CASTWAY_TURN_ADDR: '0.0.0.0:0',
        CASTWAY_CORS_ORIGINS: 'https://other.example.org',
      });
      front = await startProxy(name, proxy.args, async ({ folder, port }) => {
        const [key, pem] = [join(folder, 'cast.example.org.key'), join(folder, 'cast.example.org.pem')];
        execFileSync('openssl', [
          'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2', '-keyout', key, '-out', pem,
          '-subj', `/CN=${NAME}`, '-addext', `subjectAltName=DNS:${NAME}`,
        ], { stdio: 'ignore' });
        const ca = readFileSync(pem);
        // HAProxy requires certificate and key in one file; the other proxies ignore a key after the certificate.
        if (name === 'haproxy') writeFileSync(pem, Buffer.concat([ca, readFileSync(key)]));
        return {
          url: `https://${NAME}:${port}`,
          ca,
          text: proxy.config(settings(proxy.language, folder, port, server), folder),
          ready: async () => (await getFrom({ port, ca, name: NAME }, '/healthz')).status === 200,
        };
      });
    });
    afterEach(closeAll);
    after(async () => {
      await front?.close();
      await server?.close();
    });

    test('the limits see each client, whatever it writes itself', async () => {
      const spoofs = [{ 'x-forwarded-for': '203.0.113.1' }, { forwarded: 'for=203.0.113.2' }, { 'x-real-ip': '203.0.113.3' }];
      for (const headers of spoofs) assert.equal((await get('/turn?username=x', { from: '127.0.0.21', headers })).status, 200);
      for (const headers of [...spoofs, {}]) assert.equal((await get('/turn?username=x', { from: '127.0.0.21', headers })).status, 429);
      assert.equal((await get('/turn?username=x', { from: '127.0.0.22' })).status, 200);
    });

    test('the relay is named by the host that the client asked', async () => {
      const { body } = await get('/turn?username=x', { from: '127.0.0.23', headers: { 'x-forwarded-host': 'evil.example.org' } });
      const { uris } = JSON.parse(body);
      assert.ok(uris.length > 0 && uris.every((uri) => uri.startsWith(`turn:${NAME}:`)), uris.join(' '));
      const policy = (await get('/tv')).headers['content-security-policy'];
      assert.match(policy, new RegExp(`wss://${NAME.replaceAll('.', '\\.')}[;: ]`));
    });

    for (const transport of ['websocket', 'upgrade', 'polling']) {
      test(`a cast over ${transport}`, async () => {
        const from = { websocket: '127.0.0.31', upgrade: '127.0.0.32', polling: '127.0.0.33' }[transport];
        const tv = await connect(front, { transport, from, ca: front.ca, label: 'TV' });
        const caster = await connect(front, { transport, from, ca: front.ca, label: 'caster' });
        await wholeFlow(tv, 'A', caster, 'A');
        assert.deepEqual([...tv.heard('CAST_ERROR'), ...caster.heard('CAST_ERROR')], []);
      });
    }
  });
}

// docs/clients.md: clients behind proxies that are configured for WebSockets, and behind proxies that are not.
describe('clients behind', { concurrency: true }, () => {
  const rows = new Map(PROXIES.map(({ title }) => [title, []]));

  // Starts the proxy in front of the server that `start` makes for the proxy's URL: {url, server, close}.
  async function behind(proxy, start) {
    let server;
    const front = await startProxy(proxy.program, proxy.args, async ({ folder, port }) => {
      await server?.close();
      const url = `http://127.0.0.1:${port}`;
      server = await start(url);
      return { url, text: proxy.config(proxy.text(port, server), folder), ready: async () => (await fetch(url)).status < 500 };
    }).catch(async (error) => {
      await server?.close();
      throw error;
    });
    return { url: front.url, server, close: () => Promise.all([front.close(), server.close()]) };
  }

  for (const proxy of PROXIES) {
    test(proxy.title, async (t) => {
      const front = await behind(proxy, (url) => startServer({ CASTWAY_NO_TLS: 'true', CASTWAY_PUBLIC_URL: url }));
      try {
        for (const { client, version, asks, flow, outcome, run } of visitors(proxy)) {
          await t.test(`${client} ${version}, ${asks}, ${FLOWS[flow]}: ${outcome}`, async () => {
            await run(front);
            rows.get(proxy.title).push({ client, version, asks, flow: FLOWS[flow], outcome });
          });
        }
        await t.test('a call of AppRTC’s clients', async () => {
          await (proxy.collider ? call(front) : callFails(front, front.server));
          const outcome = proxy.collider ? 'works' : 'no: the answer to `/ws`, the log and the call page name the lines that are missing';
          rows.get(proxy.title).push({ client: 'AppRTC', version: '', asks: '`/ws` only', flow: 'a call', outcome });
        });
      } finally {
        await front.close();
      }
    });
  }

  const bare = PROXIES.at(-1);
  test(`${bare.title}: Socket.IO's own server is reached in the same ways`, async () => {
    const front = await behind(bare, async () => {
      const original = await startOriginal('socket.io-4');
      return { ...original, httpAddr: new URL(original.url).host };
    });
    try {
      await asTheOriginal(front);
    } finally {
      await front.close();
    }
  });

  after(() => {
    // The document says how the call page reports this.
    const title = 'the call page says that a proxy takes the Upgrade header away, and calls once it does not';
    assert.ok(readFileSync(new URL('../e2e/websocket.test.mjs', import.meta.url), 'utf8').includes(title), title);
    const cells = [...rows].flatMap(([title, found]) =>
      [...grouped(found, ({ client, outcome }) => `${client} ${outcome}`).values()].map((some) => {
        const all = (name) => [...new Set(some.map((row) => row[name]))].join(', ');
        return [title, `${all('client')} ${all('version')}`.trim(), all('asks'), all('flow'), all('outcome')];
      }),
    );
    assertMade('proxies.test.mjs', table(['Proxy', 'Client', 'Transport', 'Flows', 'What happens'], cells));
  });
});
