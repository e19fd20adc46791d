// Pages that end without disconnecting (killed apps, crashes, iOS Safari) and are loaded again. The events of their new clients are
// compared with the original's, which frees everything as soon as a connection breaks. Ours can do more, which has separate tests.
import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { closeAll, connect, room, startOriginal } from './support/multi.mjs';
import { startServer } from './support/server.mjs';
import { until } from './support/wait.mjs';

const HOST = { from: '127.0.0.2', headers: { origin: 'https://app.example', 'user-agent': 'Host/1' } };
const GUEST = { from: '127.0.0.3', headers: { origin: 'https://app.example', 'user-agent': 'Guest/1' } };
const ELSEWHERE = {
  'another network': { ...HOST, from: '127.0.0.4' },
  'another browser': { ...HOST, headers: { ...HOST.headers, 'user-agent': 'Other/1' } },
  'another page': { ...HOST, headers: { ...HOST.headers, origin: 'https://other.example' } },
};
const OVER = { '2.5': 'socket.io-2', '4.8': 'socket.io-4' };
const ONE_WAY = { session: { video: true, oneway: true } };

let patient;
let brief;
before(async () => {
  patient = await startServer({ CASTWAY_MULTI_GRACE: '3600' });
  brief = await startServer({ CASTWAY_MULTI_GRACE: '10' });
});
after(async () => {
  await patient?.close();
  await brief?.close();
});
afterEach(closeAll);

// The original shows the length of a password, ours only whether it exists.
const presence = ([there, id, { _room }]) => [there, id, _room.isFull, Boolean(_room.isPasswordProtected)];

// The clients of one scenario with one server.
class Recording {
  clients = {};
  answers = {};

  constructor(server, version) {
    Object.assign(this, { server, version });
  }

  // `name`: the client's name in this file; `userid`: the client's own id.
  async load(name, whereabouts, { userid = name, ...more } = {}) {
    const client = await connect(this.server, userid, { version: this.version, ...whereabouts, ...more });
    await client.settle();
    return (this.clients[name] = client);
  }

  note(what, value) {
    // The original stores _room in the owner's own data.
    const own = (key, value) => (key === '_room' ? undefined : value);
    this.answers[`${Object.keys(this.answers).length + 1} ${what}`] = JSON.parse(JSON.stringify(value ?? null, own));
  }

  async ask(name, event, ...args) {
    const answer = await this.clients[name].ask(event, ...args);
    this.note(`${name} ${event}`, event === 'check-presence' ? presence(answer) : answer);
  }

  async settle() {
    // Twice, since one client may receive what another one sent while it settled.
    for (let i = 0; i < 2; i += 1) for (const client of Object.values(this.clients)) await client.settle();
  }

  async hears(name) {
    await this.settle();
    this.note(`${name} hears`, this.clients[name].log);
  }

  // Breaks their connections, and waits until the server has noticed.
  async lose(...names) {
    const witness = await connect(this.server, `witness-${names.join('-')}`, { version: this.version });
    const away = async () => (this.server.metric ? this.server.metric('castway_multi_away_users') : 0);
    const before = await away();
    for (const name of names) this.clients[name].drop();
    if (this.server.metric) {
      await until(`${names} are away`, away, (count) => count === before + names.length);
    } else {
      for (const name of names) {
        const isThere = { remoteUserId: 'system', message: { detectPresence: true, userid: this.clients[name].id }, sender: witness.id };
        await until(`${name} is gone`, () => witness.ask('RTCMultiConnection-Message', isThere), ([there]) => there === false);
      }
    }
    witness.leave();
  }
}

async function call(recording, { session, host = {}, guest = {} } = {}) {
  await recording.load('host', HOST, host);
  await recording.load('guest', GUEST, guest);
  await recording.ask('host', 'open-room', room('r', session));
  await recording.ask('guest', 'join-room', room('r', session));
  recording.clients.guest.askIn('r');
  await recording.settle();
  recording.clients.host.say(recording.clients.guest.id, { enableMedia: true });
  await recording.settle();
}

// The server forgets all clients that are away, because the next test's clients have the same names.
async function empty(server) {
  closeAll();
  await server.restart();
}

function same(name, play) {
  for (const [version, over] of Object.entries(OVER)) {
    test(`${name} (${version})`, async () => {
      const original = await startOriginal(over);
      try {
        const [theirs, ours] = [new Recording(original, version), new Recording(patient, version)];
        await play(theirs);
        closeAll();
        await play(ours);
        assert.deepEqual(ours.answers, theirs.answers);
      } finally {
        await original.close();
        await empty(patient);
      }
    });
  }
}

for (const [kind, session] of Object.entries({ call: {}, broadcast: ONE_WAY, 'room with a password': { password: 'pw' }, 'public room': { identifier: 'fans' } })) {
  for (const autoCloseEntireSession of [false, true]) {
    same(`both pages of a ${kind} are loaded again${autoCloseEntireSession ? ', and it ends with its owner' : ''}`, async (recording) => {
      await call(recording, { session, host: { autoCloseEntireSession } });
      await recording.lose('host', 'guest');
      // The library's openOrJoin does this.
      await recording.load('host again', HOST, { autoCloseEntireSession });
      await recording.ask('host again', 'check-presence', 'r');
      await recording.ask('host again', 'get-public-rooms', 'fans');
      await recording.ask('host again', 'open-room', room('r', session));
      await recording.ask('host again', 'check-presence', 'r');
      await recording.load('guest again', GUEST);
      await recording.ask('guest again', 'check-presence', 'r');
      await recording.ask('guest again', 'join-room', room('r', session));
      recording.clients['guest again'].askIn('r');
      await recording.settle();
      recording.clients['host again'].say('guest again', { enableMedia: true });
      await recording.hears('host again');
      await recording.hears('guest again');
    });
  }
}

same('a host alone opens its room again with another password, and without any', async (recording) => {
  for (const [round, password] of ['first', 'second', ''].entries()) {
    await recording.load(`host ${round}`, HOST);
    await recording.ask(`host ${round}`, 'open-room', room('r', { password }));
    await recording.load(`guest ${round}`, GUEST);
    await recording.ask(`guest ${round}`, 'is-valid-password', 'first', 'r');
    await recording.ask(`guest ${round}`, 'join-room', room('r', { password: 'second' }));
    recording.clients[`guest ${round}`].leave();
    await until('the guest has left', () => recording.clients[`host ${round}`].ask('RTCMultiConnection-Message', { remoteUserId: 'system', message: { detectPresence: true, userid: `guest ${round}` } }), ([there]) => !there);
    await recording.lose(`host ${round}`);
  }
});

same('a host with an id of its own', async (recording) => {
  const host = { userid: 'me', autoCloseEntireSession: true };
  await call(recording, { host });
  await recording.lose('host', 'guest');
  await recording.load('host again', HOST, host);
  await recording.ask('host again', 'check-presence', 'r');
  await recording.ask('host again', 'open-room', room('r'));
  await recording.hears('host again');
  await recording.lose('host again');
  await recording.load('another handshake', HOST, { ...host, extra: '{"visit":3}' });
  await recording.ask('another handshake', 'check-presence', 'r');
  await recording.ask('another handshake', 'open-room', room('r'));
  await recording.hears('another handshake');
});

same('a host with an id of its own, whose viewers are there', async (recording) => {
  await call(recording, { session: ONE_WAY, host: { userid: 'me' } });
  await recording.lose('host');
  await recording.load('host again', HOST, { userid: 'me' });
  await recording.ask('host again', 'check-presence', 'r');
  await recording.ask('host again', 'open-room', room('r', ONE_WAY));
  await recording.settle();
  // The original sends this event twice.
  recording.note('the guest hears', recording.clients.guest.log.slice(-1));
  await recording.ask('guest', 'join-room', room('r', ONE_WAY));
  recording.clients.guest.askIn('r');
  await recording.hears('host again');
});

same('a host whose guest is there', async (recording) => {
  await call(recording);
  await recording.lose('host');
  await recording.load('host again', HOST);
  await recording.ask('host again', 'open-room', room('r'));
  await recording.ask('host again', 'check-presence', 'r');
  await recording.ask('host again', 'join-room', room('r'));
});

for (const gone of ['host', 'guest']) {
  same(`a call of two at most, and the ${gone} is loaded again`, async (recording) => {
    await call(recording, { host: { maxParticipantsAllowed: 2 }, guest: { maxParticipantsAllowed: 2 } });
    await recording.lose(gone);
    await recording.load('again', gone === 'host' ? HOST : GUEST);
    await recording.ask('again', 'check-presence', 'r');
    await recording.ask('again', 'join-room', room('r'));
    recording.clients.again.askIn('r');
    await recording.settle();
    const other = recording.clients[gone === 'host' ? 'guest' : 'host'];
    recording.note('the other hears', other.log.slice(-1));
    await recording.ask(other.id, 'set-password', 'it owns the room');
  });
}

same('a scalable broadcast', async (recording) => {
  const scalable = { enableScalableBroadcast: true, maxRelayLimitPerUser: 1, autoCloseEntireSession: true };
  const show = room('show', { session: { video: true, oneway: true }, extra: { broadcastId: 'show' } });
  const enter = async (name, userid) => {
    await recording.ask(name, 'check-broadcast-presence', 'show');
    recording.clients[name].emit('join-broadcast', { broadcastId: 'show', userid, typeOfStreams: { video: true } });
    await recording.settle();
  };
  await recording.load('host', HOST, scalable);
  await enter('host', 'show');
  recording.clients.host.id = 'show';
  await recording.ask('host', 'open-room', show);
  await recording.load('viewer', GUEST, scalable);
  await enter('viewer', 'viewer');
  await recording.ask('viewer', 'join-room', show);
  await recording.lose('host', 'viewer');
  await recording.load('host again', HOST, scalable);
  await enter('host again', 'show');
  await recording.ask('host again', 'open-room', show);
  await recording.load('viewer again', GUEST, scalable);
  await enter('viewer again', 'viewer again');
  await recording.ask('viewer again', 'join-room', show);
  await recording.ask('viewer again', 'get-number-of-users-in-specific-broadcast', 'show');
  await recording.hears('host again');
  await recording.hears('viewer again');
});

test('from elsewhere a room is not opened again', async () => {
  const recording = new Recording(patient, '4.8');
  await call(recording);
  await recording.lose('host', 'guest');
  for (const [where, whereabouts] of Object.entries(ELSEWHERE)) {
    const other = await recording.load(where, whereabouts);
    assert.deepEqual(presence(await other.ask('check-presence', 'r')), [true, 'r', false, false], where);
    assert.deepEqual(await other.ask('open-room', room('r')), [false, 'Room not available'], where);
    other.leave();
  }
  await empty(patient);
});

test('from elsewhere it is, when the grace is over', async () => {
  const recording = new Recording(brief, '4.8');
  await call(recording);
  const other = await recording.load('other', ELSEWHERE['another network']);
  await recording.lose('host', 'guest');
  await until('the grace is over', () => other.ask('open-room', room('r')), ([open]) => open);
  await empty(brief);
});

for (const version of Object.keys(OVER)) {
  test(`a guest that reconnects after the host’s page was loaded again (${version})`, async () => {
    const recording = new Recording(patient, version);
    await call(recording);
    await recording.lose('host', 'guest');
    const host = await recording.load('host again', HOST);
    assert.deepEqual(await host.ask('open-room', room('r')), [true]);
    const { guest } = recording.clients;
    guest.log.length = 0;
    guest.socket.connect();
    await guest.until('that the old host is gone', (log) => log.some(([event]) => event === 'user-disconnected'));
    assert.deepEqual(guest.log, [['user-disconnected', 'host']]);
    // The guest is in the room: it receives participation requests, and becomes the owner when the host leaves.
    const third = await recording.load('third', ELSEWHERE['another network']);
    assert.deepEqual(await third.ask('join-room', room('r')), [true]);
    third.askIn('r');
    await guest.until('the request', (log) => log.some(([, message]) => message?.sender === 'third'));
    await host.until('the request', (log) => log.some(([, message]) => message?.sender === 'third'));
    // Pages that join again after the host has left do this.
    assert.deepEqual(await guest.ask('join-room', room('r')), [true]);
    guest.askIn('r');
    await host.until('the guest', (log) => log.some(([, message]) => message?.sender === 'guest'));
    await empty(patient);
  });
}

test('whoever joined those who are away has the room, and its former host is a guest', async () => {
  const recording = new Recording(patient, '4.8');
  await call(recording);
  await recording.lose('host', 'guest');
  const third = await recording.load('third', ELSEWHERE['another network']);
  assert.deepEqual(await third.ask('join-room', room('r')), [true]);
  const host = await recording.load('host again', HOST);
  assert.deepEqual(presence(await host.ask('check-presence', 'r')), [true, 'r', false, false]);
  assert.deepEqual(await host.ask('open-room', room('r')), [false, 'Room not available']);
  assert.deepEqual(await host.ask('join-room', room('r')), [true]);
  await empty(patient);
});

test('a room that ends with its owner does not end under the owner that came back as a guest', async () => {
  const recording = new Recording(brief, '4.8');
  await call(recording, { host: { autoCloseEntireSession: true } });
  await recording.lose('host');
  const host = await recording.load('host again', HOST, { autoCloseEntireSession: true });
  assert.deepEqual(await host.ask('join-room', room('r')), [true]);
  await host.until('that it owns the room', (log) => log.some(([event]) => event === 'set-isInitiator-true'));
  assert.deepEqual(await host.ask('set-password', 'pw'), [true, 'r', null]);
  await empty(brief);
});

test('after a restart of the server a room is nobody’s', async () => {
  const recording = new Recording(patient, '4.8');
  await call(recording);
  await recording.lose('host', 'guest');
  await patient.restart();
  const other = await recording.load('other', ELSEWHERE['another page']);
  assert.deepEqual(await other.ask('open-room', room('r')), [true]);
  const host = await recording.load('host again', HOST);
  assert.deepEqual(await host.ask('open-room', room('r')), [false, 'Room not available']);
  await empty(patient);
});

test('an admin sees a room as it is, whoever is away', async () => {
  const recording = new Recording(patient, '4.8');
  await patient.addUser('root', 'root-password-1');
  await patient.cli(['user', 'promote', 'root']);
  await patient.restart();
  await call(recording);
  await recording.lose('host', 'guest');
  const root = await connect(patient, 'admin', { ...HOST, adminUserName: 'root', adminPassword: 'root-password-1' });
  const overview = async (accept) => {
    await until('an overview', () => {
      root.emit('admin', { all: true });
      return root.heard('admin').filter(([news]) => news.newUpdates === false).at(-1)?.[0].listOfRooms.r;
    }, accept);
    return root.heard('admin').filter(([news]) => news.newUpdates === false).at(-1)[0].listOfRooms.r;
  };
  assert.equal((await overview((r) => r?.participants.length === 2)).owner, 'host');
  const host = await recording.load('host again', HOST);
  assert.deepEqual(await host.ask('open-room', room('r')), [true]);
  assert.deepEqual((await overview((r) => r?.owner === 'host again')).participants, ['host again', 'guest']);
  await empty(patient);
});
