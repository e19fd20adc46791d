// The same script, sent to the original server and to ours by old and new clients. The acks and events must be the same, except for the
// differences listed with each script, each with its reason.
import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { startServer } from './support/server.mjs';
import { closeAll, connect, room, startOriginal } from './support/multi.mjs';
import { TIMEOUT_MS, until } from './support/wait.mjs';

let ours;
before(async () => {
  ours = await startServer();
  await ours.addUser('root', 'root-password-1');
  const { code, stderr } = await ours.cli(['user', 'promote', 'root']);
  assert.equal(code, 0, stderr);
  // The server learns at its start which users are administrators.
  await ours.restart();
});
after(() => ours?.close());
afterEach(closeAll);

// Runs `play` with one server: {step: answer, 'x hears': events of client x}.
async function transcript(server, version, play) {
  const result = {};
  const clients = {};
  const recording = {
    async join(id, more) {
      clients[id] = await connect(server, id, { version, ...more });
      await clients[id].settle();
      return clients[id];
    },
    // A client that may get no answer.
    visit: (id, more) => connect(server, id, { version, ...more }),
    async ask(id, name, ...args) {
      const step = `${Object.keys(result).length + 1} ${id} ${name}`;
      result[step] = await clients[id].ask(name, ...args);
    },
    note(what, value) {
      result[`${Object.keys(result).length + 1} ${what}`] = value;
    },
    clients,
    async settle() {
      // Twice, since one client may receive what another one sent while it settled.
      for (let i = 0; i < 2; i += 1) for (const client of Object.values(clients)) await client.settle();
    },
    async leave(id) {
      clients[id].leave();
      // A farewell gets no answer.
      const [other] = Object.values(clients).filter(({ socket }) => socket.connected);
      const isThere = { remoteUserId: 'system', message: { detectPresence: true, userid: id }, sender: other.id };
      await until(`${id} has left`, () => other.ask('RTCMultiConnection-Message', isThere), ([there]) => there === false);
      await recording.settle();
    },
  };
  await play(recording);
  await recording.settle();
  for (const [id, client] of Object.entries(clients)) result[`${id} hears`] = [...client.log];
  closeAll();
  return JSON.parse(JSON.stringify(result).replaceAll(/"\d{12,19}"/g, '"RANDOM"'));
}

function script(name, play, differences = {}) {
  for (const version of ['2.5', '4.8']) {
    test(`${name} (${version})`, async () => {
      const original = await startOriginal();
      try {
        const theirs = await transcript(original, version, play);
        const own = await transcript(ours, version, play);
        // The next script's clients have the same names.
        await until('everybody has left', () => ours.metric('castway_multi_users'), (users) => users === 0);
        for (const [step, { original: before, ours: now }] of Object.entries(differences)) {
          assert.deepEqual(theirs[step], before, `${step}, as the original does it`);
          assert.deepEqual(own[step], now, `${step}, as we do it`);
          delete theirs[step];
          delete own[step];
        }
        assert.deepEqual(own, theirs);
      } finally {
        await original.close();
      }
      assert.ok(ours.running);
    });
  }
}

script('open, join, leave, hand over', async (recording) => {
  for (const id of ['a', 'b', 'c']) await recording.join(id);
  await recording.ask('a', 'open-room', room('r'));
  await recording.ask('b', 'open-room', room('r'));
  await recording.ask('b', 'join-room', room('nowhere'));
  await recording.ask('b', 'join-room', room('r'));
  await recording.ask('c', 'join-room', room('r'));
  await recording.leave('a');
  await recording.ask('b', 'set-password', 'pw');
  await recording.ask('c', 'set-password', 'pw');
});

script('presence, before, with people and a password, and after', async (recording) => {
  await recording.join('a');
  await recording.join('b', { maxParticipantsAllowed: 1 });
  await recording.ask('a', 'check-presence', 'r');
  await recording.ask('a', 'open-room', room('r'));
  await recording.ask('b', 'check-presence', 'r');
  await recording.ask('b', 'open-room', room('locked', { password: 'secret', extra: 'text' }));
  await recording.ask('a', 'check-presence', 'locked');
  await recording.ask('a', 'get-remote-user-extra-data', 'a');
  await recording.leave('b');
  await recording.ask('a', 'check-presence', 'locked');
}, {
  // Ours hides the length of the password. Without a password, the original sends undefined, which is left out.
  '3 b check-presence': { original: [true, 'r', { of: 'r', _room: { isFull: false } }], ours: [true, 'r', { of: 'r', _room: { isFull: false, isPasswordProtected: false } }] },
  '5 a check-presence': {
    original: [true, 'locked', { value: 'text', _room: { isFull: true, isPasswordProtected: 6 } }],
    ours: [true, 'locked', { value: 'text', _room: { isFull: true, isPasswordProtected: true } }],
  },
  // The original stores _room in the owner's own data.
  '6 a get-remote-user-extra-data': { original: [{ of: 'r', _room: { isFull: false } }], ours: [{ of: 'r' }] },
});

script('passwords', async (recording) => {
  await recording.join('a');
  await recording.join('b');
  await recording.ask('a', 'set-password', 'early');
  await recording.ask('a', 'open-room', room('r', { password: 'pw' }));
  await recording.ask('b', 'join-room', room('r'));
  await recording.ask('b', 'join-room', room('r', { password: 'wrong' }));
  await recording.ask('b', 'is-valid-password', 'wrong', 'r');
  await recording.ask('b', 'is-valid-password', 'pw', 'r');
  await recording.ask('b', 'is-valid-password', '', 'r');
  await recording.ask('b', 'is-valid-password', '  ', 'r');
  await recording.ask('b', 'is-valid-password', 'pw', '');
  await recording.ask('b', 'is-valid-password', 'pw', 'nowhere');
  await recording.ask('b', 'join-room', room('r', { password: 'pw' }));
  await recording.ask('b', 'set-password', 'mine');
  await recording.ask('a', 'set-password', 'new');
  await recording.ask('b', 'is-valid-password', 'new', 'r');
  await recording.ask('a', 'set-password', '');
  await recording.ask('b', 'is-valid-password', 'new', 'r');
});

script('a full room, after the password', async (recording) => {
  await recording.join('a', { maxParticipantsAllowed: 2 });
  await recording.join('b');
  await recording.join('c');
  await recording.ask('a', 'open-room', room('r', { password: 'pw' }));
  await recording.ask('b', 'join-room', room('r', { password: 'pw' }));
  await recording.ask('c', 'join-room', room('r', { password: 'no' }));
  await recording.ask('c', 'join-room', room('r', { password: 'pw' }));
});

script('public rooms', async (recording) => {
  await recording.join('a', { maxParticipantsAllowed: 3 });
  await recording.join('b');
  await recording.ask('b', 'get-public-rooms', 'fans');
  await recording.ask('a', 'open-room', room('r', { identifier: 'fans', password: 'pw' }));
  await recording.ask('b', 'get-public-rooms', 'fans');
  await recording.ask('b', 'get-public-rooms', 'others');
  await recording.ask('b', 'get-public-rooms', '');
  await recording.ask('b', 'get-public-rooms', '   ');
});

script('messages: connected once, then forwarded with the extra data of the sender', async (recording) => {
  const a = await recording.join('a', { extra: JSON.stringify({ name: 'Ä' }) });
  const b = await recording.join('b', { extra: 'no JSON' });
  a.say('b', { userLeft: true });
  a.say('a', 'to itself');
  a.say('nobody', 'hello');
  a.say('b', { type: 'offer', sdp: 'v=0\r\n' });
  await recording.settle();
  b.say('a', { type: 'answer', sdp: 'v=0\r\n' });
  b.say('a', 'dropPeerConnection');
  await recording.settle();
  await recording.ask('a', 'disconnect-with', 'b');
  await recording.ask('a', 'disconnect-with', 'b');
  await recording.ask('a', 'disconnect-with', 'nobody');
  b.say('a', { again: [1, 2.5, 'x', null] });
});

script('who asks to participate is heard by all, or by the owner alone', async (recording) => {
  for (const id of ['a', 'b', 'c']) await recording.join(id);
  await recording.ask('a', 'open-room', room('r'));
  await recording.ask('b', 'join-room', room('r'));
  await recording.ask('c', 'join-room', room('r'));
  recording.clients.c.askIn('r');
  await recording.settle();
  await recording.ask('a', 'open-room', room('one', { session: { screen: true, oneway: true } }));
  await recording.ask('b', 'join-room', room('one'));
  await recording.ask('c', 'join-room', room('one'));
  recording.clients.c.askIn('one');
  await recording.settle();
  await recording.leave('a');
  await recording.ask('b', 'check-presence', 'one');
});

script('to a user instead of a room', async (recording) => {
  await recording.join('a');
  const b = await recording.join('b');
  b.askIn('a');
  await recording.settle();
  await recording.ask('b', 'RTCMultiConnection-Message', { remoteUserId: 'system', message: { detectPresence: true, userid: 'a' }, sender: 'b' });
  await recording.ask('b', 'RTCMultiConnection-Message', { remoteUserId: 'system', message: { detectPresence: true, userid: 'b' }, sender: 'b' });
  await recording.ask('b', 'RTCMultiConnection-Message', { remoteUserId: 'system', message: { detectPresence: true, userid: 'c' }, sender: 'b' });
});

script('rooms end with an owner that says so', async (recording) => {
  await recording.join('a', { autoCloseEntireSession: true });
  await recording.join('b');
  await recording.ask('a', 'open-room', room('r'));
  await recording.ask('b', 'join-room', room('r'));
  await recording.leave('a');
  await recording.ask('b', 'check-presence', 'r');
  await recording.ask('b', 'close-entire-session');
});

script('extra data', async (recording) => {
  const a = await recording.join('a');
  const b = await recording.join('b');
  const c = await recording.join('c');
  await recording.ask('a', 'open-room', room('r'));
  await recording.ask('b', 'join-room', room('r'));
  a.say('c', 'hello');
  await recording.settle();
  b.emit('extra-data-updated', { new: 1 });
  await recording.settle();
  a.emit('extra-data-updated', { newer: 2 });
  await recording.settle();
  c.emit('extra-data-updated', 'text');
  await recording.settle();
  await recording.ask('c', 'check-presence', 'r');
  await recording.ask('c', 'get-remote-user-extra-data', 'b');
  await recording.ask('c', 'get-remote-user-extra-data', 'nobody');
}, {
  // The original echoes a client's own data, which clients ignore.
  'a hears': {
    original: [['user-connected', 'c'], ['extra-data-updated', 'b', { new: 1 }], ['extra-data-updated', 'a', { newer: 2 }], ['extra-data-updated', 'c', 'text']],
    ours: [['user-connected', 'c'], ['extra-data-updated', 'b', { new: 1 }], ['extra-data-updated', 'c', 'text']],
  },
  'b hears': {
    original: [['extra-data-updated', 'b', { new: 1 }], ['extra-data-updated', 'a', { newer: 2 }]],
    ours: [['extra-data-updated', 'a', { newer: 2 }]],
  },
  // The original sends the password's length, or undefined without a password.
  '3 c check-presence': { original: [true, 'r', { newer: 2, _room: { isFull: false } }], ours: [true, 'r', { newer: 2, _room: { isFull: false, isPasswordProtected: false } }] },
});

script('two that are connected and in one room hear extra data once', async (recording) => {
  const a = await recording.join('a');
  await recording.join('b');
  await recording.ask('a', 'open-room', room('r'));
  await recording.ask('b', 'join-room', room('r'));
  a.say('b', 'hello');
  await recording.settle();
  a.emit('extra-data-updated', { x: 1 });
}, {
  'a hears': { original: [['user-connected', 'b'], ['extra-data-updated', 'a', { x: 1 }]], ours: [['user-connected', 'b']] },
  // The original sends it twice: to the peer, and to the participant.
  'b hears': {
    original: [['user-connected', 'a'], ['RTCMultiConnection-Message', { remoteUserId: 'b', message: 'hello', sender: 'a', extra: { of: 'r' } }], ['extra-data-updated', 'a', { x: 1 }], ['extra-data-updated', 'a', { x: 1 }]],
    ours: [['user-connected', 'a'], ['RTCMultiConnection-Message', { remoteUserId: 'b', message: 'hello', sender: 'a', extra: { of: 'r' } }], ['extra-data-updated', 'a', { x: 1 }]],
  },
});

script('ids', async (recording) => {
  await recording.join('a');
  await recording.join('b');
  await recording.ask('a', 'changed-uuid', 'new');
  await recording.ask('a', 'changed-uuid', 'new');
  await recording.ask('b', 'get-remote-user-extra-data', 'new');
  await recording.ask('b', 'get-remote-user-extra-data', 'a');
  await recording.ask('b', 'changed-uuid', 'new');
  await recording.ask('b', 'open-room', room('r'));
  recording.clients.b.say('new', 'hi');
}, {
  // Ours always answers.
  '2 a changed-uuid': { original: 'no ack', ours: [] },
  // The original gives b an id that a has, and then sends a's messages to b.
  '5 b changed-uuid': { original: [], ours: 'no ack' },
  'a hears': { original: [], ours: [['user-connected', 'b'], ['RTCMultiConnection-Message', { remoteUserId: 'new', message: 'hi', sender: 'b', extra: { of: 'r' } }]] },
  'b hears': { original: [], ours: [['userid-already-taken', 'new', 'b'], ['user-connected', 'new']] },
});

script('an id that is taken', async (recording) => {
  await recording.join('a');
  const thief = await recording.visit('a', { extra: '{"another":1}' });
  await thief.until('that its id is taken', (log) => log.length > 0);
  recording.note('the thief hears', thief.log);
});

script('the sender is who sends', async (recording) => {
  const a = await recording.join('a');
  await recording.join('b');
  a.say('b', 'forged', 'c');
}, {
  // The original makes a user with the claimed name.
  'a hears': { original: [['user-connected', 'b']], ours: [['user-connected', 'b']] },
  'b hears': {
    original: [['user-connected', 'c'], ['RTCMultiConnection-Message', { remoteUserId: 'b', message: 'forged', sender: 'c', extra: {} }]],
    ours: [['user-connected', 'a'], ['RTCMultiConnection-Message', { remoteUserId: 'b', message: 'forged', sender: 'a', extra: {} }]],
  },
});

script('custom events', async (recording) => {
  const a = await recording.join('a');
  await recording.join('b');
  await recording.join('outside');
  await recording.ask('a', 'open-room', room('r'));
  await recording.ask('b', 'join-room', room('r'));
  a.emit('RTCMultiConnection-Custom-Message', { known: 'from the handshake' });
  a.emit('my-event', 'not yet');
  a.emit('set-custom-socket-event-listener', 'my-event');
  a.emit('set-custom-socket-event-listener', 'my-event');
  a.emit('my-event', { now: true });
  await recording.settle();
  a.emit('set-custom-socket-event-listener', 'RTCMultiConnection-Custom-Message');
  a.emit('RTCMultiConnection-Custom-Message', 'once');
}, {
  // The handshake and the listener name the same event, and the original then has two handlers for it.
  'b hears': {
    original: [['RTCMultiConnection-Custom-Message', { known: 'from the handshake' }], ['my-event', { now: true }], ['RTCMultiConnection-Custom-Message', 'once'], ['RTCMultiConnection-Custom-Message', 'once']],
    ours: [['RTCMultiConnection-Custom-Message', { known: 'from the handshake' }], ['my-event', { now: true }], ['RTCMultiConnection-Custom-Message', 'once']],
  },
  // Ours sends nothing outside the room.
  'outside hears': {
    original: [['RTCMultiConnection-Custom-Message', { known: 'from the handshake' }], ['my-event', { now: true }], ['RTCMultiConnection-Custom-Message', 'once'], ['RTCMultiConnection-Custom-Message', 'once']],
    ours: [],
  },
});

script('event names of their own', async (recording) => {
  const a = await recording.join('a', { msgEvent: 'other-messages' });
  await recording.join('b', { msgEvent: 'other-messages' });
  a.emit('other-messages', { remoteUserId: 'b', message: 'hi', sender: 'a' });
  a.say('b', 'under the default name');
});

const scalable = { enableScalableBroadcast: true, maxRelayLimitPerUser: 1 };
const types = { screen: true, oneway: true };

script('a scalable broadcast', async (recording) => {
  for (const id of ['show', 'v', 'w', 'x']) await recording.join(id, scalable);
  const enter = async (id) => {
    recording.clients[id].emit('join-broadcast', { broadcastId: 'show', userid: id, typeOfStreams: types });
    await recording.settle();
  };
  await recording.ask('v', 'check-broadcast-presence', 'show');
  await recording.ask('v', 'get-number-of-users-in-specific-broadcast', 'show');
  await enter('show');
  await recording.ask('v', 'check-broadcast-presence', 'show');
  await recording.ask('show', 'open-room', room('show', { session: types, extra: { broadcastId: 'show' } }));
  await enter('v');
  await recording.ask('v', 'join-room', room('show', { session: types, extra: { broadcastId: 'show' } }));
  recording.clients.v.emit('can-relay-broadcast');
  await recording.settle();
  await enter('w');
  await enter('x');
  await recording.ask('v', 'get-number-of-users-in-specific-broadcast', 'show');
  recording.clients.x.emit('scalable-broadcast-message', { hi: 'all' });
  await recording.settle();
  await recording.leave('v');
  await enter('w');
  recording.clients.x.emit('can-relay-broadcast');
  recording.clients.x.emit('can-not-relay-broadcast');
  await recording.settle();
  await recording.leave('show');
  await recording.ask('w', 'check-broadcast-presence', 'show');
});

script('asking to participate in a scalable broadcast', async (recording) => {
  for (const id of ['show', 'v']) await recording.join(id, scalable);
  await recording.ask('show', 'open-room', room('show', { session: types, extra: { broadcastId: 'show' } }));
  await recording.ask('v', 'join-room', room('show', { session: types, extra: { broadcastId: 'show' } }));
  recording.clients.v.askIn('show');
}, {
  // The original sends it twice, first without extra data and before the two are connected.
  'show hears': {
    original: [
      ['RTCMultiConnection-Message', { remoteUserId: 'show', message: { newParticipationRequest: true }, sender: 'v' }],
      ['user-connected', 'v'],
      ['RTCMultiConnection-Message', { remoteUserId: 'show', message: { newParticipationRequest: true }, sender: 'v', extra: { broadcastId: 'show' } }],
    ],
    ours: [
      ['user-connected', 'v'],
      ['RTCMultiConnection-Message', { remoteUserId: 'show', message: { newParticipationRequest: true }, sender: 'v', extra: { broadcastId: 'show' } }],
    ],
  },
});

const admin = { adminUserName: 'root', adminPassword: 'root-password-1' };

script('an admin', async (recording) => {
  await recording.join('a');
  await recording.ask('a', 'open-room', room('r', { password: 'pw' }));
  const root = await recording.visit('admin', admin);
  const about = (answer) => answer;
  recording.note('userinfo', await answered(root, { userinfo: true, userid: 'a' }, about));
  recording.note('userinfo of nobody', await answered(root, { userinfo: true, userid: 'nobody' }, about));
  recording.note('overview', await overview(root));
  recording.note('deleteRoom', await answered(root, { deleteRoom: true, roomid: 'r' }, about));
  await recording.clients.a.until('that it is disconnected', (log) => log.some(([event]) => event === 'disconnect'));
  await recording.join('b');
  recording.note('deleteUser', await answered(root, { deleteUser: true, userid: 'b' }, about));
  await recording.clients.b.until('that it is disconnected', (log) => log.some(([event]) => event === 'disconnect'));
  recording.note('greeting', root.log[0]);
}, {
  // Ours shows neither the password nor the original's internal fields.
  '4 overview': {
    original: {
      newUpdates: false,
      listOfRooms: {
        r: {
          maxParticipantsAllowed: 1000, owner: 'a', participants: ['a'], extra: { of: 'r' }, socketMessageEvent: 'RTCMultiConnection-Message',
          socketCustomEvent: 'RTCMultiConnection-Custom-Message', identifier: '', session: { audio: true, video: true }, password: 'pw',
        },
      },
      listOfUsers: 1,
    },
    ours: {
      newUpdates: false,
      listOfRooms: { r: { maxParticipantsAllowed: 1000, owner: 'a', participants: ['a'], extra: { of: 'r' }, identifier: '', session: { audio: true, video: true }, isPasswordProtected: true } },
      listOfUsers: 1,
      scalableBroadcastUsers: 0,
    },
  },
});

async function answered(root, command) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`no answer to ${JSON.stringify(command)}`)), TIMEOUT_MS);
    root.emit('admin', command, (answer) => {
      clearTimeout(timer);
      resolve(answer);
    });
  });
}

async function overview(root) {
  root.emit('admin', { all: true });
  const isOverview = ([event, news]) => event === 'admin' && news.newUpdates === false;
  await root.until('an overview', (log) => log.some(isOverview));
  return root.log.find(isOverview)[1];
}

script('no admin', async (recording) => {
  for (const [name, credentials] of Object.entries({ wrong: { ...admin, adminPassword: 'wrong' }, nobody: { adminUserName: 'nobody', adminPassword: 'x' } })) {
    const root = await recording.visit('admin', credentials);
    await root.until('that it is disconnected', (log) => log.some(([event]) => event === 'disconnect'));
    recording.note(name, root.log);
  }
});
