// The tutorial that installs AppRTC on CentOS (DevYK: turnserver -L, ice.js at 8088, Collider at 8089, nginx at 443), step by step; the
// numbers are those of docs/tutorials.md.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Android, checkIce, plain, Web } from '../interop/support/apprtc.mjs';
import { verify } from '../interop/support/turn.mjs';
import * as tutorial from './tutorials.mjs';

const [EXTERNAL, LOCAL] = ['49.235.159.44', '172.17.0.11'];
const ROOM_SERVER = `http://${EXTERNAL}:8080`;
const DEVYK = { host: EXTERNAL, port: 3478, local: '0.0.0.0', username: 'DevYK', password: '12345' };
const ANY = { rejectUnauthorized: false };

let place;
let server;
before(async () => {
  place = tutorial.machine({ external: EXTERNAL, local: LOCAL });
  tutorial.type('openssl genrsa -out key.pem 2048', place.folder);
  tutorial.type('openssl req -new -x509 -key key.pem -out cert.pem -days 1095', place.folder);
  server = await tutorial.serve(3, place.folder);
});
after(async () => {
  await server?.close();
  place?.close();
});

test('3.1 one process without any other program does it all', async () => {
  for (const path of ['/', '/params', '/status', '/v1alpha/iceconfig']) assert.equal((await plain(`${ROOM_SERVER}${path}`)).status, 200, path);
  tutorial.assertAlone(server);
});

test('3.2 Collider at 8089 answers apps without TLS and browsers with it', async () => {
  await tutorial.assertCollider(`ws://${EXTERNAL}:8089/ws`);
  await tutorial.assertCollider(`wss://${EXTERNAL}:8089/ws`, ANY);
});

test('3.3 DevYK with the password 12345 is added, with a warning, and relays in the realm nort.gov', async () => {
  tutorial.assertWarned(await tutorial.addUser(server, 'DevYK', '12345'));
  await tutorial.assertRelays(DEVYK);
  await tutorial.assertUclient(EXTERNAL, DEVYK);
  await tutorial.assertRealm(EXTERNAL, 'nort.gov');
});

test('3.4 TURN listens at 3478, and nothing at a port for commands', () => {
  const ports = tutorial.listening(server);
  for (const port of ['tcp 3478', 'udp 3478']) assert.ok(ports.includes(port), String(ports));
  for (const port of ['tcp 5766', 'udp 5766']) assert.ok(!ports.includes(port), String(ports));
});

test('3.5 the self-signed certificate serves browsers, and HTTP stays open for apps', async () => {
  await tutorial.assertSelfSigned(server, { http: ROOM_SERVER, https: `https://${EXTERNAL}`, certificate: `${place.folder}/cert.pem` });
});

test('3.6 /v1alpha/iceconfig at 8088 names the relay over UDP and TCP, and STUN', async () => {
  for (const method of ['GET', 'POST']) {
    const answer = await plain(`http://${EXTERNAL}:8088/v1alpha/iceconfig?key=None`, { method });
    assert.equal(answer.status, 200);
    const urls = checkIce(answer.body).flatMap((each) => each.urls);
    assert.deepEqual(urls.sort(), [`stun:${EXTERNAL}:3478`, `turn:${EXTERNAL}:3478?transport=tcp`, `turn:${EXTERNAL}:3478?transport=udp`]);
  }
});

test('3.7 an app calls a browser at http://49.235.159.44:8080, and a page of https: gets wss:', async () => {
  await tutorial.assertCall(new Android(ROOM_SERVER), new Web(ROOM_SERVER), 'devyk');
  const secure = ROOM_SERVER.replace('http', 'https');
  const { params } = JSON.parse((await tutorial.curl(`${secure}/join/devyk`, '-X', 'POST')).body);
  assert.deepEqual([params.room_link, params.wss_url], [`${secure}/r/devyk`, `wss://${EXTERNAL}:8080/ws`]);
  await tutorial.assertCollider(params.wss_url, ANY);
});

test('3.8 what the pasted ice.js signs is accepted for five minutes after its expiry, and not later', async () => {
  const url = `http://${place.gateway}:8088/`;
  const script = await tutorial.startScript('ice.js', url);
  try {
    const [{ urls, username, credential }] = checkIce((await plain(url)).body);
    assert.deepEqual(urls, [`stun:${EXTERNAL}:3478`, `turn:${EXTERNAL}:3478`]);
    await tutorial.assertRelays({ ...DEVYK, username, password: credential });
  } finally {
    await script.close();
  }
  const late = tutorial.sign('12345', `${tutorial.seconds(-301)}:DevYK`);
  assert.equal(await verify({ ...DEVYK, ...late }), 401);
});

test('3.9 HTTPS and TURN over TLS at 443 need no nginx', async () => {
  assert.equal((await tutorial.curl(`https://${EXTERNAL}/r`)).status, 200);
  const granted = tutorial.sign('12345', `${tutorial.seconds(600)}:DevYK`);
  assert.equal(await verify({ ...DEVYK, ...granted, port: 443, transport: 'tls', tls: ANY }), 'allocated');
});

test('3.10 behind the nginx settings casts go on by polling, links are https:, and the log names the missing Upgrade', async () => {
  await server.close();
  const origin = `https://${EXTERNAL}`;
  server = await tutorial.serve(3, place.folder, { CASTWAY_HTTPS_ADDR: '0.0.0.0:8443', CASTWAY_PUBLIC_URL: origin });
  const nginx = await tutorial.startNginx('nginx-443.conf', place.folder, `${origin}/healthz`);
  try {
    const { status, headers } = await plain(`http://${EXTERNAL}/r/devyk`);
    assert.deepEqual([status, headers.location], [301, `${origin}/r/devyk`]);
    await tutorial.assertCastsByPolling(origin);
    await tutorial.assertUpgradeIsMissed(server, origin);
    const { params } = JSON.parse((await tutorial.curl(`${origin}/join/devyk`, '-X', 'POST')).body);
    assert.deepEqual([params.room_link, params.wss_url], [`${origin}/r/devyk`, `wss://${EXTERNAL}/ws`]);
  } finally {
    await nginx.close();
  }
});

test("3.11 in another realm DevYK's password has to be set again, and the report says so", async () => {
  await server.close();
  server = await tutorial.serve(3, place.folder);
  await tutorial.addUser(server, 'DevYK', '12345');
  await tutorial.assertRelays(DEVYK);
  server.settings.CASTWAY_REALM = 'www.devyk.cn';
  server.log = '';
  await server.restart();
  assert.match(server.log, /CASTWAY_REALM=www\.devyk\.cn/);
  assert.equal(await verify(DEVYK), 401);
  const { code, stderr } = await server.cli(['user', 'passwd', 'DevYK', '--password-stdin'], '12345\n');
  assert.equal(code, 0, stderr);
  await tutorial.assertRelays(DEVYK);
  await tutorial.assertRealm(EXTERNAL, 'www.devyk.cn');
});
