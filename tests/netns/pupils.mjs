// Clients that share one address and all start at the same time: pupils.mjs JSON. It runs in a home, and prints one line of JSON: what
// each part of the work found. See classroom.test.mjs, which starts it with {what, url, host, port, tlsPort, count, …}.
import { Agent, get } from 'node:http';
import { performance } from 'node:perf_hooks';
import { Android, Android2015, Web } from '../interop/support/apprtc.mjs';
import { connect as connectPeer } from '../interop/support/clients.mjs';
import { dialects } from '../interop/support/dialects.mjs';
import { connect as connectUser, room } from '../interop/support/multi.mjs';
import { ATTRIBUTE, UDP } from '../interop/support/stun.mjs';
import { TurnClient } from '../interop/support/turn.mjs';

const { what, url, host, port, tlsPort, count, locals, all } = JSON.parse(process.argv[2]);
const TRANSPORTS = ['udp', 'tcp', 'tls'];
const FAMILY = [ATTRIBUTE.family, Buffer.from([host.includes(':') ? 2 : 1, 0, 0, 0])];
const CHANNEL = 0x4000;
const STREAM_LIMIT_MS = 12_000;
const everybody = (n = count) => Array.from({ length: n }, (_, i) => i);

// Connections that the server closed because this one process was too slow to send something within 10 s. Everything else fails at once.
let again = 0;
async function connectAgain(connect) {
  for (let tries = 1; ; tries += 1) {
    try {
      return await connect();
    } catch (error) {
      if (tries === 3 || !/no answer|disconnected|RESET|hang up/.test(error.message)) throw error;
      again += 1;
    }
  }
}
const connected = (i, label) => connectAgain(() => connectPeer({ url }, { label: `${label} ${i}` }));

// Over a connection of its own, as another computer would.
const fetchOf = (i, path, agent = new Agent({ localAddress: locals?.[i] })) => connectAgain(() => fetchOnce(path, agent));
function fetchOnce(path, agent) {
  return new Promise((resolve, reject) => {
    const asked = get(`${url}${path}`, { agent, headers: { connection: agent.keepAlive ? 'keep-alive' : 'close' } }, (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (chunk) => (body += chunk));
      response.on('end', () => (response.statusCode === 200 ? resolve(body) : reject(new Error(`${path.split('?')[0]}: ${response.statusCode} ${body}`))));
    });
    asked.on('error', reject);
  });
}

// Waits for all, and lists the first of the different failures with their number.
async function settled(promises) {
  const results = await Promise.allSettled(promises);
  const failures = new Map();
  for (const { reason } of results.filter(({ status }) => status === 'rejected')) {
    const text = String(reason.message).replaceAll(/:\d+/g, '').slice(0, 200);
    failures.set(text, (failures.get(text) ?? 0) + 1);
  }
  return { done: results.filter(({ status }) => status === 'fulfilled').map(({ value }) => value), failures: Object.fromEntries([...failures].slice(0, 10)) };
}

async function allocateOnce(client, limit) {
  try {
    await client.challenge(limit);
    const code = await client.allocate(limit, [UDP, FAMILY]);
    if (code !== 0) throw new Error(`an Allocate over ${client.transport} got ${code}`);
    return client;
  } catch (error) {
    client.abandon();
    throw error;
  }
}

const allocate = ({ transport, make }) =>
  transport === 'udp' ? allocateOnce(make(), 40_000) : connectAgain(() => allocateOnce(make(), STREAM_LIMIT_MS));

// Asks for its own address, as browsers do, and allocates; then `entered` is set. Every client uses its own timers.
class Pupil {
  constructor(i, { username, password }, transports) {
    const options = { host, username, password, local: locals?.[i] ?? (host.includes(':') ? '::' : '0.0.0.0'), doubling: true };
    this.stun = new TurnClient({ ...options, port });
    this.makers = transports.map((transport) => {
      const tls = transport === 'tls' ? { rejectUnauthorized: false } : undefined;
      return { transport, make: () => new TurnClient({ ...options, transport, tls, port: transport === 'tls' ? tlsPort : port }) };
    });
  }

  async enter(begun) {
    [, ...this.clients] = await Promise.all([this.stun.ready(40_000), ...this.makers.map(allocate)]);
    [this.client] = this.clients;
    this.entered = performance.now() - begun;
    // By its own timers, which do not depend on how busy this machine is.
    this.waited = Math.max(this.stun.waited, ...this.clients.map(({ waited }) => waited));
    return this;
  }
}

async function bothWays(a, b) {
  for (const [one, other] of [[a, b], [b, a]]) {
    const refused = (await one.permit(other.relayed)) || (await one.bind(CHANNEL, other.relayed));
    if (refused) throw new Error(`a permission or channel over ${one.transport} for a peer over ${other.transport} got ${refused}`);
  }
  for (const [one, other, text] of [[a, b, 'there'], [b, a, 'and back']]) {
    one.sendOn(CHANNEL, Buffer.from(text));
    const { data } = await other.receive();
    if (data.toString() !== text) throw new Error('other data');
  }
}

const percentile = (sorted, part) => Math.round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0);
const distribution = (numbers) => {
  const sorted = [...numbers].sort((a, b) => a - b);
  return { p50: percentile(sorted, 0.5), p99: percentile(sorted, 0.99), max: percentile(sorted, 1) };
};

// All of them allocate, and exchange data with their neighbours.
async function allocated(credentials) {
  const begun = performance.now();
  const pupils = credentials.map((one, i) => new Pupil(i, one, all ? TRANSPORTS : [TRANSPORTS[Math.floor(i / 2) % TRANSPORTS.length]]));
  const { done, failures } = await settled(pupils.map((pupil) => pupil.enter(begun)));
  const pairs = everybody(done.length >> 1).map((n) => [done[2 * n].client, done[2 * n + 1].client]);
  const exchanged = await settled(pairs.map(([a, b]) => bothWays(a, b)));
  return {
    allocated: done.length,
    inTime: done.filter(({ waited }) => waited <= 10_000).length,
    pairs: exchanged.done.length,
    again,
    waited: distribution(done.map(({ waited }) => waited)),
    entered: distribution(done.map(({ entered }) => entered)),
    failures: { ...failures, ...exchanged.failures },
  };
}

const work = {
  // Each fetches its own credentials over HTTP, and uses the relay.
  async turn() {
    const { done, failures } = await settled(everybody().map(async (i) => JSON.parse(await fetchOf(i, `/turn?username=pupil-${i}`))));
    return { fetched: done.length, refused: failures, ...(await allocated(done)) };
  },

  async ice() {
    const configs = await settled(everybody().map((i) => fetchOf(i, '/v1alpha/iceconfig')));
    const turn = await settled(everybody().map((i) => fetchOf(i, '/v1alpha/turn')));
    return { iceconfig: configs.done.length, turn: turn.done.length, refused: { ...configs.failures, ...turn.failures } };
  },

  // Half of them are TVs, and the others cast to one each; all of them use the relay with the credentials of their seats.
  async casts() {
    const tvs = await settled(everybody(count / 2).map(async (i) => {
      const peer = await connected(i, 'TV');
      return { peer, ...(await dialects.A.register(peer, true)) };
    }));
    const casters = await settled(tvs.done.map(async ({ code }, i) => {
      const peer = await connected(i, 'caster');
      await dialects.A.join(peer, true, code);
      const { ok } = await peer.ask('CONFIG', {});
      if (!ok) throw new Error('CONFIG was refused');
      return { peer };
    }));
    const peers = tvs.done.flatMap((tv, i) => [tv, casters.done[i]]).filter(Boolean).map(({ peer }) => peer);
    const credentials = peers.map((peer) => {
      const { username, credential } = peer.heard('CONFIG_FEEDBACK').at(-1).config.iceServers.find(({ urls }) => urls.startsWith('turn:'));
      return { username, password: credential };
    });
    return { tvs: tvs.done.length, casters: casters.done.length, refused: { ...tvs.failures, ...casters.failures }, ...(await allocated(credentials)) };
  },

  // Calls of two, with each kind of AppRTC's clients.
  async calls() {
    const kinds = [Android, Web, Android2015];
    const { done, failures } = await settled(everybody().map(async (i) => {
      const client = new kinds[(i >> 1) % kinds.length](url);
      if (!(await client.join(`lesson-${i >> 1}`))) throw new Error(`a join got ${client.result}`);
      return client;
    }));
    const names = [...new Set(done.map(({ room: name }) => name))];
    const greeted = await settled(names.map(async (name) => {
      const members = done.filter((client) => client.room === name);
      const [caller, callee] = [members.find(({ initiator }) => initiator), members.find(({ initiator }) => !initiator)];
      await caller.send({ type: 'offer', sdp: 'x' });
      await callee.hear('offer');
    }));
    return { joined: done.length, calls: greeted.done.length, refused: { ...failures, ...greeted.failures } };
  },

  // A lesson in one room of RTCMultiConnection.
  async lesson() {
    const teacher = await connectUser({ url }, 'teacher');
    const [opened] = await teacher.ask('open-room', room('lesson'));
    if (!opened) throw new Error('the room did not open');
    const { done, failures } = await settled(everybody(count - 1).map(async (i) => {
      const pupil = await connectAgain(() => connectUser({ url }, `pupil-${i}`));
      const [joined, reason] = await pupil.ask('join-room', room('lesson'));
      if (!joined) throw new Error(`a join got ${reason}`);
    }));
    return { joined: 1 + done.length, refused: failures };
  },

  // Browsers load a page with as many connections as they use for one server, keep these, and open a WebSocket.
  async pages() {
    const { done, failures } = await settled(everybody().map(async (i) => {
      const agent = new Agent({ keepAlive: true, maxSockets: 6 });
      const page = await fetchOf(i, '/cast', agent);
      const files = [...page.matchAll(/(?:src|href)="(\/[^"]+)"/g)].map(([, path]) => path);
      const loaded = await Promise.all([...new Set(files)].map((path) => fetchOf(i, path, agent)));
      await connected(i, 'page');
      return loaded.length;
    }));
    return { loaded: done.length, files: done[0], refused: failures };
  },
};

const found = await work[what]();
process.stdout.write(`${JSON.stringify(found)}\n`, () => process.exit(0));
