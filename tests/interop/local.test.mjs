// The information that the server reveals to strangers, and the attacks of other users of its machine.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { chmodSync, chownSync, existsSync, mkdtempSync, readFileSync, renameSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { hostname, networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { brotliDecompressSync, gunzipSync } from 'node:zlib';
import { freePort, onFreePorts } from './support/ports.mjs';
import { rawGet, shown } from './support/raw.mjs';
import { binary, cleanEnv, withServer } from './support/server.mjs';
import { until } from './support/wait.mjs';

const STRANGER = { 'x-forwarded-for': '192.0.2.9', host: 'cast.example.org:8080' };
const LOCAL = ['localhost', '127.0.0.1', '0:0:0:0:0:0:0:1'];
const asRoot = { skip: process.getuid() !== 0 && 'only root can give files to others' };
const NOBODY = 65534;

// An address of this machine that other machines can reach, if one exists.
const own = Object.values(networkInterfaces()).flat().find(({ internal, family }) => !internal && family === 'IPv4')?.address;
const openEverywhere = async () => {
  const port = await freePort('0.0.0.0');
  return { CASTWAY_HTTP_ADDR: `0.0.0.0:${port}`, CASTWAY_HTTPS_ADDR: `0.0.0.0:${await freePort('0.0.0.0')}` };
};
const json = async (url, headers) => JSON.parse((await rawGet(url, headers)).body);

describe('names and addresses', () => {
  test('a self-signed certificate is for the host that its client uses, and for no other', () =>
    withServer(openEverywhere, async (server) => {
      const port = server.httpsPort;
      const first = await shown(port);
      assert.deepEqual(first.names, LOCAL);
      assert.deepEqual((await shown(port, { servername: 'localhost' })).names, LOCAL);
      // The server does not confirm a guessed name.
      assert.deepEqual((await shown(port, { servername: 'another-host.example.org' })).names, LOCAL);
      const named = await shown(port, { servername: hostname() });
      assert.deepEqual(named.names, [hostname().toLowerCase()]);
      const byAddress = own && (await shown(port, { host: own }));
      if (own) {
        assert.deepEqual(byAddress.names, [own]);
        assert.ok(server.log.includes(byAddress.fingerprint), 'the report has the fingerprint of the address that it names');
        const { https } = await json(`http://${own}:${server.httpAddr.split(':')[1]}/api/info`);
        assert.equal(https.fingerprint, byAddress.fingerprint, 'the page tells the fingerprint that its browser will see');
      }
      await until('all are written down', () => readFileSync(join(server.dataDir, 'tls/self-signed.pem'), 'utf8').split('BEGIN CERTIFICATE').length >= (own ? 4 : 3));
      // Changed settings don't cause new certificates.
      server.settings.CASTWAY_EXTERNAL_IP = '1.2.3.4';
      await server.restart();
      assert.equal((await shown(port)).fingerprint, first.fingerprint);
      assert.equal((await shown(port, { servername: hostname() })).fingerprint, named.fingerprint);
      if (own) assert.equal((await shown(port, { host: own })).fingerprint, byAddress.fingerprint);
    }));

  test('/readyz and /api/info tell strangers nothing that they have not used', () =>
    withServer(async () => ({ ...(await openEverywhere()), CASTWAY_TRUSTED_PROXIES: '127.0.0.1' }), async (server) => {
      assert.deepEqual(await json(`${server.url}/readyz`, STRANGER), { ready: true, not_ready: [] });
      const info = await json(`${server.url}/api/info`, STRANGER);
      assert.deepEqual(info.origins, ['http://cast.example.org:8080']);
      for (const text of [own, hostname()].filter(Boolean)) assert.ok(!JSON.stringify(info).includes(text), text);
      const local = server.url.replace('0.0.0.0', '127.0.0.1');
      const [insider, here] = [await json(`${local}/readyz`), await json(`${local}/api/info`)];
      assert.equal(insider.certificate.kind, 'self_signed');
      if (own) assert.ok(here.origins.some((origin) => origin.includes(own)), 'this machine itself is told by which addresses others reach it');
    }));
});

describe('/metrics', () => {
  const status = async (server, headers) => (await rawGet(`${server.url}/metrics`, headers)).status;

  test('is for this machine, and not for what proxies and tunnels on it pass on', () =>
    withServer({}, async (server) => {
      const port = server.httpAddr.split(':')[1];
      for (const host of ['127.0.0.1', `localhost:${port}`, `[::1]:${port}`]) assert.equal(await status(server, { host }), 200, host);
      for (const headers of [
        { host: 'cast.example.org' }, { host: `evil.localhost.example.org:${port}` }, { host: '192.168.7.1' }, { 'x-forwarded-for': '127.0.0.1' },
        { 'X-Forwarded-Proto': 'https' }, { forwarded: 'for=127.0.0.1' }, { via: '1.1 proxy' }, { 'x-real-ip': '127.0.0.1' },
        { 'cf-connecting-ip': '127.0.0.1' }, { origin: 'http://evil.example.org' },
      ]) {
        const { status: code, body } = await rawGet(`${server.url}/metrics`, headers);
        assert.equal(code, 403, JSON.stringify(headers));
        assert.equal(body.toString(), '/metrics is for the addresses of CASTWAY_METRICS_ALLOW.\n');
        assert.equal((await json(`${server.url}/readyz`, headers)).certificate, undefined, JSON.stringify(headers));
      }
    }));

  test('can not be read by a page of another origin', () =>
    withServer({}, async (server) => {
      for (const path of ['/metrics', '//metrics', '/metrics/']) {
        for (const method of ['GET', 'OPTIONS']) {
          const headers = { origin: 'http://evil.example.org', 'access-control-request-method': 'GET' };
          const response = await rawGet(server.url + path, headers, method);
          assert.equal(response.headers['access-control-allow-origin'], undefined, `${method} ${path}`);
        }
      }
    }));

  test('is for those who are named, whom trusted proxies may stand for', () =>
    withServer({ CASTWAY_METRICS_ALLOW: '10.1.0.0/16', CASTWAY_TRUSTED_PROXIES: '127.0.0.1' }, async (server) => {
      assert.equal(await status(server, { 'x-forwarded-for': '10.1.2.3', host: 'cast.example.org' }), 200);
      assert.equal(await status(server, { 'x-forwarded-for': '10.1.2.3, 192.0.2.9' }), 403, 'what a client claims is not what it is');
      assert.equal(await status(server, {}), 403, 'this machine is not in the list');
    }));

  test('is for nobody where none is set', () =>
    withServer({ CASTWAY_METRICS_ALLOW: 'none' }, async (server) => {
      assert.equal(await status(server, {}), 403);
      assert.equal((await fetch(`${server.url}/readyz`)).status, 200);
    }));
});

describe('files of others', () => {
  const withEnv = (settings, body) =>
    withServer({ CASTWAY_NO_TLS: 'true' }, async (server) => {
      const path = join(server.dataDir, '.env');
      writeFileSync(path, settings);
      await body(server, path);
    });

  test('a .env that everybody can write is refused', () =>
    withEnv('CASTWAY_REALM=tv\n', async (server, path) => {
      for (const mode of [0o666, 0o646]) {
        chmodSync(path, mode);
        for (const command of [[], ['user', 'list']]) {
          const { code, stderr } = await server.cli(command);
          assert.equal(code, 64, stderr);
          assert.match(stderr, /\.env can't be read: every user of this machine can write to it: take that away with `chmod o-w .*\.env`/);
        }
      }
      chmodSync(path, 0o644);
      assert.equal((await server.cli(['user', 'list'])).code, 0);
    }));

  test('a .env of another user is refused, and so is a link of theirs', asRoot, () =>
    withEnv('CASTWAY_REALM=tv\n', async (server, path) => {
      chownSync(path, NOBODY, NOBODY);
      let answer = await server.cli(['user', 'list']);
      assert.equal(answer.code, 64, answer.stderr);
      assert.match(answer.stderr, /the file belongs to the user 65534, who is neither root nor the user 0/);
      renameSync(path, `${path}-real`);
      chownSync(`${path}-real`, 0, 0);
      symlinkSync(`${path}-real`, path);
      assert.equal((await server.cli(['user', 'list'])).code, 0, 'a link of its own');
      execFileSync('chown', ['-h', `${NOBODY}`, path]);
      answer = await server.cli(['user', 'list']);
      assert.equal(answer.code, 64, answer.stderr);
      assert.match(answer.stderr, /the link belongs to the user 65534/);
    }));

  test('secrets on the command line are worth a warning that does not repeat them', () =>
    withServer({}, async (server) => {
      const { stderr } = await server.cli(['secret', 'list', '--static-auth-secret', 'hunter2hunter2hunter2']);
      assert.match(stderr, /warning: --static-auth-secret is on the command line, which every user of this machine can read \(ps\): set CASTWAY_STATIC_AUTH_SECRET/);
      assert.ok(!stderr.includes('hunter2'), stderr);
      assert.doesNotMatch((await server.cli(['secret', 'list'])).stderr, /command line, which/);
    }));

  test('a private key that everybody can read is worth a warning', () => {
    const folder = mkdtempSync(join(tmpdir(), 'castway-key-'));
    const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')];
    execFileSync('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', key, '-out', cert, '-subj', '/CN=localhost'], { stdio: 'ignore' });
    const warning = /every user of this machine can read the private key in .*key\.pem: take that away with `chmod o-rwx /;
    return withServer({ CASTWAY_CERT: cert, CASTWAY_PKEY: key }, async (server) => {
      chmodSync(key, 0o640);
      server.log = '';
      await server.restart();
      assert.deepEqual(server.logged(warning), []);
      chmodSync(key, 0o644);
      await server.restart();
      assert.equal(server.logged(warning).length, 1, server.log);
    }).finally(() => rmSync(folder, { recursive: true }));
  });

  for (const name of ['castway.db', 'castway.db-wal', 'castway.db-shm']) {
    test(`a symbolic link in place of ${name} is refused`, () =>
      withServer({}, async (server) => {
        await server.stop();
        const [path, victim] = [join(server.dataDir, name), join(server.dataDir, 'victim')];
        rmSync(path, { force: true });
        writeFileSync(victim, '');
        symlinkSync(victim, path);
        for (const command of [[], ['user', 'add', 'alice', '--generate']]) {
          const { code, stderr } = await server.cli(command);
          assert.equal(code, 1, stderr);
          assert.match(stderr, new RegExp(`${name} is a symbolic link, and castway follows none in its data folder`));
        }
        assert.equal(readFileSync(victim, 'utf8'), '', 'nothing was written through it');
      }));
  }

  test('a database that is deleted or replaced while the server runs is noticed', () =>
    withServer({}, async (server) => {
      const path = join(server.dataDir, 'castway.db');
      const readiness = async () => (await rawGet(`${server.url}/readyz`)).body.toString();
      const lost = (body) => body.includes('"not_ready":["database_file"]') && body.includes('"ready":false');
      const lines = () => server.logged(/castway\.db was deleted or replaced while the server runs/).length;
      renameSync(path, `${path}.away`);
      await until('the loss is told', readiness, lost);
      assert.equal((await rawGet(`${server.url}/readyz`)).status, 503);
      assert.equal(lines(), 1, 'one line in the log');
      // A new file at the same path is another database.
      writeFileSync(path, '');
      await until('it still is', readiness, lost);
      unlinkSync(path);
      renameSync(`${path}.away`, path);
      await until('it is back', readiness, (body) => body.includes('"ready":true'));
      assert.equal(lines(), 1);
      unlinkSync(path);
      await until('the loss is told again', readiness, lost);
    }));
});

describe('the start', () => {
  // A STUN server that doesn't answer delays the start for seconds.
  async function starting(body) {
    const silent = createSocket('udp4');
    silent.bind(0, '127.0.0.1');
    await once(silent, 'listening');
    const dataDir = mkdtempSync(join(tmpdir(), 'castway-start-'));
    const asked = once(silent, 'message');
    let child;
    try {
      await onFreePorts(async () => {
        const [http, turn] = [await freePort(), await freePort()];
        const settings = { CASTWAY_DATA_DIR: dataDir, CASTWAY_HTTP_ADDR: `127.0.0.1:${http}`, CASTWAY_TURN_ADDR: `127.0.0.1:${turn}`, CASTWAY_NO_TLS: 'true' };
        child = spawn(binary, [], { cwd: dataDir, stdio: ['ignore', 'pipe', 'pipe'], env: { ...cleanEnv(), ...settings, CASTWAY_EXTERNAL_IP: 'auto', CASTWAY_STUN_SERVERS: `127.0.0.1:${silent.address().port}` } });
        let log = '';
        for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => (log += text));
        await Promise.race([asked, once(child, 'exit').then(() => { throw new Error(log); })]);
        await body(child, `http://127.0.0.1:${http}`);
      });
    } finally {
      child?.kill('SIGKILL');
      silent.close();
      rmSync(dataDir, { recursive: true, force: true });
    }
  }

  test('SIGHUP does not end it', () =>
    starting(async (child, url) => {
      child.kill('SIGHUP');
      await until('it serves', () => fetch(`${url}/healthz`).then(({ status }) => status === 200, () => child.exitCode !== null || child.signalCode !== null));
      assert.deepEqual([child.exitCode, child.signalCode], [null, null]);
    }));

  for (const signal of ['SIGTERM', 'SIGINT']) {
    test(`${signal} ends it in order`, () =>
      starting(async (child) => {
        const exited = once(child, 'exit');
        child.kill(signal);
        assert.deepEqual(await exited, [0, null]);
      }));
  }

  test('SIGHUP is survived before the settings are read', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'castway-start-'));
    execFileSync('mkfifo', [join(folder, '.env')]);
    const child = spawn(binary, [], { cwd: folder, env: cleanEnv(), stdio: ['ignore', 'ignore', 'pipe'] });
    let log = '';
    child.stderr.on('data', (text) => (log += text));
    const exited = once(child, 'exit');
    try {
      // The lowest bit of the caught signals is SIGHUP.
      const caught = () => Number.parseInt(readFileSync(`/proc/${child.pid}/status`, 'utf8').match(/^SigCgt:\s+(\S+)$/m)[1].slice(-1), 16) & 1;
      await until('SIGHUP is caught', caught);
      child.kill('SIGHUP');
      writeFileSync(join(folder, '.env'), 'CASTWAY_GRACE=nonsense\n');
      assert.deepEqual(await exited, [64, null], log);
      assert.match(log, /CASTWAY_GRACE/);
    } finally {
      child.kill('SIGKILL');
      rmSync(folder, { recursive: true });
    }
  });

  test('one that fails for want of a port leaves nothing in the data folder', () =>
    withServer({}, async (server) => {
      const folder = join(server.dataDir, 'another');
      const { settings } = server;
      server.settings = { ...settings, CASTWAY_DATA_DIR: folder };
      const { code, stderr } = await server.cli([]);
      server.settings = settings;
      assert.equal(code, 1);
      assert.ok(stderr.includes(server.httpAddr), stderr);
      assert.ok(!existsSync(folder), 'it is not made');
    }));

  test('a misspelt level of the log is named', () =>
    withServer({}, async (server) => {
      for (const filter of ['verbose', 'castway=loud', 'info,debgu']) {
        server.settings.CASTWAY_LOG = filter;
        const { code, stderr } = await server.cli([]);
        assert.equal(code, 64, stderr);
        assert.match(stderr, /CASTWAY_LOG="[^\n]+": expected error, warn, info, debug, trace or off/);
      }
      server.settings.CASTWAY_LOG = 'info';
    }));
});

test('configured secrets are listed as JSON where JSON is asked for', () =>
  withServer({ CASTWAY_STATIC_AUTH_SECRET: 'first-secret-of-two,second' }, async (server) => {
    const listed = JSON.parse((await server.cli(['secret', 'list', '--json'])).stdout);
    assert.deepEqual(listed.map(({ signs, secret }) => [signs, secret]), [[true, undefined], [false, undefined]]);
    const revealed = JSON.parse((await server.cli(['secret', 'list', '--json', '--reveal'])).stdout);
    assert.deepEqual(revealed.map(({ secret }) => secret), ['first-secret-of-two', 'second']);
    assert.match(server.log, /A secret of CASTWAY_STATIC_AUTH_SECRET has fewer than 16 characters/);
  }));

describe('files of the pages', () => {
  const decode = { br: brotliDecompressSync, gzip: gunzipSync, plain: (body) => body };

  test('come as they were compressed by the build, each coding with a tag of its own', () =>
    withServer({}, async (server) => {
      const pages = await Promise.all(['/tv', '/cast', '/r', '/'].map(async (page) => (await fetch(server.url + page)).text()));
      const loaded = pages.flatMap((html) => [...html.matchAll(/(?:src|href|data-src)="(\/assets\/[^"]+)"/g)].map(([, path]) => path));
      assert.ok(loaded.length > 8, loaded.join());
      for (const path of new Set(['/', '/tv', '/cast', '/r', ...loaded, '/socket.io/socket.io.js', '/socket.io/v2/socket.io.js.map'])) {
        const tags = new Set();
        const bodies = [];
        for (const coding of ['br', 'gzip', 'plain']) {
          const headers = { 'accept-encoding': coding === 'plain' ? 'identity' : coding };
          const { status, headers: told, body } = await rawGet(server.url + path, headers);
          assert.equal(status, 200, path);
          assert.equal(told['content-encoding'], coding === 'plain' ? undefined : coding, path);
          assert.equal(Number(told['content-length']), body.length, path);
          assert.match(told.vary, /accept-encoding/, path);
          bodies.push(decode[coding](body).toString());
          tags.add(told.etag);
          const again = await rawGet(server.url + path, { ...headers, 'if-none-match': told.etag });
          assert.deepEqual([again.status, again.body.length, again.headers.etag], [304, 0, told.etag], path);
          const head = await rawGet(server.url + path, headers, 'HEAD');
          assert.deepEqual([head.status, head.headers['content-length'], head.headers.etag], [200, told['content-length'], told.etag], path);
        }
        assert.equal(new Set(bodies).size, 1, `${path} is the same in each coding`);
        assert.equal(tags.size, 3, path);
        const best = await rawGet(server.url + path, { 'accept-encoding': 'gzip, deflate, br' });
        assert.equal(best.headers['content-encoding'], 'br', path);
      }
    }));

  test('what is made for a request is never compressed', () =>
    withServer({ CASTWAY_TURN_ACCESS: 'open' }, async (server) => {
      for (const path of ['/api/info', '/readyz', '/metrics', '/turn?username=u', '/params', '/r/some-room', '/no/such/page', '/healthz']) {
        const { headers, body } = await rawGet(server.url + path, { 'accept-encoding': 'gzip, br' });
        assert.equal(headers['content-encoding'], undefined, path);
        assert.ok(body.length > 0, path);
      }
    }));
});
