// Stopping, restarting, and health checks.
import assert from 'node:assert/strict';
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, test } from 'node:test';
import { closeAll, connect } from './support/clients.mjs';
import { dialects, exchange, pair } from './support/dialects.mjs';
import { excerpt } from './support/excerpt.mjs';
import { withServer } from './support/server.mjs';
import { TurnClient } from './support/turn.mjs';

afterEach(closeAll);

test('a restart keeps the code of a TV and the place of its caster', () =>
  withServer({}, async (server) => {
    const tv = await connect(server, { label: 'TV' });
    const caster = await connect(server, { label: 'caster' });
    const bTv = await connect(server, { namespace: '/rtc', label: 'B TV' });
    const { code, tvToken, casterToken } = await pair(tv, 'A', caster, 'A', { username: 'Ada' });
    const b = await dialects.B.register(bTv, false);
    await server.restart();

    const early = await connect(server, { label: 'caster that is faster than the TV' });
    for (let i = 0; i < 30; i += 1) {
      assert.equal((await early.ask('JOIN_ROOM', code, { resumeToken: casterToken })).error?.code, 'unknown_code');
    }
    const thief = await connect(server, { label: 'thief' });
    assert.notEqual((await thief.ask('TV_INIT', { code, resumeToken: casterToken })).code, code);

    const tvAgain = await connect(server, { label: 'TV again' });
    const answer = await tvAgain.ask('TV_INIT', { resumeToken: tvToken, code });
    assert.equal(answer.code, code);
    await dialects.A.join(early, false, code, 'Ada');
    await exchange(tvAgain, 'A', early, 'A');
    const bAgain = await connect(server, { namespace: '/rtc', label: 'B TV again' });
    assert.equal((await dialects.B.register(bAgain, false, b)).code, b.code);
  }));

for (const signal of ['SIGTERM', 'SIGINT']) {
  test(`${signal} tells every client and ends with status 0`, () =>
    withServer({ CASTWAY_DRAIN: '1' }, async (server) => {
      const clients = [
        await connect(server, { label: 'idle' }),
        await connect(server, { namespace: '/rtc', version: '2.5', label: 'old' }),
        await connect(server, { transport: 'polling', version: '3.1', label: 'polling' }),
      ];
      const tv = await connect(server, { label: 'TV' });
      const caster = await connect(server, { label: 'caster' });
      await pair(tv, 'A', caster, 'A');
      const told = Promise.all([...clients, tv, caster].map((peer) => peer.nextArgs('SERVER_SHUTDOWN')));
      const result = await server.stop(signal);
      await told;
      assert.deepEqual(result, { code: 0, signal: null }, excerpt(server.log));
      assert.deepEqual(caster.heard('TV_LEFT'), [], 'the picture is to be kept');
      assert.deepEqual(tv.heard('CASTER_LEFT'), []);
    }));
}

test('a second Ctrl-C ends at once', () =>
  withServer({ CASTWAY_DRAIN: '3600', CASTWAY_TURN_ACCESS: 'open' }, async (server) => {
    const tv = await connect(server, { label: 'TV' });
    const { username, password } = await (await fetch(`${server.url}/turn?username=alice`)).json();
    const client = new TurnClient({ port: server.turnPort, username, password });
    try {
      assert.equal(await client.allocate(), 0);
      process.kill(server.pid, 'SIGINT');
      await tv.nextArgs('SERVER_SHUTDOWN');
      assert.ok(server.running, 'the allocation has its time');
      assert.deepEqual(await server.stop('SIGINT'), { code: 130, signal: null });
    } finally {
      client.abandon();
    }
  }));

test('health, readiness and the description of the server', () =>
  withServer({}, async (server) => {
    for (const path of ['/healthz', '/readyz']) assert.equal((await fetch(server.url + path)).status, 200);
    const info = await (await fetch(`${server.url}/api/info`)).json();
    assert.equal(info.name, 'castway');
    assert.match(info.version, /^\d+\.\d+\.\d+/);
    assert.equal(info.publicUrl, null);
    assert.ok(Array.isArray(info.origins));
    assert.ok(info.origins.every((origin) => !origin.includes('127.0.0.1')), 'no loopback address is shown to other machines');
    assert.deepEqual(info.code, { length: 6, alphabet: 'ABCDEFGHJKMNPQRSTWXYZ012345678' });
    for (const page of ['/', '/tv', '/cast']) {
      const response = await fetch(server.url + page);
      assert.equal(response.status, 200, page);
      assert.match(response.headers.get('content-type'), /^text\/html/);
      assert.match(await response.text(), /<script/);
    }
    assert.equal((await fetch(`${server.url}/no/such/page`)).status, 404);
  }));

test('the database holds secrets and is for its owner alone', () =>
  withServer({}, async (server) => {
    const files = readdirSync(server.dataDir).map((name) => join(server.dataDir, name)).filter((path) => statSync(path).isFile());
    assert.ok(files.length > 0);
    for (const path of files) assert.equal(statSync(path).mode & 0o077, 0, path);
  }));

test('settings that can not be used are all named, with status 64', () =>
  withServer({}, async (server) => {
    const broken = { ...server.settings, CASTWAY_HTTP_ADDR: 'nonsense', CASTWAY_GRACE: '-1', CASTWAY_TURN_ACCESS: 'everyone' };
    const saved = server.settings;
    server.settings = broken;
    const { code, stderr } = await server.cli([]);
    server.settings = saved;
    assert.equal(code, 64);
    for (const name of ['CASTWAY_HTTP_ADDR', 'CASTWAY_GRACE', 'CASTWAY_TURN_ACCESS']) assert.ok(stderr.includes(name), `${name} in ${stderr}`);
  }));

test('a port that is taken is a sentence, and the one who has it is unharmed', () =>
  withServer({}, async (server) => {
    const { code, stderr, stdout } = await server.cli([]);
    assert.notEqual(code, 0);
    assert.ok((stderr + stdout).includes(server.httpAddr), stderr + stdout);
    assert.equal((await fetch(`${server.url}/healthz`)).status, 200);
  }));

test('the log of a cast holds no secret and no credential', () =>
  withServer({ CASTWAY_LOG: 'debug', CASTWAY_STATIC_AUTH_SECRET: 'a-secret-that-must-not-be-logged' }, async (server) => {
    const tv = await connect(server);
    const caster = await connect(server);
    const { tvToken, casterToken } = await pair(tv, 'A', caster, 'A');
    await exchange(tv, 'A', caster, 'A');
    const { config } = caster.heard('CONFIG_FEEDBACK')[0];
    const { credential } = config.iceServers.find((entry) => entry.credential);
    for (const secret of ['a-secret-that-must-not-be-logged', credential, tvToken, casterToken]) {
      assert.ok(!server.log.includes(secret), 'a secret is in the log');
    }
  }));
