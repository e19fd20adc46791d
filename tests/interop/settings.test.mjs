// Settings as an operator gets them wrong: quotes that Docker keeps, files with secrets, and ports that two settings want.
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { existsSync, mkdirSync, utimesSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { freePort } from './support/ports.mjs';
import { startServer, withServer } from './support/server.mjs';
import { verify } from './support/turn.mjs';

const sign = (secret, username) => createHmac('sha1', secret).update(username).digest('base64');
const inAnHour = () => Math.floor(Date.now() / 1000) + 3600;

// Starts another server beside `server`, with more settings, and returns its end: {code, stderr}.
async function failing(server, settings) {
  const saved = server.settings;
  server.settings = { ...saved, ...settings };
  try {
    return await server.cli([]);
  } finally {
    server.settings = saved;
  }
}

test('quotes are named with what to write instead, in all settings at once', () =>
  withServer({}, async (server) => {
    const { code, stderr } = await failing(server, {
      CASTWAY_EXTERNAL_IP: '"203.0.113.7"',
      CASTWAY_TURN_ADDR: "'0.0.0.0:3478'",
      CASTWAY_TAKEOVER: '"true"',
      CASTWAY_PUBLIC_URL: '\u{201c}https://tv.example.org\u{201d}',
    });
    assert.equal(code, 64);
    for (const line of ['CASTWAY_EXTERNAL_IP=203.0.113.7.', 'CASTWAY_TURN_ADDR=0.0.0.0:3478.', 'CASTWAY_TAKEOVER=true.', 'CASTWAY_PUBLIC_URL=https://tv.example.org.']) {
      assert.ok(stderr.includes(`has quotes in its value: write ${line}`), `${line} in ${stderr}`);
    }
    assert.match(stderr, /4 settings can't be used/);
  }));

test('quotes around a secret count as a part of it, and the log says so without the secret', () =>
  withServer({ CASTWAY_STATIC_AUTH_SECRET: '"north-0123456789abcdef"' }, async (server) => {
    assert.match(server.log, /The value of CASTWAY_STATIC_AUTH_SECRET begins and ends with a quote/);
    assert.ok(!server.log.includes('0123456789abcdef'));
    const username = `${inAnHour()}:bob`;
    const at = { port: server.turnPort, username };
    assert.equal(await verify({ ...at, password: sign('"north-0123456789abcdef"', username) }), 'allocated');
  }));

test('secrets and keys come from files, where a comma is part of them, and commands follow', async () => {
  const [newest, older] = ['north,0123456789abcdef', 'south-0123456789abcdef'];
  // The server's working folder is its data folder.
  const settings = { CASTWAY_STATIC_AUTH_SECRET_FILE: 'secrets', CASTWAY_API_KEYS_FILE: 'keys', CASTWAY_TURN_ACCESS: 'key' };
  const server = await startServer();
  try {
    await server.stop();
    writeFileSync(join(server.dataDir, 'secrets'), `${newest}\r\n\n${older}\n`, { mode: 0o600 });
    writeFileSync(join(server.dataDir, 'keys'), 'one,key\n', { mode: 0o644 });
    Object.assign(server.settings, settings);
    server.log = '';
    await server.start();
    assert.match(server.log, /Every user of this machine can read keys, which holds secrets/);
    for (const secret of [newest, older]) {
      const username = `${inAnHour()}:bob`;
      assert.equal(await verify({ port: server.turnPort, username, password: sign(secret, username) }), 'allocated');
    }
    const [known, unknown] = await Promise.all(['one,key', 'one'].map((key) => fetch(`${server.url}/turn?username=bob&key=${encodeURIComponent(key)}`)));
    assert.deepEqual([known.status, unknown.status], [200, 401]);
    const { username, password } = await known.json();
    assert.equal(password, sign(newest, username));

    // Beside the server, a command needs no setting but the folder.
    for (const name of Object.keys(settings)) delete server.settings[name];
    const made = await server.cli(['credentials', 'alice']);
    assert.equal(made.code, 0, made.stderr);
    const own = JSON.parse(made.stdout);
    assert.equal(await verify({ port: server.turnPort, username: own.username, password: own.password }), 'allocated');
    const listed = await server.cli(['secret', 'list']);
    assert.match(listed.stdout, /come from CASTWAY_STATIC_AUTH_SECRET_FILE: there are 2/);
    assert.doesNotMatch(made.stderr, /restart/);
    const later = Date.now() / 1000 + 60;
    utimesSync(join(server.dataDir, 'secrets'), later, later);
    assert.match((await server.cli(['credentials', 'alice'])).stderr, /secrets was written after the last start of the server/);
    server.settings.CASTWAY_STATIC_AUTH_SECRET = 'another-0123456789abcdef';
    const differs = await server.cli(['credentials', 'alice']);
    assert.equal(differs.code, 64);
    assert.match(differs.stderr, /CASTWAY_STATIC_AUTH_SECRET differs from what the server/);
    assert.ok(!`${server.log}${made.stderr}${differs.stderr}`.includes('0123456789abcdef'), 'a secret is printed');
  } finally {
    await server.close();
  }
});

test('castway credentials prints the URLs that the server gives out, whichever family CASTWAY_RELAY_IP names first', async () => {
  for (const ips of ['127.0.0.1,::1', '::1,127.0.0.1']) {
    const settings = async () => ({ CASTWAY_TURN_ADDR: `[::]:${await freePort('::')}`, CASTWAY_RELAY_IP: ips, CASTWAY_EXTERNAL_IP: undefined });
    await withServer(settings, async (server) => {
      const { uris } = await (await fetch(`${server.url}/turn?username=bob`)).json();
      const { stdout, stderr } = await server.cli(['credentials', 'bob', '--scope', 'clients']);
      assert.deepEqual(JSON.parse(stdout || '{}').uris, uris, stderr);
    });
  }
});

test('a file that can not be used is named, with its setting and the reason', () =>
  withServer({}, async (server) => {
    const path = (name) => join(server.dataDir, name);
    mkdirSync(path('folder'));
    writeFileSync(path('empty'), '\n');
    writeFileSync(path('large'), 'x'.repeat(70_000));
    writeFileSync(path('right'), 'north-0123456789abcdef');
    for (const [file, why] of [['none', 'there is no such file'], ['folder', 'it is a folder'], ['empty', 'it is empty'], ['large', 'it has more than 65536 bytes']]) {
      const { code, stderr } = await failing(server, { CASTWAY_STATIC_AUTH_SECRET_FILE: path(file), CASTWAY_API_KEYS_FILE: path(file) });
      assert.equal(code, 64);
      for (const name of ['STATIC_AUTH_SECRET', 'API_KEYS']) {
        assert.ok(stderr.includes(`CASTWAY_${name}_FILE="${path(file)}": expected a file with one secret a line, newest first, but ${why}`), stderr);
      }
    }
    const { code, stderr } = await failing(server, { CASTWAY_STATIC_AUTH_SECRET_FILE: path('right'), CASTWAY_STATIC_AUTH_SECRET: 'north' });
    assert.equal(code, 64);
    assert.match(stderr, /expected nothing where CASTWAY_STATIC_AUTH_SECRET is set/);
  }));

test('a port that two settings want is named with both, before anything is bound', () =>
  withServer({}, async (server) => {
    const port = await freePort();
    const { code, stderr } = await failing(server, { CASTWAY_TURN_ADDR: `[::]:${port}`, CASTWAY_HTTPS_ADDR: `127.0.0.1:${port}`, CASTWAY_GRACE: 'soon' });
    assert.equal(code, 64);
    assert.ok(stderr.includes(`CASTWAY_TURN_ADDR="[::]:${port}": expected another TCP port than that of CASTWAY_HTTPS_ADDR=127.0.0.1:${port}`), stderr);
    assert.ok(stderr.includes(`CASTWAY_NO_TCP=true leaves UDP ${port} to TURN`) && stderr.includes('CASTWAY_GRACE'), stderr);
  }));

test('UDP of TURN and TCP of HTTPS share a port, and the URL of TURN names it', async () => {
  const port = await freePort();
  const settings = { CASTWAY_TURN_ADDR: `127.0.0.1:${port}`, CASTWAY_HTTPS_ADDR: `127.0.0.1:${port}`, CASTWAY_NO_TCP: 'true' };
  await withServer(settings, async (server) => {
    const { uris, username, password } = await (await fetch(`${server.url}/turn?username=bob`)).json();
    assert.deepEqual(uris, [`turn:127.0.0.1:${port}?transport=udp`]);
    assert.equal(await verify({ port, username, password }), 'allocated');
    const tls = { rejectUnauthorized: false };
    assert.equal(await verify({ port, transport: 'tls', tls, username, password }), 'allocated');
    const over = await verify({ port, transport: 'tls', tls: { ...tls, ALPNProtocols: ['stun.nat-discovery'] }, username, password });
    assert.equal(over, 'allocated');
  });
});

test('a port that another program has is named with that program', () =>
  withServer({}, async (server) => {
    const other = createServer();
    await new Promise((resolve) => other.listen(0, '127.0.0.1', resolve));
    const { port } = other.address();
    for (const name of ['CASTWAY_HTTPS_ADDR', 'CASTWAY_TURN_ADDR']) {
      const free = { CASTWAY_HTTP_ADDR: `127.0.0.1:${await freePort()}`, CASTWAY_HTTPS_ADDR: `127.0.0.1:${await freePort()}`, CASTWAY_TURN_ADDR: `127.0.0.1:${await freePort()}`, CASTWAY_TURNS_ADDR: `127.0.0.1:${await freePort()}` };
      const second = join(server.dataDir, 'second');
      const { code, stderr, stdout } = await failing(server, { ...free, CASTWAY_DATA_DIR: second, [name]: `127.0.0.1:${port}` });
      assert.equal(code, 1);
      const said = `${stderr}${stdout}`;
      assert.match(said, new RegExp(`TCP 127\\.0\\.0\\.1:${port} is taken by another program \\("[^"]+", process ${process.pid}\\): stop that program, or set ${name}`));
      assert.ok(!existsSync(second), 'nothing is left in the data folder');
    }
    other.close();
  }));
