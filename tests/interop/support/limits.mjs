// Cases that don't work here or with Socket.IO's own servers. Each one runs with all of these servers, and lists its outcome for each. A
// case with a `line` uses a client that other tests use too, and some versions share what they remember about WebSockets.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { Peer } from './clients.mjs';
import { ofLine } from './clients-table.mjs';
import { play } from './play.mjs';
import { transcript } from './transcript.mjs';
import { within } from './wait.mjs';

const TEXT = 'Zoë';

// What happens to `TEXT` in an offer between an old polling client and a current one. `hears`: the old client is the receiver.
async function textByPolling(io, { url }, hears) {
  const open = (which, transport) => which(url, { transports: [transport], forceNew: true, reconnection: false });
  const [old, recent] = [open(io, 'polling'), open(ofLine('-2').io, 'websocket')];
  const [from, to] = hears ? [recent, old] : [old, recent];
  const outcome = new Promise((resolve) => {
    old.on('disconnect', () => resolve('ends the connection'));
    to.on('CLIENT_OFFER_TO_TV', (heard) => resolve(heard === TEXT ? 'arrives' : 'arrives as other text'));
  });
  old.on('error', () => {});
  const [tv, caster] = [new Peer(to, 'TV'), new Peer(from, 'caster')];
  try {
    // The originals use the given code; ours treats it as an unknown token.
    tv.emit('TV_INIT', randomUUID());
    caster.emit('JOIN_ROOM', await tv.next('TV_INIT_OK'));
    await caster.next('JOIN_ROOM_OK');
    caster.emit('CLIENT_OFFER_TO_SERVER', TEXT);
    return await within(outcome, 'outcome');
  } finally {
    for (const socket of [old, recent]) socket.disconnect();
  }
}

// Whether a client can connect to the namespace; the server disconnects it after 45 s if it can't.
async function connects(io, server) {
  const kind = { options: { transports: ['websocket'] }, ends: 'websocket' };
  try {
    await play(io, kind, server, (open) => open('client', '/', (socket) => socket));
    return 'connects';
  } catch (error) {
    assert.match(error.message, /could not connect/);
    return 'never connects';
  }
}

export const LIMITS = [
  ...['-1.4', '-1.7'].map(ofLine).flatMap(({ client, version, line, io }) => [
    {
      client: `${client} ${version}`,
      line,
      what: 'text outside ASCII that it sends over polling',
      outcomes: { ours: 'arrives as other text', 4: 'arrives as other text', 2: 'arrives as other text' },
      instead: 'let it upgrade, or use WebSocket only',
      run: (server) => textByPolling(io, server, false),
    },
    {
      client: `${client} ${version}`,
      line,
      what: 'text outside ASCII that it hears over polling',
      outcomes: { ours: 'arrives', 4: 'ends the connection', 2: 'ends the connection' },
      instead: 'nothing',
      run: (server) => textByPolling(io, server, true),
    },
  ]),
  {
    client: 'socket.io-client-cpp 1.6.1 (a transcript)',
    what: '`/`, since it says that it speaks protocol 4 and speaks 3',
    outcomes: { ours: 'never connects', 4: 'never connects', 2: 'connects' },
    instead: 'use 2.1 or 3.1',
    run: (server) => connects(transcript('C++ 1'), server),
  },
];
