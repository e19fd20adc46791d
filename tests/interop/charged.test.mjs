// Everything that the server sends because of an event, to its sender or to others, is charged to the sender. So a client can't make the
// server send more than the client may send itself.
import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { closeAll, connect } from './support/clients.mjs';
import { connect as join, room } from './support/multi.mjs';
import { startServer } from './support/server.mjs';

const KIB = 1024;
// The bytes that a client may make the server send: in a burst, each second, and by one event beyond that.
const MAX_BURST_BYTES = 4 * KIB * KIB;
const MAX_BYTES_A_SECOND = 512 * KIB;
const MAX_EVENT_BYTES = 512 * KIB;
// Refusals are small, and always sent.
const MAX_REFUSAL_BYTES = 300;
const EXTRA_DATA = { about: 'x'.repeat(15 * KIB) };
const MEMBERS = 20;
const EVENTS = 1000;

let server;
before(async () => {
  server = await startServer({ CASTWAY_MULTI_MAX_PER_ADDRESS: '1000', CASTWAY_CREDENTIALS_RATE: '100000' });
});
after(() => server?.close());
afterEach(closeAll);

const sentBytes = async () => {
  const text = await (await fetch(`${server.url}/metrics`)).text();
  return Number(text.match(/^castway_websocket_bytes_total{direction="sent"} (\S+)$/m)[1]);
};

// `settle` makes a round trip with every client.
async function flood(t, act, settle) {
  await settle();
  const [start, before] = [Date.now(), await sentBytes()];
  for (let times = 0; times < EVENTS; times += 100) {
    for (let i = 0; i < 100; i += 1) act(times + i);
    await settle();
  }
  const sent = (await sentBytes()) - before;
  const allowed = MAX_BURST_BYTES + MAX_EVENT_BYTES + MAX_BYTES_A_SECOND * ((Date.now() - start) / 1000) + EVENTS * MAX_REFUSAL_BYTES;
  t.diagnostic(`${(sent / KIB).toFixed(0)} KiB sent of ${(allowed / KIB).toFixed(0)}`);
  assert.ok(sent <= allowed, `${sent} bytes of ${allowed}`);
}

const multi = {
  'get-remote-user-extra-data': (attacker) => attacker.socket.emit('get-remote-user-extra-data', 'member-0', () => {}),
  'get-public-rooms': (attacker) => attacker.socket.emit('get-public-rooms', 'charged', () => {}),
  'check-presence': (attacker) => attacker.socket.emit('check-presence', 'the room', () => {}),
  'is-valid-password': (attacker) => attacker.socket.emit('is-valid-password', 'x', 'y'.repeat(200), () => {}),
  'extra-data-updated': (attacker) => attacker.emit('extra-data-updated', EXTRA_DATA),
  'a message, which the extra data of its sender goes with': (attacker) => attacker.say('member-0', 'hi'),
  'a request to participate': (attacker) => attacker.say('the room', { newParticipationRequest: true, about: EXTRA_DATA }),
  'custom-message': (attacker) => attacker.emit('custom-message', EXTRA_DATA),
  'join-broadcast': (attacker, at) => attacker.emit('join-broadcast', { userid: attacker.id, broadcastId: `b${at % 3}`, typeOfStreams: EXTRA_DATA }),
  'scalable-broadcast-message': (attacker) => attacker.emit('scalable-broadcast-message', EXTRA_DATA),
  'open-room': (attacker, at) => attacker.socket.emit('open-room', room(`another ${at % 2}`, { extra: EXTRA_DATA }), () => {}),
  'disconnect-with': (attacker) => {
    attacker.say('member-0', 'hi');
    attacker.socket.emit('disconnect-with', 'member-0', () => {});
  },
  'changed-uuid': (attacker, at) => attacker.socket.emit('changed-uuid', `attacker-${at % 2}`, () => {}),
};

for (const [name, act] of Object.entries(multi)) {
  test(`RTCMultiConnection: ${name}`, async (t) => {
    const members = await Promise.all(Array.from({ length: MEMBERS }, (_, at) => join(server, `member-${at}`, { enableScalableBroadcast: name.includes('broadcast') || undefined })));
    const attacker = await join(server, 'attacker', { enableScalableBroadcast: name.includes('broadcast') || undefined });
    await members[0].ask('open-room', room('the room', { identifier: 'charged', extra: EXTRA_DATA }));
    for (const member of [...members.slice(1), attacker]) await member.ask('join-room', room('the room', { extra: EXTRA_DATA }));
    attacker.emit('set-custom-socket-event-listener', 'custom-message');
    await flood(t, (at) => act(attacker, at), () => Promise.all([attacker, ...members].map((client) => client.settle())));
  });
}

const SDP = 'x'.repeat(100 * KIB);
const cast = {
  TV_ANSWER_TO_SERVER: (tv, at) => at % 10 || tv.emit('TV_ANSWER_TO_SERVER', { sdp: SDP }),
  RTC_Candidate_Exchange: (tv) => tv.emit('RTC_Candidate_Exchange', { iceCandidate: { candidate: 'x'.repeat(5 * KIB) } }),
  CONFIG: (tv) => tv.emit('CONFIG', { username: 'x' }),
  TV_INIT: (tv) => tv.emit('TV_INIT'),
  VERIFY_FEEDBACK: (tv) => tv.emit('VERIFY_FEEDBACK', null),
  'what is malformed': (tv) => tv.emit('JOIN_ROOM', { x: 1 }),
};

for (const [name, act] of Object.entries(cast)) {
  test(`cast: ${name}`, async (t) => {
    const [tv, caster] = [await connect(server, { label: 'TV', transport: 'websocket' }), await connect(server, { namespace: '/rtc', label: 'caster', transport: 'websocket' })];
    const { code } = await tv.ask('TV_INIT');
    caster.emit('CONNECT_TO_TV', { projCode: code });
    caster.emit('RTC_Client_Offer_To_Server', { offer: { type: 'offer', sdp: 'v=0' } });
    await tv.next('CLIENT_OFFER_TO_TV');
    await flood(t, (at) => act(tv, at), () => Promise.all([tv, caster].map((peer) => peer.ask('VERIFY_FEEDBACK', null))));
  });
}
