// The tutorials' machines: their addresses and names in this process's own network namespace, their programs as they write
// them, and Castway with the settings that docs/tutorials.md gives for each.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { createHmac, X509Certificate } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
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
// Lines of a tutorial as its readers paste them.
export const pasted = (name) => fileURLToPath(new URL(`tutorials/${name}`, import.meta.url));

// A cloud's machine: its own address is `local`, the world knows it as `external`, and `names` lead there. Beside it is the
// namespace `visitor`, from where the machine is reached by `external` alone.
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

// The tutorials' folders become `folder`, which is all that is changed.
export const inFolder = (text, folder) => text.replaceAll('/cert/', `${folder}/`).replaceAll('/etc/turn_server', `${folder}/turn_server`);

// A command of a tutorial; to all that it asks the answer is Enter, as they say.
export function type(command, folder) {
  const { status, stderr } = spawnSync('sh', ['-euc', `sudo() { "$@"; }\n${inFolder(command, folder)}`], { cwd: folder, input: '\n'.repeat(20), encoding: 'utf8' });
  assert.equal(status, 0, stderr);
}

// What the document tells the readers of a tutorial to put into .env.
function documented(number) {
  const text = readFileSync(new URL('../../docs/tutorials.md', import.meta.url), 'utf8');
  const chapter = text.split(/^## /m).find((part) => part.startsWith(`${number}. `));
  const [, block] = chapter?.match(/```sh\n([\s\S]*?)```/) ?? assert.fail(`docs/tutorials.md has no settings for tutorial ${number}`);
  return Object.fromEntries([...block.matchAll(/^(CASTWAY_\w+)=(\S*)/gm)].map(([, name, value]) => [name, value]));
}

// Castway with these settings, the defaults, and nothing else of this machine: no program is in its PATH.
export function serve(number, folder, more = {}) {
  const own = Object.entries(documented(number)).map(([name, value]) => [name, inFolder(value, folder)]);
  const defaults = ['HTTP_ADDR', 'HTTPS_ADDR', 'TURNS_ADDR', 'TURN_ADDR', 'EXTERNAL_IP', 'RELAY_IP', 'MAX_PORT', 'CREDENTIALS_RATE', 'LOG'];
  const unset = defaults.map((name) => [`CASTWAY_${name}`, undefined]);
  return startServer({ ...Object.fromEntries([...unset, ...own]), PATH: '/nonexistent', ...more });
}

// One process does it all.
export function assertAlone({ pid }) {
  for (const task of shell(`ls /proc/${pid}/task`).trim().split('\n')) assert.equal(readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8').trim(), '');
}

// As the document says it; resolves to what was said on standard error.
export async function addUser(server, name, password) {
  const { code, stderr } = await server.cli(['user', 'add', name, '--password-stdin'], `${password}\n`);
  assert.equal(code, 0, stderr);
  return stderr;
}

// The tutorials' passwords are short, which is said, with what to do about it.
export function assertWarned(stderr) {
  assert.match(stderr, /short|characters/i);
  assert.match(stderr, /--generate/);
}

// Data crosses the relay at the address that the tutorial's clients are told, over UDP and TCP. A running server follows the
// command line within a second.
export async function assertRelays(options) {
  for (const transport of ['udp', 'tcp']) {
    const way = { port: 3478, local: '0.0.0.0', transport, ...options };
    await until(`${way.username} is known`, () => verify(way), (seen) => seen !== 401);
    assert.equal(await relayBothWays(way), 'relayed', transport);
  }
}

export const assertUclient = (host, credentials, ways = []) => uclient(3478, ways, credentials, { host, channels: true });

// What is listened at, as their netstat and lsof show it: 'tcp 8080', 'udp 3478', in order.
export function listening({ pid }) {
  const lines = shell('ss -Hlntup').trim().split('\n').filter((line) => line.includes(`pid=${pid},`));
  const ports = lines.map((line) => line.split(/\s+/)).map(([kind, , , , address]) => `${kind} ${address.split(':').at(-1)}`);
  return [...new Set(ports)].sort();
}

// A request as a browser makes it whose user has accepted a self-signed certificate: {status, body}.
export async function curl(url, ...more) {
  const { code, output } = await run('curl', ['-sSk', '--max-time', '60', '-w', '\n%{http_code}', ...more, url]);
  assert.equal(code, 0, output);
  const end = output.lastIndexOf('\n');
  return { status: Number(output.slice(end + 1)), body: output.slice(0, end) };
}

// A block of a tutorial in nginx, which is ready when `url` is answered there.
export async function startNginx(name, folder, url, replaced = []) {
  let text = inFolder(readFileSync(pasted(name), 'utf8'), folder);
  for (const [from, to] of replaced) text = text.replaceAll(from, to);
  const ready = async () => (await curl(url)).status < 500;
  return startProxy('nginx', nginx.args, async ({ folder: own }) => {
    // Debian's is where Debian's own settings are.
    writeFileSync(join(own, 'fastcgi_params'), '');
    return { text: nginx.config(text, own), ready };
  });
}

// What nginx makes of a WebSocket's handshake where it does not pass Upgrade on: an answer that names it, and a line in the log.
export async function assertUpgradeIsMissed(server, origin, paths = ['/ws', '/socket.io/?EIO=4&transport=websocket']) {
  const handshake = ['Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Version: 13', 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=='];
  for (const path of paths) {
    const { status, body } = await curl(`${origin}${path}`, '--http1.1', ...handshake.flatMap((header) => ['-H', header]));
    assert.ok(status >= 400 && status < 500, `${path}: ${status} ${body}`);
    assert.match(body, /\bUpgrade\b/, path);
  }
  await until('the log names it', () => /\bUpgrade\b/.test(server.log));
}

// The answer to a client without credentials.
export const assertRealm = async (host, realm) => {
  const client = new TurnClient({ host, port: 3478, username: 'nobody', password: 'none', local: '0.0.0.0' });
  try {
    assert.equal(await client.allocate(), 401);
    assert.equal(String(client.realm), realm);
  } finally {
    client.abandon();
  }
};

// A whole call, and whether the relay that the caller learned of works.
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

// Two clients of Collider at a URL of it.
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

// A cast behind a proxy that does not pass Upgrade on: it stays with polling.
export async function assertCastsByPolling(origin) {
  for (const version of ['2.5', '4.8']) {
    const options = { version, transport: 'upgrade', unverified: true };
    const [tv, caster] = [await connect({ url: origin }, { ...options, label: 'TV' }), await connect({ url: origin }, { ...options, label: 'caster' })];
    await wholeFlow(tv, 'A', caster, 'A');
    assert.deepEqual([tv.transport, caster.transport], ['polling', 'polling']);
    closeAll();
  }
}

// The files of a self-signed certificate are served, and nothing is built on them: HTTP stays open, `turns:` is not named, and the
// report has the fingerprint for those whom the browser warns.
export async function assertSelfSigned(server, { http, https, certificate }) {
  assert.equal((await curl(`${https}/tv`)).status, 200);
  assert.equal((await curl(`${http}/tv`)).status, 200, 'no redirect');
  const urls = checkIce((await curl(`${http}/v1alpha/iceconfig`)).body).flatMap((server) => server.urls);
  assert.ok(urls.every((url) => !url.startsWith('turns:')), urls.join(' '));
  const fingerprint = new X509Certificate(readFileSync(certificate)).fingerprint256;
  const bare = (text) => text.replaceAll(':', '').toLowerCase();
  assert.ok(bare(server.log).includes(bare(fingerprint)), server.log);
}

// A pasted script of node's, in the namespace `visitor`, whose ports are free; serves when `url` is answered.
export async function startScript(name, url) {
  const env = { ...process.env, NODE_PATH: fileURLToPath(new URL('tutorials', import.meta.url)) };
  const script = new Program('ip', ['netns', 'exec', 'visitor', process.execPath, pasted(name)], { env });
  await script.ready(async () => (await plain(url)).status === 200);
  return script;
}

// Credentials as another issuer with the secret makes them.
export const sign = (secret, username) => ({ username, password: createHmac('sha1', secret).update(username).digest('base64') });
export const seconds = (ahead) => Math.floor(Date.now() / 1000) + ahead;
