// The tutorials' machines: their addresses and names in this process's own network namespace, their programs as written there, and Castway
// with the settings that docs/tutorials.md gives for each.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { createHmac, X509Certificate } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { blocks } from '../documents/documents.mjs';
import { Channel, checkIce, plain } from '../interop/support/apprtc.mjs';
import { closeAll, connect } from '../interop/support/clients.mjs';
import { wholeFlow } from '../interop/support/dialects.mjs';
import { Program, run } from '../interop/support/process.mjs';
import { nginx, startProxy } from '../interop/support/proxy.mjs';
import { assertUclient as uclient } from '../interop/support/relaying.mjs';
import { startServer } from '../interop/support/server.mjs';
import { relayBothWays, TurnClient, verify } from '../interop/support/turn.mjs';
import { until } from '../interop/support/wait.mjs';

const shell = (command) => execFileSync('sh', ['-euc', command], { stdio: ['ignore', 'pipe', 'inherit'], encoding: 'utf8' });
// The file with lines that readers paste from a tutorial.
export const pasted = (name) => fileURLToPath(new URL(`tutorials/${name}`, import.meta.url));

// A machine in a cloud: its own address is `local`, other machines reach it at `external`, and `names` resolve to it. The namespace
// `visitor` beside it reaches the machine only at `external`.
export function machine({ external, local, names = [] }) {
  if (!process.env.CASTWAY_NETNS) throw new Error('run it with tests/run netns, or within tests/netns/enter');
  const folder = mkdtempSync(join(tmpdir(), 'castway-tutorial-'));
  const hosts = join(folder, 'hosts');
  const gateway = local.replace(/\d+$/, '254');
  writeFileSync(hosts, ['127.0.0.1 localhost', ...names.map((name) => `${external} ${name}`), ''].join('\n'));
  const close = () => {
    for (const undo of ['umount /etc/hosts', 'nft delete table ip cloud', 'ip link del cloud', 'ip netns del visitor']) shell(`${undo} || true`);
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    shell(`
      ip netns add visitor; ip link add cloud type veth peer name eth0 netns visitor
    ip addr add ${local}/24 dev cloud; ip link set cloud up
    ip -n visitor addr add ${gateway}/24 dev eth0; ip -n visitor link set eth0 up; ip -n visitor link set lo up
    ip route add default via ${gateway}; ip -n visitor route add ${external} via ${local}
    mount --bind ${hosts} /etc/hosts
    nft -f - <<'END'
table ip cloud {
  chain output { type nat hook output priority -100; ip daddr ${external} dnat to ${local}; }
  chain prerouting { type nat hook prerouting priority -100; ip daddr ${external} dnat to ${local}; }
}
END`);
  } catch (error) {
    close();
    throw error;
  }
  return { folder, gateway, close };
}

// Replaces the tutorials' folders by `folder`, and changes nothing else.
export const inFolder = (text, folder) => text.replaceAll('/cert/', `${folder}/`).replaceAll('/etc/turn_server', `${folder}/turn_server`);

// Runs a command of a tutorial. It answers every question with Enter, as the tutorials tell their readers.
export function type(command, folder) {
  const { status, stderr } = spawnSync('sh', ['-euc', `sudo() { "$@"; }\n${inFolder(command, folder)}`], { cwd: folder, input: '\n'.repeat(20), encoding: 'utf8' });
  assert.equal(status, 0, stderr);
}

// The settings that the document tells a tutorial's readers to put into .env.
function documented(number) {
  const ofChapter = ({ heading, language }) => heading?.startsWith(`${number}. `) && language === 'sh';
  const { text } = blocks('docs/tutorials.md').find(ofChapter) ?? assert.fail(`docs/tutorials.md has no settings for tutorial ${number}`);
  return Object.fromEntries([...text.matchAll(/^(CASTWAY_\w+)=(\S*)/gm)].map(([, name, value]) => [name, value]));
}

// Starts Castway with these settings and the defaults. Its PATH is empty, so that it can't run another program of this machine.
export function serve(number, folder, more = {}) {
  const own = Object.entries(documented(number)).map(([name, value]) => [name, inFolder(value, folder)]);
  const defaults = ['HTTP_ADDR', 'HTTPS_ADDR', 'TURNS_ADDR', 'TURN_ADDR', 'EXTERNAL_IP', 'RELAY_IP', 'MAX_PORT', 'CREDENTIALS_RATE', 'LOG'];
  const unset = defaults.map((name) => [`CASTWAY_${name}`, undefined]);
  return startServer({ ...Object.fromEntries([...unset, ...own]), PATH: '/nonexistent', ...more });
}

// Asserts that Castway runs as a single process.
export function assertAlone({ pid }) {
  for (const task of shell(`ls /proc/${pid}/task`).trim().split('\n')) assert.equal(readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8').trim(), '');
}

// Adds a user as the document says; resolves to the output on standard error.
export async function addUser(server, name, password) {
  const { code, stderr } = await server.cli(['user', 'add', name, '--password-stdin'], `${password}\n`);
  assert.equal(code, 0, stderr);
  return stderr;
}

// The tutorials' passwords are short: Castway must warn about that, and say what to do.
export function assertWarned(stderr) {
  assert.match(stderr, /short|characters/i);
  assert.match(stderr, /--generate/);
}

// Asserts that the relay forwards data at the address that the tutorial's clients use, over UDP and TCP. A running server adopts
// changes of the command line within a second.
export async function assertRelays(options) {
  for (const transport of ['udp', 'tcp']) {
    const way = { port: 3478, local: '0.0.0.0', transport, ...options };
    await until(`${way.username} is known`, () => verify(way), (seen) => seen !== 401);
    assert.equal(await relayBothWays(way), 'relayed', transport);
  }
}

export const assertUclient = (host, credentials, ways = []) => uclient(3478, ways, credentials, { host });

// The ports on which the server listens, as netstat and lsof show them: 'tcp 8080', 'udp 3478', in order.
export function listening({ pid }) {
  const lines = shell('ss -Hlntup').trim().split('\n').filter((line) => line.includes(`pid=${pid},`));
  const ports = lines.map((line) => line.split(/\s+/)).map(([kind, , , , address]) => `${kind} ${address.split(':').at(-1)}`);
  return [...new Set(ports)].sort();
}

// A request of a browser whose user has accepted a self-signed certificate: {status, body}.
export async function curl(url, ...more) {
  const { code, output } = await run('curl', ['-sSk', '--max-time', '60', '-w', '\n%{http_code}', ...more, url]);
  assert.equal(code, 0, output);
  const end = output.lastIndexOf('\n');
  return { status: Number(output.slice(end + 1)), body: output.slice(0, end) };
}

// Starts nginx with a block of a tutorial; nginx is ready when it answers `url`.
export async function startNginx(name, folder, url, replaced = []) {
  let text = inFolder(readFileSync(pasted(name), 'utf8'), folder);
  for (const [from, to] of replaced) text = text.replaceAll(from, to);
  const ready = async () => (await curl(url)).status < 500;
  return startProxy('nginx', nginx.args, async ({ folder: own }) => {
    // nginx looks for this file in its own folder; Debian's copy is with Debian's settings.
    writeFileSync(join(own, 'fastcgi_params'), '');
    return { text: nginx.config(text, own), ready };
  });
}

// If nginx does not forward the Upgrade header of a WebSocket handshake, the response and the log must name that header.
export async function assertUpgradeIsMissed(server, origin, paths = ['/ws', '/socket.io/?EIO=4&transport=websocket']) {
  const handshake = ['Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Version: 13', 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=='];
  for (const path of paths) {
    const { status, body } = await curl(`${origin}${path}`, '--http1.1', ...handshake.flatMap((header) => ['-H', header]));
    assert.ok(status >= 400 && status < 500, `${path}: ${status} ${body}`);
    assert.match(body, /\bUpgrade\b/, path);
  }
  await until('the log names it', () => /\bUpgrade\b/.test(server.log));
}

// Asserts that a client without credentials is asked for them in this realm.
export const assertRealm = async (host, realm) => {
  const client = new TurnClient({ host, port: 3478, username: 'nobody', password: 'none', local: '0.0.0.0' });
  try {
    assert.equal(await client.allocate(), 401);
    assert.equal(String(client.realm), realm);
  } finally {
    client.abandon();
  }
};

// A whole call; then checks the relay whose credentials the caller received.
export async function assertCall(caller, callee, room) {
  const [offer, answer] = [{ type: 'offer', sdp: 'v=0\r\n' }, { type: 'answer', sdp: 'v=0\r\n' }];
  assert.ok(await caller.join(room));
  await caller.send(offer);
  assert.ok(await callee.join(room));
  assert.deepEqual(await callee.hear('offer'), offer);
  await callee.send(answer);
  assert.deepEqual(await caller.hear('answer'), answer);
  const { urls, username, credential } = caller.ice.find((server) => server.username);
  const [, host, port] = urls[0].match(/^turn:([^:]+):(\d+)/);
  await assertRelays({ host, port: Number(port), username, password: credential });
  await caller.hangUp();
  await callee.hear('bye');
  await callee.hangUp();
}

// Two clients of Collider at one of its URLs.
export async function assertCollider(url, options) {
  const [a, b] = [await Channel.open(url, options), await Channel.open(url, options)];
  a.register('r', '1');
  b.register('r', '2');
  await a.settled();
  await b.settled();
  a.send('hello');
  assert.equal(await b.message(), 'hello');
  a.close();
  b.close();
}

// A cast behind a proxy that does not forward the Upgrade header: it must keep using polling.
export async function assertCastsByPolling(origin) {
  for (const version of ['2.5', '4.8']) {
    const options = { version, transport: 'upgrade', unverified: true };
    const [tv, caster] = [await connect({ url: origin }, { ...options, label: 'TV' }), await connect({ url: origin }, { ...options, label: 'caster' })];
    await wholeFlow(tv, 'A', caster, 'A');
    assert.deepEqual([tv.transport, caster.transport], ['polling', 'polling']);
    closeAll();
  }
}

// A self-signed certificate is used for HTTPS only: plain HTTP stays available, no URL begins with `turns:`, and the report shows the
// fingerprint for users who see the browser's warning.
export async function assertSelfSigned(server, { http, https, certificate }) {
  assert.equal((await curl(`${https}/tv`)).status, 200);
  assert.equal((await curl(`${http}/tv`)).status, 200, 'no redirect');
  const urls = checkIce((await curl(`${http}/v1alpha/iceconfig`)).body).flatMap((server) => server.urls);
  assert.ok(urls.every((url) => !url.startsWith('turns:')), urls.join(' '));
  const fingerprint = new X509Certificate(readFileSync(certificate)).fingerprint256;
  const bare = (text) => text.replaceAll(':', '').toLowerCase();
  assert.ok(bare(server.log).includes(bare(fingerprint)), server.log);
}

// Starts a tutorial's script for Node in the namespace `visitor`, whose ports are free; the script is ready when it answers `url`.
export async function startScript(name, url) {
  const env = { ...process.env, NODE_PATH: fileURLToPath(new URL('tutorials', import.meta.url)) };
  const script = new Program('ip', ['netns', 'exec', 'visitor', process.execPath, pasted(name)], { env });
  await script.ready(async () => (await plain(url)).status === 200);
  return script;
}

// Credentials as another issuer with the same secret makes them.
export const sign = (secret, username) => ({ username, password: createHmac('sha1', secret).update(username).digest('base64') });
export const seconds = (ahead) => Math.floor(Date.now() / 1000) + ahead;
