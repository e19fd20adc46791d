// What does not work, with Socket.IO's own servers beside ours: each is played on all of them, and says what happens there. One with a
// `line` is a client that is played elsewhere as well, and some versions keep what they know of WebSockets in one place for all.
import { Peer } from './clients.mjs';
import { ofLine } from './clients-table.mjs';
import { dialects, pair } from './dialects.mjs';
import { play } from './play.mjs';
import { transcript } from './transcript.mjs';
import { within } from './wait.mjs';

const TEXT = 'Zoë';

// What becomes of `TEXT` on its way from a client of today to an old one that polls: by an offer of the cast flow at ours, where the
// originals have an event for it.
async function textToOld(io, { url }, { ours }) {
  const open = (which, transport) => which(url, { transports: [transport], forceNew: true, reconnection: false });
  const [old, recent] = [open(io, 'polling'), open(ofLine('-2').io, 'websocket')];
  const outcome = new Promise((resolve) => {
    old.on('disconnect', () => resolve('ends the connection'));
    for (const event of ['said', 'CLIENT_OFFER_TO_TV']) old.on(event, (heard) => resolve(heard === TEXT ? 'arrives' : 'arrives as other text'));
  });
  old.on('error', () => {});
  try {
    if (ours) {
      const caster = new Peer(recent, 'caster');
      await pair(new Peer(old, 'TV'), 'A', caster, 'A');
      await dialects.A.sendOffer(caster, false, TEXT);
    } else {
      await within(new Promise((resolve) => old.once('connect', resolve)), 'connection');
      recent.emit('say', TEXT);
    }
    return await within(outcome, 'outcome');
  } finally {
    for (const socket of [old, recent]) socket.disconnect();
  }
}

// Whether a client gets as far as the namespace; the server ends one that does not, after 45 s.
async function connects(io, server) {
  const kind = { options: { transports: ['websocket'] }, ends: 'websocket' };
  try {
    await play(io, kind, server, (open) => open('client', '/', (socket) => socket));
    return 'connects';
  } catch {
    return 'never connects';
  }
}

export const LIMITS = [
  ...['-1.4', '-1.7'].map(ofLine).map(({ client, version, line, io }) => ({
    client: `${client} ${version}`,
    line,
    what: 'text outside ASCII that it hears over polling',
    outcomes: { ours: 'ends the connection', 4: 'ends the connection', 2: 'ends the connection' },
    instead: 'let it upgrade, or use WebSocket only',
    run: (server, which) => textToOld(io, server, which),
  })),
  {
    client: 'socket.io-client-cpp 1.6.1 (a transcript)',
    what: '`/`, since it says that it speaks protocol 4 and speaks 3',
    outcomes: { ours: 'never connects', 4: 'never connects', 2: 'connects' },
    instead: 'use 2.1 or 3.1',
    run: (server) => connects(transcript('C++ 1'), server),
  },
];
