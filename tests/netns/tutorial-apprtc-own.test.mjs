// The tutorial 自建 AppRTC (turnserver.conf, a TURN REST script at 3033, Collider at 8089, nginx at 8083), step by step; the numbers are
// those of docs/tutorials.md.
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { after, before, test } from 'node:test';
import { plain, Web } from '../interop/support/apprtc.mjs';
import { relayBothWays, TurnClient } from '../interop/support/turn.mjs';
import * as tutorial from './tutorials.mjs';

const [EXTERNAL, LOCAL, NAME, SECRET] = ['104.155.31.139', '192.168.1.10', 'apprtc.domain.com', '4080218913'];
const ORIGIN = `http://${NAME}:8083`;
const URIS = ['3478?transport=udp', '3478?transport=tcp', '3479?transport=udp', '3479?transport=tcp'].map((end) => `turn:${EXTERNAL}:${end}`);
const json = async (url) => JSON.parse((await plain(url)).body);

let place;
let server;
before(async () => {
  place = tutorial.machine({ external: EXTERNAL, local: LOCAL, names: [NAME] });
  tutorial.type('sudo openssl req -x509 -newkey rsa:2048 -keyout /etc/turn_server_pkey.pem -out /etc/turn_server_cert.pem -days 99999 -nodes', place.folder);
  server = await tutorial.serve(2, place.folder);
});
after(async () => {
  await server?.close();
  place?.close();
});

test('2.1 one process without any other program does it all', async () => {
  for (const path of ['/', '/params', '/status', '/v1alpha/iceconfig', '/turn?username=1']) assert.equal((await plain(`${ORIGIN}${path}`)).status, 200, path);
  tutorial.assertAlone(server);
});

test('2.2 credentials of the secret 4080218913 relay at ports from 59000 to 65000, in the realm of the settings', async () => {
  const granted = tutorial.sign(SECRET, `${tutorial.seconds(600)}:392938130`);
  await tutorial.assertRelays({ host: EXTERNAL, ...granted });
  await tutorial.assertRealm(EXTERNAL, NAME);
  for (let count = 0; count < 20; count += 1) {
    const client = new TurnClient({ host: EXTERNAL, port: 3478, local: '0.0.0.0', ...granted });
    try {
      assert.equal(await client.allocate(), 0);
      assert.equal(client.relayed.address, EXTERNAL);
      assert.ok(client.relayed.port >= 59_000 && client.relayed.port <= 65_000, String(client.relayed.port));
    } finally {
      await client.close();
    }
  }
});

test("2.3 loopback and multicast peers are refused, and coturn's client may move", async () => {
  const granted = tutorial.sign(SECRET, `${tutorial.seconds(600)}:1`);
  const client = new TurnClient({ host: EXTERNAL, port: 3478, local: '0.0.0.0', ...granted });
  try {
    assert.equal(await client.allocate(), 0);
    for (const address of ['127.0.0.1', '224.0.0.1']) assert.equal(await client.permit({ address, port: 9 }), 403, address);
  } finally {
    await client.close();
  }
  await tutorial.assertUclient(EXTERNAL, granted, ['-M']);
});

test('2.4 the certificate that lives 99999 days is served, and HTTP stays open', async () => {
  await tutorial.assertSelfSigned(server, { http: ORIGIN, https: `https://${NAME}:8443`, certificate: `${place.folder}/turn_server_cert.pem` });
});

test('2.5 TURN answers at 3478 and at 3479, over UDP and TCP', async () => {
  const granted = tutorial.sign(SECRET, `${tutorial.seconds(600)}:1`);
  for (const port of [3478, 3479]) await tutorial.assertRelays({ host: EXTERNAL, port, ...granted });
});

test('2.6 GET /turn at 3033 answers as the interface is described, with the four uris', async () => {
  const answer = await json(`http://${NAME}:3033/turn?username=392938130&key=${SECRET}`);
  const key = createHmac('sha256', SECRET).update('castway/scope/clients/1').digest();
  assert.deepEqual(answer, { ...answer, ...tutorial.sign(key, answer.username), ttl: 86_400, uris: URIS });
  assert.match(answer.username, /^\d{10}:392938130$/);
});

test('2.7 credentials of the pasted script are accepted, and both answer alike without a username', async () => {
  const url = `http://${place.gateway}:3033/turn`;
  const script = await tutorial.startScript('turn.js', url);
  try {
    const { username, password } = await json(`${url}?username=392938130&key=${SECRET}`);
    for (const port of [3478, 3479]) assert.equal(await relayBothWays({ host: EXTERNAL, port, local: '0.0.0.0', username, password }), 'relayed');
    assert.deepEqual(await json(`http://${NAME}:3033/turn`), await json(url));
  } finally {
    await script.close();
  }
});

test('2.8 Collider speaks ws:// at 8089', () => tutorial.assertCollider(`ws://${NAME}:8089/ws`));

test('2.9 every URL of a call is of http://apprtc.domain.com:8083, however the room server was asked', async () => {
  for (const [at, origin] of [ORIGIN, `http://${NAME}:8080`, `http://${LOCAL}:8080`].entries()) {
    const { params } = JSON.parse((await plain(`${origin}/join/r${at}`, { method: 'POST' })).body);
    const { room_link: link, wss_url: socket, wss_post_url: post, ice_server_url: ice } = params;
    assert.deepEqual([link, socket, post, ice], [`${ORIGIN}/r/r${at}`, `ws://${NAME}:8083/ws`, ORIGIN, `${ORIGIN}/v1alpha/iceconfig?key=`]);
  }
});

test('2.10 two browsers call each other at http://apprtc.domain.com:8083', async () => {
  await tutorial.assertCall(new Web(ORIGIN), new Web(ORIGIN), 'friends');
});

test("2.11 the server listens at the tutorial's ports, and at 8443 and 5349 for TLS", () => {
  const relayed = (port) => port >= 59_000 && port <= 65_000;
  const ports = tutorial.listening(server).filter((line) => !relayed(Number(line.split(' ')[1])));
  const tcp = [3033, 3478, 3479, 5349, 8080, 8083, 8089, 8443].map((port) => `tcp ${port}`);
  assert.deepEqual(ports, [...tcp, 'udp 3478', 'udp 3479']);
});

test('2.12 the nginx block as written leads to the pages and to /turn, and the log names the missing Upgrade', async () => {
  await server.close();
  server = await tutorial.serve(2, place.folder, { CASTWAY_HTTP_ADDR: '0.0.0.0:8080,0.0.0.0:3033' });
  const nginx = await tutorial.startNginx('nginx-8083.conf', place.folder, `${ORIGIN}/healthz`, [['ip.address.of.apprtc', LOCAL], ['ip.address.of.turn-rest-api', LOCAL]]);
  try {
    assert.deepEqual((await json(`${ORIGIN}/turn?username=392938130`)).uris, URIS);
    await tutorial.assertCastsByPolling(ORIGIN);
    await tutorial.assertUpgradeIsMissed(server, ORIGIN);
  } finally {
    await nginx.close();
  }
});
