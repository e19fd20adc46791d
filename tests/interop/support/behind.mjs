// Clients behind proxies: the settings of the proxies in docs/clients.md, and the result of each client there.
import assert from 'node:assert/strict';
import { Android, Web } from './apprtc.mjs';
import { ofLine } from './clients-table.mjs';
import { flows } from './flows.mjs';
import { play } from './play.mjs';
import { haproxy, nginx, deployBlocks } from './proxy.mjs';
import { until, within } from './wait.mjs';

const upgrades = 'proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "upgrade";';
const location = (path, server, more = '') => `location ${path} { proxy_pass http://${server.httpAddr}; ${more} }`;
const listening = (port, ...locations) => `server {\n  listen 127.0.0.1:${port};\n  ${locations.join('\n  ')}\n}\n`;

// The first block of docs/deploy.md in that language, without TLS, which makes no difference here.
const ofDeploy = (language, port, server) =>
  deployBlocks(language)[0]
    .replaceAll('127.0.0.1:8080', server.httpAddr)
    .replace(/^\s*ssl_certificate.*\n/gm, '')
    .replace('listen 443 ssl', `listen 127.0.0.1:${port}`)
    .replace(/bind :443 ssl .*/, `bind 127.0.0.1:${port}`);

// `socketIo` and `collider`: whether WebSockets reach them.
export const PROXIES = [
  { title: 'nginx, as in Deploy', program: 'nginx', ...nginx, text: (port, server) => ofDeploy('nginx', port, server), socketIo: true, collider: true },
  { title: 'HAProxy, as in Deploy', program: 'haproxy', ...haproxy, text: (port, server) => ofDeploy('haproxy', port, server), socketIo: true, collider: true },
  {
    title: 'HAProxy with `mode http` and `server` alone',
    program: 'haproxy',
    ...haproxy,
    text: (port, server) => `frontend all\n  mode http\n  bind 127.0.0.1:${port}\n  default_backend castway\nbackend castway\n  mode http\n  server castway ${server.httpAddr}\n`,
    socketIo: true,
    collider: true,
  },
  {
    title: 'nginx with `Upgrade` under `/socket.io/` only',
    program: 'nginx',
    ...nginx,
    text: (port, server) => listening(port, location('/socket.io/', server, upgrades), location('/', server)),
    socketIo: true,
    collider: false,
  },
  { title: 'nginx with `proxy_pass` alone', program: 'nginx', ...nginx, text: (port, server) => listening(port, location('/', server)), socketIo: false, collider: false },
];

const asks = {
  polling: { title: 'polling', options: { transports: ['polling'] } },
  websocket: { title: 'WebSocket only', options: { transports: ['websocket'] } },
  upgrade: { title: 'upgrade', options: { transports: ['polling', 'websocket'] } },
  first: { title: 'WebSocket first', options: { transports: ['websocket', 'polling'], tryAllTransports: true } },
};

// The document's recipe for versions before 4.8: the first failure restores the usual order.
const recipe = {
  options: { transports: ['websocket', 'polling'], reconnection: true, reconnectionDelay: 50 },
  prepare: (socket) => socket.on('connect_error', () => (socket.io.opts.transports = ['polling', 'websocket'])),
};

const SET = ['-2', '-4.7', '-4'].flatMap((line) =>
  Object.entries(asks).flatMap(([ask, how]) =>
    ['castA', 'castB', 'multi'].map((flow) => ({ ...ofLine(line), ask, flow, how: { ...how, ...(ask === 'first' && line !== '-4' ? recipe : {}) } })),
  ),
);

// Plays the flow after each client has failed to upgrade, so that its transport can no longer change.
function afterUpgrades(flow) {
  const tried = new Map();
  const watch = (socket) => tried.set(socket, new Promise((resolve) => socket.io.engine.once('upgradeError', resolve)));
  return {
    prepare: watch,
    play: (open) =>
      flow(async (...args) => {
        const wrapped = await open(...args);
        await within([...tried.values()].at(-1), 'failed upgrade');
        return wrapped;
      }),
  };
}

const OUTCOMES = { websocket: 'works, over WebSocket', polling: 'works, over polling', fallen: 'works: WebSockets fail, and it polls', none: 'no: it has no other transport' };

// The expected outcome of a visitor, and the function that checks it.
function expected({ io, ask, flow, how }, { socketIo }) {
  const at = (kind, played = flows[flow]) => (front) => play(io, { ...how, ...kind }, front, played);
  if (ask === 'polling') return ['polling', at({ ends: 'polling' })];
  if (socketIo) return ['websocket', at({ ends: 'websocket', begins: ask === 'upgrade' })];
  if (ask === 'websocket') return ['none', (front) => assert.rejects(at({ ends: 'websocket' })(front), /could not connect/)];
  if (ask === 'first') return ['fallen', at({ ends: 'polling' })];
  const after = afterUpgrades(flows[flow]);
  return ['fallen', at({ ends: 'polling', prepare: after.prepare }, after.play)];
}

// All visitors of a proxy: {client, version, asks, flow, outcome, run}.
export const visitors = (proxy) =>
  SET.map((visitor) => {
    const [outcome, run] = expected(visitor, proxy);
    return { ...visitor, asks: visitor.how.title, outcome: OUTCOMES[outcome], run };
  });

// A round trip with Socket.IO's own server, which answers WebSocket handshakes behind that proxy like ours.
export const asTheOriginal = async (front) => {
  const ask = async (open) => {
    const socket = await open('client', '/', (made) => made);
    assert.deepEqual(await new Promise((resolve) => socket.emit('CONFIG', {}, resolve)), {});
  };
  for (const { io, ask: wanted, how } of SET.filter(({ flow }) => flow === 'castA')) {
    const playing = play(io, { ...how, ends: wanted === 'websocket' ? 'websocket' : 'polling', begins: true }, front, ask);
    await (wanted === 'websocket' ? assert.rejects(playing, /could not connect/) : playing);
  }
};

let rooms = 0;

// A call of AppRTC's clients, which can use only `/ws`.
export async function call(front) {
  const name = `behind-${process.pid}-${(rooms += 1)}`;
  const [caller, callee] = [new Web(front.url), new Android(front.url)];
  assert.ok(await caller.join(name));
  await caller.send({ type: 'offer', sdp: 'v=0\r\n' });
  assert.ok(await callee.join(name));
  assert.deepEqual(await callee.hear('offer'), { type: 'offer', sdp: 'v=0\r\n' });
  await callee.send({ type: 'answer', sdp: 'v=0\r\n' });
  await caller.hear('answer');
  await caller.hangUp();
  await callee.hear('bye');
  await callee.hangUp();
}

// If the proxy removes `Upgrade`, the answer at `/ws` says so to the client, and the log to the operator.
export async function callFails(front, server) {
  await assert.rejects(call(front), /Unexpected server response: 400/);
  const handshake = { 'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==', 'sec-websocket-version': '13' };
  const answer = await fetch(`${front.url}/ws`, { headers: handshake });
  assert.equal(answer.status, 400);
  assert.match(await answer.text(), /proxy_set_header Upgrade/);
  await until('the log names the lines that are missing', () => /proxy_set_header Upgrade/.test(server.log));
}
