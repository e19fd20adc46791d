// The README's proxy settings, as they stand there, in front of the real server: nginx, Caddy and HAProxy where they are installed.
import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { closeAll, connect, NAME } from './support/clients.mjs';
import { wholeFlow } from './support/dialects.mjs';
import { freeTcpPort, startServer } from './support/server.mjs';

const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');
const PATH = `${process.env.PATH}:/usr/sbin:/usr/local/sbin`;

// The block of that language with this test's ports, files and nothing else changed.
function settings(language, folder, port, server) {
  const block = readme.match(new RegExp(`\`\`\`${language}\n([\\s\\S]*?)\`\`\``))?.[1];
  assert.ok(block, `the README has no block of ${language}`);
  const changed = block.replaceAll('127.0.0.1:8080', server.httpAddr).replaceAll('/etc/ssl/', `${folder}/`);
  const listening = changed.replace('listen 443 ssl', `listen 127.0.0.1:${port} ssl`).replace('bind :443 ssl', `bind 127.0.0.1:${port} ssl`);
  return listening.replace(/^cast\.example\.org \{/m, `https://${NAME}:${port} {\n    bind 127.0.0.1\n    tls ${folder}/cast.example.org.pem ${folder}/cast.example.org.key`);
}

const proxies = {
  nginx: {
    language: 'nginx',
    config: (text, folder) => `daemon off; master_process off; pid ${folder}/pid; error_log stderr;\nevents {}\nhttp { access_log off;
      ${['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((kind) => `${kind}_temp_path ${folder}/${kind};`).join(' ')}\n${text}}\n`,
    args: (file, folder) => ['-p', folder, '-c', file],
  },
  caddy: {
    language: 'caddy',
    config: (text, folder) => `{\n  admin off\n  auto_https disable_redirects\n  skip_install_trust\n  storage file_system ${folder}/caddy\n}\n${text}`,
    args: (file) => ['run', '--adapter', 'caddyfile', '--config', file],
  },
  haproxy: {
    language: 'haproxy',
    config: (text) => `defaults\n  timeout connect 5s\n  timeout client 30s\n  timeout server 30s\n${text}`,
    args: (file) => ['-db', '-f', file],
  },
};

for (const [name, proxy] of Object.entries(proxies)) {
  const missing = spawnSync('sh', ['-c', `command -v ${name}`], { env: { PATH } }).status !== 0;
  describe(name, { skip: missing && `${name} is not installed` }, () => {
    let child;
    let server;
    let folder;
    let front;
    let ca;
    let log = '';
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
      folder = mkdtempSync(join(tmpdir(), `castway-${name}-`));
      const [key, pem] = [join(folder, 'cast.example.org.key'), join(folder, 'cast.example.org.pem')];
      execFileSync('openssl', [
        'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2', '-keyout', key, '-out', pem,
        '-subj', `/CN=${NAME}`, '-addext', `subjectAltName=DNS:${NAME}`,
      ], { stdio: 'ignore' });
      ca = readFileSync(pem);
      // HAProxy wants both in one file; to the others a key behind the certificate is nothing.
      if (name === 'haproxy') writeFileSync(pem, Buffer.concat([ca, readFileSync(key)]));
      const port = await freeTcpPort();
      front = { url: `https://${NAME}:${port}`, port };
      const file = join(folder, 'settings');
      writeFileSync(file, proxy.config(settings(proxy.language, folder, port, server), folder));
      child = spawn(name, proxy.args(file, folder), { env: { PATH, HOME: folder }, stdio: ['ignore', 'pipe', 'pipe'] });
      const collect = (chunk) => (log += chunk);
      child.stdout.on('data', collect);
      child.stderr.on('data', collect);
      const deadline = Date.now() + 20_000;
      while ((await get('/healthz').catch(() => null))?.status !== 200) {
        assert.ok(child.exitCode === null && Date.now() < deadline, `${name} does not serve:\n${log}`);
        await sleep(50);
      }
    });
    afterEach(closeAll);
    after(async () => {
      if (child && child.exitCode === null) {
        child.kill('SIGKILL');
        await once(child, 'exit');
      }
      await server?.close();
      if (folder) rmSync(folder, { recursive: true, force: true });
    });

    function get(path, { from = '127.0.0.9', headers = {} } = {}) {
      return new Promise((resolve, reject) => {
        const options = { host: '127.0.0.1', port: front.port, path, localAddress: from, ca, servername: NAME, headers: { host: NAME, ...headers }, agent: false };
        const asked = request(options, (answer) => {
          let body = '';
          answer.on('data', (chunk) => (body += chunk));
          answer.on('end', () => resolve({ status: answer.statusCode, headers: answer.headers, body }));
        });
        asked.on('error', reject);
        asked.end();
      });
    }

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
        const tv = await connect(front, { transport, from, ca, label: 'TV' });
        const caster = await connect(front, { transport, from, ca, label: 'caster' });
        await wholeFlow(tv, 'A', caster, 'A');
        assert.deepEqual([...tv.heard('CAST_ERROR'), ...caster.heard('CAST_ERROR')], []);
      });
    }
  });
}
