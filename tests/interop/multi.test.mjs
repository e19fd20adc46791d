// RTCMultiConnection's protocol where it can't be compared with the original: reconnection, theft, limits, hostile input.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { after, afterEach, before, test } from 'node:test';
import WebSocket from 'ws';
import { connect as connectCast, transports, versions } from './support/clients.mjs';
import { pair } from './support/dialects.mjs';
import { closeAll, connect, EVENTS, room } from './support/multi.mjs';
import { startServer } from './support/server.mjs';
import { TIMEOUT_MS, until } from './support/wait.mjs';

const ATTACKER = '127.0.0.2';

// `server` keeps the place of a dropped client for longer than any test takes, `brief` for as long as a busy machine may pause.
let server;
let brief;
before(async () => {
  server = await startServer({ CASTWAY_MULTI_GRACE: '3600', CASTWAY_MULTI_MAX_PER_ADDRESS: '60', CASTWAY_WRONG_CODES: '5' });
  brief = await startServer({ CASTWAY_MULTI_GRACE: '10' });
});
after(async () => {
  await server?.close();
  await brief?.close();
});
// The next test's clients have the same names.
afterEach(async () => {
  closeAll();
  for (const each of [server, brief]) await until('everybody has left', () => each.metric('castway_multi_users'), (users) => users === 0);
});

async function session(...clients) {
  const [owner, ...others] = clients;
  assert.deepEqual(await owner.ask('open-room', room('r')), [true]);
  for (const other of others) assert.deepEqual(await other.ask('join-room', room('r')), [true]);
}

for (const version of Object.keys(versions)) {
  for (const transport of Object.keys(transports)) {
    test(`two meet in a room: client ${version}, ${transport}`, async () => {
      const a = await connect(server, 'a', { version, transport });
      const b = await connect(server, 'b', { version, transport });
      await session(a, b);
      b.askIn('r');
      await a.until('the request', (log) => log.some(([, message]) => message?.message?.newParticipationRequest));
      a.say('b', { readyForOffer: true });
      await b.until('the answer', (log) => log.some(([, message]) => message?.message?.readyForOffer));
      assert.deepEqual(b.heard('user-connected'), [['a']]);
      a.leave();
      await b.until('the farewell', (log) => log.some(([event]) => event === 'user-disconnected'));
    });
  }
}

test('casts and sessions share the namespace and do not meet', async () => {
  const tv = await connectCast(server, { label: 'TV' });
  const caster = await connectCast(server, { label: 'caster' });
  const a = await connect(server, 'a');
  await pair(tv, 'A', caster, 'A');
  await session(a);
  assert.deepEqual(await a.ask('TV_INIT'), 'no ack');
  assert.deepEqual(tv.heard('CAST_ERROR'), []);
});

for (const version of ['2.5', '4.8']) {
  test(`a client that reconnects by itself has its room back (${version})`, async () => {
    const a = await connect(brief, 'a', { version, reconnection: true });
    const b = await connect(brief, 'b');
    await session(a, b);
    b.say('a', 'hello');
    await a.until('it', (log) => log.some(([event]) => event === 'RTCMultiConnection-Message'));
    const again = once(a.socket, 'connect');
    a.drop();
    await until('its drop is noticed, or it is back', async () => (await brief.metric('castway_multi_away_users')) > 0 || a.socket.connected);
    b.say('a', 'are you there?');
    await again;
    await a.until('what was said meanwhile', (log) => log.some(([, message]) => message?.message === 'are you there?'));
    assert.deepEqual(await a.ask('set-password', 'mine'), [true, 'r', null]);
    // The server gives up a client that dropped later, so it would have given up `a` as well.
    const c = await connect(brief, 'c');
    c.say('b', 'hello');
    await b.until('c', () => b.heard('user-connected').some(([id]) => id === 'c'));
    c.drop();
    await b.until('that c is given up', () => b.heard('user-disconnected').length > 0);
    await b.settle();
    assert.deepEqual(b.heard('user-disconnected'), [['c']]);
    assert.deepEqual(b.heard('set-isInitiator-true'), []);
    assert.deepEqual(a.heard('userid-already-taken'), []);
  });

  test(`a client that comes back while its old connection seems to live takes its place (${version})`, async () => {
    const old = await connect(server, 'a', { version });
    const b = await connect(server, 'b');
    await session(old, b);
    const again = await connect(server, 'a', { version });
    await old.until('that it is closed', (log) => log.some(([event]) => event === 'disconnect'));
    assert.deepEqual(await again.ask('set-password', ''), [true, 'r', null]);
    assert.deepEqual([again.log, b.log], [[], []]);
  });
}

test('a place is not for whoever knows its id', async () => {
  const a = await connect(brief, 'a');
  const b = await connect(brief, 'b');
  await session(a, b);
  const tries = [{ from: ATTACKER }, { sessionid: 'another' }, { extra: '{"x":1}' }];
  for (const alive of [true, false]) {
    if (!alive) a.drop();
    for (const how of tries) {
      const thief = await connect(brief, 'a', how);
      await thief.until('that it is taken', (log) => log.some(([event]) => event === 'userid-already-taken'));
      assert.deepEqual(await thief.ask('set-password', 'x'), [null, null, 'Did not join any room yet']);
      b.say('a', 'secret');
      await b.settle();
      assert.deepEqual(thief.heard('RTCMultiConnection-Message'), []);
      thief.leave();
    }
  }
  await b.until('that the place is given up', (log) => log.some(([event]) => event === 'set-isInitiator-true'));
});

test('who leaves on purpose has no grace', async () => {
  const a = await connect(server, 'a');
  const b = await connect(server, 'b');
  await session(a, b);
  a.leave();
  await b.until('the room', (log) => log.some(([event]) => event === 'set-isInitiator-true'));
});

const REQUESTS = [
  'open-room', 'join-room', 'check-presence', 'is-valid-password', 'set-password', 'get-public-rooms', 'changed-uuid', 'disconnect-with',
  'extra-data-updated', 'get-remote-user-extra-data', 'close-entire-session', 'set-custom-socket-event-listener', 'RTCMultiConnection-Message',
  'RTCMultiConnection-Custom-Message', 'join-broadcast', 'can-relay-broadcast', 'can-not-relay-broadcast', 'scalable-broadcast-message',
  'check-broadcast-presence', 'get-number-of-users-in-specific-broadcast', 'admin',
];

function nested(depth) {
  let value = 'bottom';
  for (let i = 0; i < depth; i += 1) value = i % 2 ? [value] : { deeper: value };
  return value;
}

const circus = () => [
  [], [null], [undefined, undefined], [0], [-1e308], [''], ['\u0000\ud83d'], [[]], [[[]], {}], [{}], [true, false], [nested(100)], [nested(1000)],
  [Buffer.from([0, 1, 2])], [{ message: Buffer.alloc(100), remoteUserId: 'b' }], ['x'.repeat(1000)], ['x'.repeat(70_000)],
  [{ __proto__: null, constructor: 1, toString: null }], [{ sessionid: nested(50), session: [], extra: 7 }], [{ sessionid: 'x', extra: nested(500) }],
  [{ sessionid: '__proto__', session: { oneway: 'yes' }, password: {} }], [{ remoteUserId: null, message: null }],
  [{ remoteUserId: {}, message: { newParticipationRequest: true } }], [{ remoteUserId: 'system', message: { detectPresence: [] } }],
  [{ broadcastId: 'x', userid: 5 }], [{ broadcastId: {}, userid: null }], [{ all: true, userinfo: true, userid: {} }],
];

// A pair beside the attacker continues.
async function withPair(attack, at = server) {
  const a = await connect(at, 'neighbour-a');
  const b = await connect(at, 'neighbour-b');
  await session(a, b);
  a.say('neighbour-b', 'before');
  await attack(a, b);
  a.say('neighbour-b', 'after');
  await b.until('its neighbour', (log) => log.some(([, message]) => message?.message === 'after'));
  assert.ok(at.running);
  assert.deepEqual(at.logged(/panicked/), []);
}

for (const version of ['2.5', '4.8']) {
  test(`every event with every kind of argument (${version})`, () =>
    withPair(async () => {
      for (const event of REQUESTS) {
        const peer = await connect(server, `attacker-${event}`, { version, from: ATTACKER, enableScalableBroadcast: true });
        const alone = await connect(server, `attacker-alone-${event}`, { version, from: ATTACKER });
        await alone.ask('open-room', room(`room of ${event}`));
        for (const args of circus()) {
          for (const client of [peer, alone]) {
            client.emit(event, ...args);
            client.emit(event, ...args, () => {});
          }
        }
        await peer.settle();
        await alone.settle();
        for (const client of [peer, alone]) assert.ok(client.socket.connected, `${event} is no reason to disconnect`);
        peer.leave();
        alone.leave();
      }
    }));
}

test('what can not be read is answered in the shape of its event', async () => {
  const a = await connect(server, 'a');
  for (const event of ['open-room', 'join-room']) {
    for (const bad of [undefined, null, 7, 'x', [], {}, { sessionid: '' }, { sessionid: 'x'.repeat(300) }, { sessionid: 'r', extra: { big: 'x'.repeat(20_000) } }]) {
      assert.deepEqual(await a.ask(event, bad), [false, 'Malformed request'], `${event} ${JSON.stringify(bad)?.slice(0, 50)}`);
    }
    assert.deepEqual(await a.ask(event), [false, 'Malformed request']);
  }
  assert.deepEqual(await a.ask('get-public-rooms', null), [null, 'publicRoomIdentifier is required']);
  assert.deepEqual(await a.ask('get-remote-user-extra-data', {}), ['User ID does not exist']);
  assert.deepEqual(await a.ask('check-presence', null), [false, null, { _room: { isFull: false, isPasswordProtected: false } }]);
  assert.deepEqual(await a.ask('set-password', {}), [null, null, 'Malformed request']);
  assert.deepEqual(await a.ask('is-valid-password', 'x', {}), [false, {}, 'You did not enter the room-id.']);
});

test('nobody speaks in the name of the server', () =>
  withPair(async (a, b) => {
    // This event of the server is also one that clients send.
    for (const name of EVENTS.filter((name) => name !== 'extra-data-updated')) {
      a.emit('set-custom-socket-event-listener', name);
      a.emit(name, 'forged');
    }
    await a.settle();
    await b.settle();
    const forged = b.log.filter(([, first]) => first === 'forged').map(([event]) => event);
    assert.deepEqual(forged, ['RTCMultiConnection-Custom-Message', 'custom-message', 'my-event', 'other-messages']);
  }));

test('binary payloads arrive, and none that has no bytes', async () => {
  const a = await connect(server, 'a');
  const b = await connect(server, 'b');
  await session(a, b);
  a.say('b', { file: Buffer.from([1, 2, 3]) });
  await b.until('it', (log) => log.some(([, message]) => message?.message?.file));
  assert.deepEqual([...b.heard('RTCMultiConnection-Message')[0][0].message.file], [1, 2, 3]);
  // This value claims to have bytes. If it arrived beside a real attachment, a client would close its connection.
  a.emit('extra-data-updated', { _placeholder: true, num: 99 });
  a.say('b', { file: Buffer.from([4]) });
  await b.until('the second', () => b.heard('RTCMultiConnection-Message').length === 2);
  await b.settle();
  assert.ok(b.socket.connected);
});

test('wrong passwords are throttled by address', () =>
  withPair(async () => {
    const owner = await connect(server, 'owner');
    await owner.ask('open-room', room('locked', { password: 'secret' }));
    const guesser = await connect(server, 'guesser', { from: '127.0.0.9' });
    for (let i = 0; i < 5; i += 1) assert.deepEqual(await guesser.ask('is-valid-password', `guess ${i}`, 'locked'), [false, 'locked', 'Invalid password']);
    assert.deepEqual(await guesser.ask('is-valid-password', 'secret', 'locked'), [false, 'locked', 'Too many wrong passwords, try again later']);
    assert.deepEqual(await guesser.ask('join-room', room('locked', { password: 'secret' })), [false, 'Too many wrong passwords, try again later']);
    const friend = await connect(server, 'friend');
    assert.deepEqual(await friend.ask('join-room', room('locked', { password: 'secret' })), [true]);
  }));

test('so are an admin’s', async () => {
  await server.addUser('root', 'root-password-1');
  await server.addUser('alice', 'alice-password-1');
  await server.cli(['user', 'promote', 'root']);
  const tryOut = async (adminUserName, adminPassword, from) => {
    const admin = await connect(server, 'admin', { adminUserName, adminPassword, from });
    await admin.until('a verdict', (log) => log.length > 0);
    const verdict = admin.log[0];
    if (verdict[1].error) await admin.until('that it is disconnected', (log) => log.some(([event]) => event === 'disconnect'));
    admin.leave();
    return verdict[1];
  };
  const refused = { error: 'Invalid admin username or password.' };
  // A correct password that is refused counts as a wrong one from its address.
  let addresses = 0;
  const fromElsewhere = () => tryOut('root', 'root-password-1', `127.0.1.${(addresses += 1)}`);
  await until('root is an admin', fromElsewhere, ({ connected }) => connected);
  assert.deepEqual(await tryOut('root', 'root-password-1', '127.0.0.20'), { connected: true });
  assert.deepEqual(await tryOut('alice', 'alice-password-1', '127.0.0.20'), refused, 'a user, no administrator');
  for (let i = 0; i < 5; i += 1) assert.deepEqual(await tryOut('root', `guess ${i}`, '127.0.0.21'), refused);
  assert.deepEqual(await tryOut('root', 'root-password-1', '127.0.0.21'), refused, 'too many guesses');
  assert.deepEqual(await tryOut('root', 'root-password-1', '127.0.0.20'), { connected: true });
  const nobody = await connect(server, 'nobody');
  assert.equal(await nobody.ask('admin', { all: true }), 'no ack');
  assert.equal(await nobody.ask('admin', { deleteUser: true, userid: 'x' }), 'no ack');
  assert.deepEqual(server.logged(/root-password-1|guess/), []);
  await server.cli(['user', 'demote', 'root']);
  assert.deepEqual(await until('root is none', fromElsewhere, ({ error }) => error), refused);
});

test('one address holds so many users, and others are served', async () => {
  const crowd = await Promise.all(Array.from({ length: 60 }, (_, i) => connect(server, `crowd-${i}`, { from: '127.0.0.30' })));
  for (const client of crowd) await client.settle();
  const one = await connect(server, 'one-too-many', { from: '127.0.0.30' });
  await one.until('that it is disconnected', (log) => log.some(([event]) => event === 'disconnect'));
  const other = await connect(server, 'other');
  assert.deepEqual(await other.ask('open-room', room('o')), [true]);
  crowd.forEach((client) => client.leave());
});

test('a flood is held back, and the neighbours are not', () =>
  withPair(async (a) => {
    const flood = await connect(server, 'flood', { from: ATTACKER });
    for (let i = 0; i < 500; i += 1) flood.emit('RTCMultiConnection-Message', { remoteUserId: 'neighbour-a', message: 'x'.repeat(60_000), sender: 'flood' });
    await flood.settle();
    await a.settle();
    const taken = a.log.filter(([, message]) => message?.sender === 'flood').length;
    assert.ok(taken > 10 && taken < 400, `${taken} of 500 passed`);
    const metrics = await (await fetch(`${server.url}/metrics`)).text();
    assert.ok(Number(metrics.match(/^castway_multi_limited_events_total (\d+)/m)[1]) > 0);
    assert.ok(Number(metrics.match(/^castway_multi_users (\d+)/m)[1]) >= 3);
  }));

test('handshakes of any kind', () =>
  withPair(async () => {
    const queries = [
      'userid=', 'userid=%00', 'userid=%ff%fe', `userid=${'x'.repeat(300)}`, `userid=x&extra=${'%5B'.repeat(5000)}`, 'msgEvent=', 'userid=x&userid=y',
      'userid=x&maxParticipantsAllowed=-1e9&maxRelayLimitPerUser=NaN&enableScalableBroadcast=true', `msgEvent=${'y'.repeat(20_000)}`, 'userid=__proto__', 'userid=admin',
      'userid=admin&adminUserName=&adminPassword=', `userid=x&z=${'q'.repeat(40_000)}`,
    ];
    for (const eio of [3, 4]) {
      for (const text of queries) {
        const socket = new WebSocket(`${brief.url.replace('http', 'ws')}/socket.io/?EIO=${eio}&transport=websocket&${text}`, { localAddress: ATTACKER });
        socket.on('error', () => {});
        await once(socket, 'open', { signal: AbortSignal.timeout(TIMEOUT_MS) }).catch(() => {});
        if (socket.readyState === WebSocket.OPEN) {
          socket.send('40');
          socket.send('42["open-room"]');
          socket.send('420["join-room",null]');
          socket.send('42["RTCMultiConnection-Message"]');
        }
        await once(socket, 'close', { signal: AbortSignal.timeout(50) }).catch(() => {});
        socket.terminate();
      }
    }
  }, brief));

test('the client that pages load', async () => {
  const response = await fetch(`${server.url}/socket.io/socket.io.js`, { headers: { origin: 'http://elsewhere.example' } });
  assert.equal(response.status, 200);
  assert.match(response.headers.get('content-type'), /^application\/javascript/);
  assert.equal(await response.text(), readFileSync(new URL('./node_modules/socket.io-client-4/dist/socket.io.js', import.meta.url), 'utf8'));
});
