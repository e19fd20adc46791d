// The tutorial on casting with a projection code (a socket.io server, getKey() and CONFIG_FEEDBACK), step by step; the numbers are those of
// docs/tutorials.md.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { after, afterEach, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { closeAll, connect } from '../interop/support/clients.mjs';
import { CODE, dialects, exchange, hearCandidate, pair, sdp, sendCandidate } from '../interop/support/dialects.mjs';
import { run } from '../interop/support/process.mjs';
import { verify } from '../interop/support/turn.mjs';
import { until } from '../interop/support/wait.mjs';
import * as tutorial from './tutorials.mjs';

const [EXTERNAL, LOCAL, NAME] = ['203.0.113.7', '10.0.0.5', 'your.domain'];
const SERVER = { url: `http://${NAME}` };
const VERSIONS = ['2.5', '4.8'];

// The lines as readers paste them. The document's settings have the same secret.
const getKey = new Function('require', `${readFileSync(tutorial.pasted('getkey.js'), 'utf8')}\nreturn getKey;`)(createRequire(import.meta.url));
const key = (username) => {
  const { username: name, credential } = getKey(username);
  return { host: EXTERNAL, port: 3478, local: '0.0.0.0', username: name, password: credential };
};

let place;
let server;
before(async () => {
  place = tutorial.machine({ external: EXTERNAL, local: LOCAL, names: [NAME] });
  server = await tutorial.serve(5, place.folder);
});
afterEach(closeAll);
after(async () => {
  await server?.close();
  place?.close();
});

const clients = (version, namespace = '/') => Promise.all(['TV', 'caster'].map((label) => connect(SERVER, { version, transport: 'upgrade', namespace, label })));

test('5.1 socket.io-client 2 and 4 connect at port 80, and pages of other origins may', async () => {
  for (const version of VERSIONS) await clients(version);
  const { status, body } = await tutorial.curl(`http://${NAME}/socket.io/?EIO=4&transport=polling`, '-H', 'Origin: http://page.example', '-D', '-');
  assert.equal(status, 200);
  assert.match(body, /^access-control-allow-origin: (\*|http:\/\/page\.example)\r$/im);
});

test('5.2 /rtc is a namespace, and a wrong path is answered with what to do', async () => {
  for (const version of VERSIONS) await clients(version, '/rtc');
  const { status, body } = await tutorial.curl(`http://${NAME}/rtc/?EIO=4&transport=polling`);
  assert.equal(status, 404);
  assert.match(body, /\/socket\.io\/.*\/rtc/s);
});

test('5.3 TV_INIT gives a code, with a token and without', async () => {
  for (const version of VERSIONS) {
    for (const token of [[], ['token']]) {
      const [tv] = await clients(version);
      tv.emit('TV_INIT', ...token);
      assert.match(await tv.next('TV_INIT_OK'), CODE);
    }
  }
});

test('5.4 after JOIN_ROOM offer and answer cross, with user names and without', async () => {
  for (const version of VERSIONS) {
    for (const username of [undefined, '用户名']) {
      const [tv, caster] = await clients(version);
      await pair(tv, 'A', caster, 'A', { username });
      await exchange(tv, 'A', caster, 'A');
    }
  }
});

test('5.5 candidates cross both ways, and those that come before the offer follow it', async () => {
  const [tv, caster] = await clients('4.8');
  await pair(tv, 'A', caster, 'A');
  await sendCandidate(caster, false, 1);
  await dialects.A.sendOffer(caster, false, sdp('offer', 1));
  await hearCandidate(tv, 1);
  await sendCandidate(tv, false, 2);
  await dialects.A.sendAnswer(tv, false, sdp('answer', 1));
  await hearCandidate(caster, 2);
  assert.deepEqual(tv.log.map(([name]) => name).slice(-2), ['CLIENT_OFFER_TO_TV', 'RTC_Candidate_Exchange']);
});

test("5.6 a user's password and credentials of the secret are both accepted", async () => {
  await tutorial.addUser(server, 'user', '123456');
  await tutorial.assertRelays({ host: EXTERNAL, username: 'user', password: '123456' });
  await tutorial.assertRelays({ host: EXTERNAL, ...tutorial.sign('你的密钥', `${tutorial.seconds(3600)}:user`) });
  await tutorial.assertRealm(EXTERNAL, NAME);
});

test('5.7 credentials of getKey() as written relay for their year, unless CASTWAY_MAX_FOREIGN_TTL forbids it', async () => {
  assert.match(key('用户名').username, /^\d{13}:用户名$/);
  for (const username of ['alice', '用户名']) await tutorial.assertRelays(key(username));
  await until('the log says how long they live', () => /CASTWAY_MAX_FOREIGN_TTL/.test(server.log));
  server.settings.CASTWAY_MAX_FOREIGN_TTL = '86400';
  await server.restart();
  assert.equal(await verify(key('alice')), 401);
  delete server.settings.CASTWAY_MAX_FOREIGN_TTL;
  await server.restart();
  assert.equal(await verify(key('alice')), 'allocated');
});

test("5.8 CONFIG_FEEDBACK has the tutorial's three entries; by itself it comes to its clients alone", async () => {
  const expected = [`turn:${EXTERNAL}:3478?transport=udp`, `turn:${EXTERNAL}:3478?transport=tcp`, `stun:${EXTERNAL}:3478`];
  for (const version of VERSIONS) {
    const [tv, caster] = await clients(version);
    tv.emit('TV_INIT');
    const code = await tv.next('TV_INIT_OK');
    caster.emit('JOIN_ROOM', code);
    for (const peer of [tv, caster]) {
      const { config } = await peer.next('CONFIG_FEEDBACK');
      assert.deepEqual(config.iceServers.map(({ urls }) => urls), expected);
      assert.deepEqual(config.iceServers.map(({ username, credential }) => Boolean(username && credential)), [true, true, false]);
    }
    const published = await connect(SERVER, { version, namespace: '/rtc', label: 'published caster' });
    published.emit('CONNECT_TO_TV', { username: 'guest', projCode: code });
    await published.next('CONNECT_TO_TV_SUCCESS');
    published.emit('CONFIG', { username: 'guest' });
    await published.next('CONFIG_FEEDBACK');
    await published.settle();
    assert.equal(published.heard('CONFIG_FEEDBACK').length, 2, 'one an answer');
  }
});

test('5.9 with the configuration of CONFIG_FEEDBACK data flows over the relay alone', async () => {
  const [tv] = await clients('4.8');
  tv.emit('TV_INIT');
  const { config } = await tv.next('CONFIG_FEEDBACK');
  const echo = fileURLToPath(new URL('../interop/support/echo.mjs', import.meta.url));
  const { code, output } = await run(process.execPath, [echo, 'libwebrtc', JSON.stringify({ ...config, iceTransportPolicy: 'relay' })]);
  assert.equal(code, 0, output);
  assert.match(output, /typ relay/);
});
