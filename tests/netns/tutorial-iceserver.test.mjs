// The tutorial webrtc终极版(二) (an iceserver of one's own: turnadmin, firewall-cmd, RTCMultiConnection's demo), step by step; the numbers
// are those of docs/tutorials.md.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { checkIce, plain } from '../interop/support/apprtc.mjs';
import { closeAll, connect, room } from '../interop/support/multi.mjs';
import { run } from '../interop/support/process.mjs';
import { assertUclient } from '../interop/support/relaying.mjs';
import { startServer } from '../interop/support/server.mjs';
import { TurnClient } from '../interop/support/turn.mjs';
import { TIMEOUT_MS } from '../interop/support/wait.mjs';
import * as tutorial from './tutorials.mjs';

const [EXTERNAL, LOCAL, NAME] = ['60.70.80.91', '172.17.19.101', 'turn.zilv.cn'];
const WJC = { host: NAME, username: 'wjc', password: '123456' };
const script = (name) => fileURLToPath(new URL(`../interop/support/${name}`, import.meta.url));
// The ICE servers that readers put into the page and the demo.
const iceServers = [{ urls: [`stun:${NAME}:3478`, `turn:${NAME}:3478`], username: 'wjc', credential: '123456' }];

// Credentials as the server issues them; the tutorial has no user yet.
async function granted() {
  const { username, credential } = checkIce((await plain(`http://${NAME}:8080/v1alpha/iceconfig`)).body).find((each) => each.username);
  return { username, password: credential };
}

let place;
let server;
before(async () => {
  place = tutorial.machine({ external: EXTERNAL, local: LOCAL, names: [NAME] });
  server = await tutorial.serve(4, place.folder);
});
after(async () => {
  closeAll();
  await server?.close();
  place?.close();
});

test('4.1 the systemd unit starts castway with the machine and again after a failure', () => {
  const unit = readFileSync(new URL('../../deploy/castway.service', import.meta.url), 'utf8');
  for (const line of ['ExecStart=/usr/local/bin/castway', 'Restart=on-failure', 'WantedBy=multi-user.target']) assert.match(unit, new RegExp(`^${line}\\b`, 'm'));
});

test('4.2 from outside nobody is answered until 3478/udp is open, and then it is enough', async () => {
  const within = ['ip', 'netns', 'exec', 'visitor'];
  const stun = (limit) => run('ip', [...within.slice(1), 'turnutils_stunclient', '-p', '3478', EXTERNAL], { limit });
  const nft = (...rules) => execFileSync('nft', [rules.map((rule) => `add ${rule}`).join('; ')]);
  const input = 'rule ip firewalld input';
  const credentials = await granted();
  nft('table ip firewalld', 'chain ip firewalld input { type filter hook input priority 0; policy drop; }');
  nft(`${input} iifname lo accept`, `${input} ct state established,related accept`);
  try {
    assert.doesNotMatch((await stun(3000)).output, /reflexive addr/);
    nft(`${input} udp dport 3478 accept`);
    assert.match((await stun(TIMEOUT_MS)).output, /UDP reflexive addr: 172\.17\.19\.254:\d+/);
    await assertUclient(3478, [], credentials, { host: EXTERNAL, within });
  } finally {
    execFileSync('nft', ['delete table ip firewalld']);
  }
});

test('4.3 no certificate is needed, and the one of the openssl command is taken', async () => {
  assert.equal((await tutorial.curl(`https://${NAME}:8443/healthz`)).status, 200);
  tutorial.type('openssl req -x509 -newkey rsa:2048 -keyout /etc/turn_server_pkey.pem -out /etc/turn_server_cert.pem -days 99999 -nodes', place.folder);
  const certificate = `${place.folder}/turn_server_cert.pem`;
  await server.close();
  server = await tutorial.serve(4, place.folder, { CASTWAY_CERT: certificate, CASTWAY_PKEY: `${place.folder}/turn_server_pkey.pem` });
  await tutorial.assertSelfSigned(server, { http: `http://${NAME}:8080`, https: `https://${NAME}:8443`, certificate });
});

test('4.4 a relay-ip that the machine has not is named at the start; the external address alone is enough', async () => {
  await assert.rejects(startServer({ CASTWAY_RELAY_IP: EXTERNAL }), /CASTWAY_RELAY_IP[^\n]*60\.70\.80\.91|60\.70\.80\.91[^\n]*CASTWAY_RELAY_IP/);
  await server.close();
  server = await tutorial.serve(4, place.folder);
  const { username, password } = await granted();
  const client = new TurnClient({ host: NAME, port: 3478, local: '0.0.0.0', username, password });
  try {
    assert.equal(await client.allocate(), 0);
    assert.equal(client.relayed.address, EXTERNAL);
  } finally {
    await client.close();
  }
});

test('4.5 wjc with the password 123456 is added while the server runs, with a warning, and relays', async () => {
  tutorial.assertWarned(await tutorial.addUser(server, 'wjc', '123456'));
  await tutorial.assertRelays(WJC);
  await tutorial.assertUclient(NAME, WJC);
});

test('4.6 the key of wjc in the realm turn.zilv.cn is the one that turnadmin makes', async () => {
  const { output } = await run('turnadmin', ['-k', '-u', 'wjc', '-p', '123456', '-r', 'turn.zilv.cn']);
  assert.match(output, new RegExp(createHash('md5').update('wjc:turn.zilv.cn:123456').digest('hex')));
  await tutorial.assertRealm(NAME, 'turn.zilv.cn');
});

test('4.7 gathering yields relay candidates of the external address, as the test page shows them', async () => {
  const tcp = [{ ...iceServers[0], urls: `turn:${NAME}:3478?transport=tcp` }];
  for (const config of [{ iceServers }, { iceServers: tcp }]) {
    const { code, output } = await run(process.execPath, [script('gather.mjs'), JSON.stringify(config)]);
    assert.equal(code, 0, output);
    assert.match(output, /^candidate:.* 60\.70\.80\.91 \d+ typ relay /);
  }
});

test("4.8 the demo's clients meet in a room, and its iceServers carry data over the relay", async () => {
  const [a, b] = [await connect(server, 'a', { version: '2.5' }), await connect(server, 'b')];
  assert.deepEqual(await a.ask('open-room', room('demo')), [true]);
  assert.deepEqual(await b.ask('join-room', room('demo')), [true]);
  b.askIn('demo');
  await a.until('the request', (log) => log.some(([, message]) => message?.message?.newParticipationRequest));
  const { code, output } = await run(process.execPath, [script('echo.mjs'), 'libwebrtc', JSON.stringify({ iceServers, iceTransportPolicy: 'relay' })]);
  assert.equal(code, 0, output);
});

test('4.9 the start-up report says that a private address reaches nobody outside', async () => {
  const forgotten = await startServer({ CASTWAY_EXTERNAL_IP: undefined, CASTWAY_RELAY_IP: LOCAL });
  try {
    assert.match(forgotten.log, /172\.17\.19\.101[^\n]*own network only[^\n]*CASTWAY_EXTERNAL_IP/);
  } finally {
    await forgotten.close();
  }
});
