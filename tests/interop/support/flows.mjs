// The flows of docs/clients.md, each between two clients of one kind. `open` makes a socket from a label and the rest of a URL, and passes
// it to `wrap` before it receives anything. When the socket is connected, `open` resolves to the result of `wrap`.
import assert from 'node:assert/strict';
import { Peer } from './clients.mjs';
import { wholeFlow } from './dialects.mjs';
import { Client, query, room } from './multi.mjs';

async function cast(open, namespace, dialect) {
  const peer = (label) => open(label, namespace, (socket) => new Peer(socket, label));
  const [tv, caster] = [await peer('TV'), await peer('caster')];
  await wholeFlow(tv, dialect, caster, dialect, { username: dialect === 'B' ? 'guest' : undefined });
  assert.deepEqual([...tv.heard('CAST_ERROR'), ...caster.heard('CAST_ERROR')], []);
}

let rooms = 0;

// A room with two members that talk to each other, like two pages.
async function meet(open) {
  const name = `matrix-${process.pid}-${(rooms += 1)}`;
  const [host, guest] = [`host-of-${name}`, `guest-of-${name}`];
  const client = (id) => open(id, `/?${query(id)}`, (socket) => new Client(socket, id));
  const [first, second] = [await client(host), await client(guest)];
  assert.deepEqual(await first.ask('open-room', room(name)), [true]);
  assert.deepEqual(await second.ask('join-room', room(name)), [true]);
  const is = (event) => (log) => log.some(([heard]) => heard === event);
  second.askIn(name);
  await first.until('that somebody wants in', is('RTCMultiConnection-Message'));
  second.say(host, { readyForOffer: true });
  first.say(guest, { sdp: 'v=0\r\n' });
  await second.until('an offer', (log) => log.some(([, message]) => message?.message?.sdp === 'v=0\r\n'));
  second.leave();
  await first.until('that the other one has gone', is('user-disconnected'));
}

export const flows = {
  castA: (open) => cast(open, '/', 'A'),
  castB: (open) => cast(open, '/rtc', 'B'),
  query: (open) => cast(open, '/rtc?token=t-1', 'B'),
  multi: meet,
};
