// The tutorial that installs AppRTC, Collider and coturn on Ubuntu 16.04 (webrtc.zhaoweiguo.com), step by step; the numbers are those
// of docs/tutorials.md.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { Android, checkIce, plain, Web } from '../interop/support/apprtc.mjs';
import { pebble } from '../interop/support/authority.mjs';
import { certificateOf } from '../interop/support/certified.mjs';
import { composed } from '../interop/support/compose.mjs';
import { startServer } from '../interop/support/server.mjs';
import { until } from '../interop/support/wait.mjs';
import * as tutorial from './tutorials.mjs';

const [SERVER_IP, LOCAL_IP, NAME] = ['47.105.214.21', '172.17.0.2', 'webrtc.zhaoweiguo.com'];
const ROOM_SERVER = `http://${SERVER_IP}:8080`;
const FLYER = { username: 'flyer', password: '123456' };

let place;
let server;
before(async () => {
  place = tutorial.machine({ external: SERVER_IP, local: LOCAL_IP, names: [NAME] });
  tutorial.type(
    `openssl req -x509 -out /cert/cert.crt -keyout /cert/key.pem \\
       -newkey rsa:2048 -nodes -sha256 \\
       -subj '/CN=webrtc.zhaoweiguo.com' \\
       && cat /cert/key.pem > /cert/cert.pem \\
       && cat /cert/cert.crt >> /cert/cert.pem \\
       && chmod 600 /cert/cert.pem /cert/key.pem /cert/cert.crt`,
    place.folder,
  );
  server = await tutorial.serve(1, place.folder);
});
after(async () => {
  await server?.close();
  place?.close();
});

test('1.1 one process without any other program is room server, Collider, ICE service and relay', async () => {
  for (const path of ['/', '/params', '/status', '/v1alpha/iceconfig']) assert.equal((await plain(`${ROOM_SERVER}${path}`)).status, 200, path);
  tutorial.assertAlone(server);
});

test('1.2 clients are told turn:47.105.214.21:3478 over UDP and TCP, and the STUN server', async () => {
  const servers = checkIce((await plain(`${ROOM_SERVER}/v1alpha/iceconfig`, { method: 'POST' })).body);
  const urls = servers.flatMap((each) => each.urls);
  assert.deepEqual(urls.sort(), ['stun:47.105.214.21:3478', 'turn:47.105.214.21:3478?transport=tcp', 'turn:47.105.214.21:3478?transport=udp']);
});

test('1.3 flyer with the password 123456 is added, with a warning, and relays', async () => {
  tutorial.assertWarned(await tutorial.addUser(server, 'flyer', '123456'));
  await tutorial.assertRelays({ host: SERVER_IP, ...FLYER });
});

test("1.4 coturn's client relays as flyer in the realm nort.gov", async () => {
  await tutorial.assertUclient(SERVER_IP, FLYER);
  await tutorial.assertUclient(SERVER_IP, FLYER, ['-t']);
  await tutorial.assertRealm(SERVER_IP, 'nort.gov');
});

test('1.5 Collider answers at 8089, over TLS and without', async () => {
  await tutorial.assertCollider(`ws://${SERVER_IP}:8089/ws`);
  await tutorial.assertCollider(`wss://${NAME}:8089/ws`, { rejectUnauthorized: false });
});

test('1.6 an app and a browser call each other at http://47.105.214.21:8080', async () => {
  assert.match((await plain(`${ROOM_SERVER}/r`)).body, /<html/i);
  await tutorial.assertCall(new Android(ROOM_SERVER), new Web(ROOM_SERVER), 'zhao');
});

test('1.7 castway health is content, and the start-up report names where everything is', async () => {
  const { code, stderr } = await server.cli(['health']);
  assert.equal(code, 0, stderr);
  const ports = tutorial.listening(server);
  for (const port of ['udp 3478', 'tcp 3478', 'tcp 8080', 'tcp 8089']) assert.ok(ports.includes(port), `${port}: ${ports}`);
  for (const words of [`http://${SERVER_IP}:8080/tv`, `${LOCAL_IP}:3478`, '0.0.0.0:8089']) assert.ok(server.log.includes(words), `${words}:\n${server.log}`);
});

test('1.8 the self-signed certificate of the openssl command serves HTTPS, and HTTP stays open', async () => {
  await tutorial.assertSelfSigned(server, { http: ROOM_SERVER, https: `https://${NAME}`, certificate: join(place.folder, 'cert.crt') });
});

test("1.9 an ACME authority certifies webrtc.zhaoweiguo.com, and HTTP leads to HTTPS", async () => {
  const authority = await pebble({ tlsPort: 443, httpPort: 80 });
  const addresses = { CASTWAY_HTTP_ADDR: '127.0.0.1:80', CASTWAY_HTTPS_ADDR: '127.0.0.1:443' };
  let certified;
  try {
    certified = await startServer({ ...addresses, ...authority.settings, CASTWAY_DOMAIN: NAME, CASTWAY_ACME_EMAIL: 'admin@zhaoweiguo.com' });
    await until('the certificate is there', () => certificateOf(certified), ({ kind, names }) => kind === 'acme' && names.includes(NAME));
    // Castway does not redirect requests of its own machine, which it recognises by loopback addresses. So curl uses another address.
    const { status, body } = await tutorial.curl('http://127.0.0.1/tv', '--interface', LOCAL_IP, '-H', `Host: ${NAME}`, '-D', '-');
    assert.equal(status, 308);
    assert.match(body, new RegExp(`^location: https://${NAME}/tv\\r$`, 'm'));
  } finally {
    await certified?.close();
    await authority.close();
  }
});

test('1.10 behind the nginx block casts go on by polling, links have the name, and the log names the missing Upgrade', async () => {
  await server.close();
  server = await tutorial.serve(1, place.folder, { CASTWAY_HTTPS_ADDR: `${LOCAL_IP}:8443`, CASTWAY_PUBLIC_URL: `https://${NAME}` });
  const nginx = await tutorial.startNginx('nginx-roomserver.conf', place.folder, `https://${NAME}/healthz`, [['本机ip', LOCAL_IP]]);
  try {
    await tutorial.assertCastsByPolling(`https://${NAME}`);
    await tutorial.assertUpgradeIsMissed(server, `https://${NAME}`);
    const { params } = JSON.parse((await tutorial.curl(`https://${NAME}/join/zhao`, '-X', 'POST')).body);
    assert.deepEqual([params.room_link, params.wss_url], [`https://${NAME}/r/zhao`, `wss://${NAME}/ws`]);
  } finally {
    await nginx.close();
  }
});

test('1.11 a page opened by a name gets links and WebSockets of that name and scheme', async () => {
  await server.close();
  server = await tutorial.serve(1, place.folder);
  for (const [origin, socket] of [[`https://${NAME}`, `wss://${NAME}`], [ROOM_SERVER, `ws://${SERVER_IP}:8080`]]) {
    const { params } = JSON.parse((await tutorial.curl(`${origin}/join/${socket.length}`, '-X', 'POST')).body);
    assert.deepEqual([params.room_link, params.wss_url], [`${origin}/r/${socket.length}`, `${socket}/ws`]);
  }
});

test('1.12 compose.yaml publishes the ports that casts and calls need, and wants no public address', () => {
  const service = composed(['compose.yaml']);
  assert.deepEqual(service.ports, ['8080:8080/tcp', '3478:3478/udp']);
  assert.deepEqual([service.network_mode, service.environment.CASTWAY_EXTERNAL_IP], [undefined, undefined]);
});
