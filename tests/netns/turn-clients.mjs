// TURN clients in the homes, which can reach each other only through our relay.
//
// A driver is a program for one client: it is started in home 1 with the role `offer` and in home 2 with the role `answer`, and with a
// configuration as its last argument. Each line that it prints is a JSON object; `play` hands it to the other driver's input, except the
// last one, {done: true, candidates}, which says that data came through and back, or that media came, and which candidates it had.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { excerpt } from '../interop/support/excerpt.mjs';
import { run } from '../interop/support/process.mjs';
import { TIMEOUT_MS, within } from '../interop/support/wait.mjs';
import { SERVER, SERVER_V6 } from './networks.mjs';

// A name of the server for each family, which its certificate covers: Firefox sends nothing to a `turns:` URL with an address.
export const NAMES = { 4: 'v4.castway.test', 6: 'v6.castway.test' };
export const ADDRESSES = { [NAMES[4]]: SERVER, [NAMES[6]]: SERVER_V6 };
export const TRANSPORTS = ['udp', 'tcp', 'tls'];
export const FAMILIES = [4, 6];
const PORTS = { udp: 3478, tcp: 3478, tls: 5349 };

const literal = (family) => (family === 6 ? `[${SERVER_V6}]` : SERVER);
const urlAt = (host, transport) => `${transport === 'tls' ? 'turns' : 'turn'}:${host}:${PORTS[transport]}?transport=${transport === 'udp' ? 'udp' : 'tcp'}`;

// The configuration of both drivers. Clients that take names from DNS alone, which these networks don't have, need the second URL.
export const configuration = (transport, family, { username, password }, more) => ({
  url: urlAt(NAMES[family], transport),
  urlOfAddress: urlAt(literal(family), transport),
  host: NAMES[family],
  port: PORTS[transport],
  transport,
  family,
  username,
  credential: password,
  ...more,
});

const inHome = (home, command) => ['ip', 'netns', 'exec', home, ...command];

function start(home, command, env) {
  const [program, ...args] = inHome(home, command);
  // A process group of its own, so that what the driver starts ends with it.
  const child = spawn(program, args, { env: { ...process.env, ...env }, stdio: ['pipe', 'pipe', 'pipe'], detached: true });
  let errors = '';
  child.stderr.on('data', (chunk) => (errors += chunk));
  child.stdin.on('error', () => {});
  const closed = once(child, 'close');
  const end = async () => {
    try {
      process.kill(-child.pid, 'SIGKILL');
    } catch {
      // It has ended.
    }
    await closed;
  };
  return { child, closed, end, errors: () => errors };
}

// Runs a driver in each home until `dones` of them are done, and resolves to the last line of the one in home 1.
export async function play({ offer, answer, env, dones = 1 }) {
  const ends = [start('home1', offer, env), start('home2', answer, env)];
  const last = [];
  const finished = Promise.all(
    ends.slice(0, dones).map(async ({ child, closed, errors }, i) => {
      const said = new Promise((resolve) => {
        last[i] = resolve;
      });
      return Promise.race([said, closed.then(([code]) => assert.fail(`the driver in home ${i + 1} ended with ${code}: ${excerpt(errors())}`))]);
    }),
  );
  ends.forEach(({ child }, i) => {
    createInterface({ input: child.stdout }).on('line', (line) => {
      // Libraries print lines of their own.
      if (!line.startsWith('{')) return;
      if (line.includes('"done"')) last[i]?.(JSON.parse(line));
      else ends[1 - i].child.stdin.write(`${line}\n`);
    });
  });
  try {
    const [first] = await within(finished, 'data over the relay', 1.5 * TIMEOUT_MS).catch((error) => {
      error.message += `\n${ends.map(({ errors }, i) => `home ${i + 1}: ${excerpt(errors(), 1500)}`).join('\n')}`;
      throw error;
    });
    return first;
  } finally {
    finished.catch(() => {});
    await Promise.all(ends.map(({ end }) => end()));
  }
}

export function assertRelayedOnly(candidates) {
  assert.ok(candidates.length > 0 && candidates.every((candidate) => / typ relay( |$)/.test(candidate)), candidates.join('\n'));
}

// coturn's client in home 1, whose two clients send each other 20 messages of 700 bytes, and back.
export async function uclient({ transport, host, port, username, credential }, ca) {
  const flags = { udp: [], tcp: ['-t'], tls: ['-t', '-S', '-E', ca] }[transport];
  const [program, ...args] = inHome('home1', ['turnutils_uclient', ...flags, '-y', '-c', '-n', '20', '-z', '10', '-l', '700', '-u', username, '-w', credential, '-p', String(port), host]);
  const { code, output } = await run(program, args);
  assert.equal(code, 0, output);
  assert.match(output, /tot_send_msgs=40, tot_recv_msgs=40\n/, output);
}

// Two functions that a page of a browser calls; they share nothing with this module.
export async function makeEnd({ role, config, description }) {
  const pc = new RTCPeerConnection({ iceServers: [{ urls: config.url, username: config.username, credential: config.credential }], iceTransportPolicy: 'relay' });
  window.pc = pc;
  if (role === 'offer') window.channel = pc.createDataChannel('echo');
  else {
    pc.ondatachannel = ({ channel }) => {
      channel.onmessage = ({ data }) => channel.send(data);
    };
    await pc.setRemoteDescription(description);
  }
  const gathered = new Promise((resolve) => {
    pc.onicegatheringstatechange = () => pc.iceGatheringState === 'complete' && resolve();
  });
  await pc.setLocalDescription(await (role === 'offer' ? pc.createOffer() : pc.createAnswer()));
  await gathered;
  return { type: role, sdp: pc.localDescription.sdp };
}

export async function exchange(description) {
  await window.pc.setRemoteDescription(description);
  const { channel } = window;
  channel.binaryType = 'arraybuffer';
  if (channel.readyState !== 'open') {
    await new Promise((resolve) => {
      channel.onopen = resolve;
    });
  }
  for (let i = 0; i < 50; i += 1) {
    const payload = crypto.getRandomValues(new Uint8Array(1 + ((i * 331) % 16_000)));
    const heard = new Promise((resolve) => {
      channel.onmessage = ({ data }) => resolve(new Uint8Array(data));
    });
    channel.send(payload);
    const back = await heard;
    if (back.length !== payload.length || back.some((byte, at) => byte !== payload[at])) return `payload ${i} came back otherwise`;
  }
  return 'all came back';
}

export const driver = (name) => fileURLToPath(new URL(`turn-clients/${name}`, import.meta.url));

// A link between the homes that takes only SIP: callers find each other without a registrar, and their media needs the relay.
export const SIP = { offer: '10.99.0.1', answer: '10.99.0.2' };
export function addSipLink() {
  execFileSync('sh', ['-euc', `
    ip link add sip netns home1 type veth peer name sip netns home2
    ip -n home1 addr add ${SIP.offer}/30 dev sip; ip -n home2 addr add ${SIP.answer}/30 dev sip
    for n in 1 2; do
      ip -n home$n link set sip up; ip -n home$n route add 192.168.$((3 - n)).0/24 dev sip
      ip netns exec home$n nft -f - <<'END'
table inet sip {
  chain input { type filter hook input priority filter; iifname "sip" ip protocol tcp tcp dport 5060 accept; iifname "sip" ct state established ip protocol tcp accept; iifname "sip" drop; }
}
END
    done`]);
}
