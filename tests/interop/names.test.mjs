// Names that every JavaScript object has, or that a client's socket uses for its own events. No client may use them, so that no client is
// made to change its own objects or receives events that did not happen.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, afterEach, before, test } from 'node:test';
import vm from 'node:vm';
import WebSocket from 'ws';
import { Android, Channel, plain, Web } from './support/apprtc.mjs';
import { versions } from './support/clients.mjs';
import { closeAll, connect, query, room } from './support/multi.mjs';
import { startServer } from './support/server.mjs';
import { until, within } from './support/wait.mjs';

const PROPERTIES = ['__proto__', 'constructor', 'prototype', ...Object.getOwnPropertyNames(Object.prototype).filter((name) => !['__proto__', 'constructor'].includes(name))];
const PEERS = ['forEach', 'getAllParticipants', 'getLength', 'selectFirst', 'send', 'streams'];
const EVENTS = [
  'connect', 'connect_error', 'connect_timeout', 'connecting', 'disconnect', 'disconnecting', 'error', 'newListener', 'ping', 'pong', 'reconnect',
  'reconnect_attempt', 'reconnect_error', 'reconnect_failed', 'reconnecting', 'removeListener',
];
const RESERVED = 'This event name is reserved, choose another one';

let server;
before(async () => {
  server = await startServer({ CASTWAY_CALL_RATE: '100000', CASTWAY_ICE_RATE: '100000', CASTWAY_MULTI_GRACE: '0' });
});
after(() => server?.close());
afterEach(() => closeAll());

// A client that sends arbitrary packets, which the libraries don't allow.
async function raw(more) {
  const socket = new WebSocket(`${server.url.replace('http', 'ws')}/socket.io/?EIO=4&transport=websocket&${query('raw', more)}`);
  const heard = [];
  socket.on('message', (data) => (String(data) === '2' ? socket.send('3') : heard.push(String(data))));
  socket.on('error', () => {});
  await until('a handshake', () => heard.some((line) => line.startsWith('0')));
  socket.send('40');
  await until('a connection', () => heard.find((line) => line.startsWith('40')));
  let acks = 0;
  const say = (...event) => socket.send(`42${typeof event[0] === 'string' && event.length === 1 && event[0].startsWith('[') ? event[0] : JSON.stringify(event)}`);
  const ask = async (...event) => {
    const id = (acks += 1);
    socket.send(`42${id}${JSON.stringify(event)}`);
    const ack = await until(`an ack of ${event[0]}`, () => heard.find((line) => line.startsWith(`43${id}[`)));
    return JSON.parse(ack.slice(`43${id}`.length));
  };
  return { say, ask, heard, close: () => socket.terminate() };
}

for (const id of [...PROPERTIES, ...PEERS]) {
  test(`no user and no room of RTCMultiConnection is called ${id}`, async () => {
    const user = await connect(server, id);
    await user.until('that the id is taken', () => user.heard('userid-already-taken').length === 1);
    const [[taken, instead]] = user.heard('userid-already-taken');
    assert.equal(taken, id);
    assert.match(instead, /^\d{16}$/);
    user.emit('changed-uuid', id);
    await user.until('that it still is', () => user.heard('userid-already-taken').length === 2);
    assert.deepEqual(user.heard('userid-already-taken')[1], [id, instead]);
    assert.deepEqual(await user.ask('open-room', room(id)), [false, 'Room not available']);
    assert.deepEqual(await user.ask('join-room', room(id)), [false, 'Room not available']);
    assert.deepEqual((await user.ask('check-presence', id)).slice(0, 2), [false, id]);
    assert.deepEqual(await user.ask('get-remote-user-extra-data', id), ['User ID does not exist']);
    // A name that only contains such a word is allowed.
    const [owner, guest] = [await connect(server, `${id}-fan`), await connect(server, `my-${id}`)];
    assert.deepEqual(await owner.ask('open-room', room(`${id}-room`)), [true]);
    assert.deepEqual(await guest.ask('join-room', room(`${id}-room`)), [true]);
    guest.say(owner.id, { hello: id });
    await owner.until('the message', () => owner.heard('RTCMultiConnection-Message').some(([{ message }]) => message.hello === id));
    assert.deepEqual([...owner.heard('userid-already-taken'), ...guest.heard('userid-already-taken')], []);
  });
}

test('nobody has others hear an event that a socket tells its own page', async () => {
  const listeners = [];
  for (const version of Object.keys(versions)) {
    const client = await connect(server, `listener-${version}`, { version });
    assert.deepEqual(await client.ask(listeners.length ? 'join-room' : 'open-room', room('events')), [true]);
    const heard = [];
    for (const name of [...EVENTS, ...PROPERTIES]) client.socket.on(name, (...args) => heard.push([name, ...args]));
    listeners.push({ client, heard });
  }
  const attacker = await raw({ socketCustomEvent: 'reconnect' });
  assert.deepEqual(await attacker.ask('join-room', room('events')), [true]);
  for (const name of [...EVENTS, ...PROPERTIES]) {
    assert.deepEqual(await attacker.ask('set-custom-socket-event-listener', name), [false, RESERVED], name);
    attacker.say(name, 'forged');
  }
  attacker.say('set-custom-socket-event-listener', 'constructor-news');
  for (const { client } of listeners) client.socket.on('constructor-news', (text) => client.log.push(['news', text]));
  attacker.say('constructor-news', 'true');
  for (const { client, heard } of listeners) {
    await client.until('an event of an honest name', () => client.heard('news').length === 1);
    assert.equal(JSON.stringify(heard).includes('forged'), false, `${client.id}: ${JSON.stringify(heard)}`);
  }
  attacker.close();
});

test('the relay event has no such name either, and the client is told why', async () => {
  for (const name of [...EVENTS, ...PROPERTIES, 'user-disconnected']) {
    await assert.rejects(connect(server, 'x', { msgEvent: name }), /msgEvent is a reserved event name, choose another one/, name);
  }
  (await connect(server, 'x', { msgEvent: 'constructor-messages' })).leave();
});

// Loads the library in a context like a page, with the browser features that it needs for loading.
function page(io) {
  const nothing = () => {};
  const sandbox = {
    io, setTimeout, clearTimeout, setInterval, clearInterval, console, URL: { createObjectURL: nothing, revokeObjectURL: nothing },
    addEventListener: nothing, removeEventListener: nothing, screen: { width: 1, height: 1 },
    document: { createElement: () => ({ getContext: () => ({}), style: {} }), documentElement: { appendChild: nothing }, addEventListener: nothing, removeEventListener: nothing },
    navigator: { userAgent: 'Mozilla/5.0 Chrome/120.0', mediaDevices: { enumerateDevices: async () => [], addEventListener: nothing } },
    location: { protocol: 'http:', href: '', hash: '', origin: server.url, search: '' },
    RTCPeerConnection: class {}, MediaStream: class {},
  };
  sandbox.window = sandbox;
  vm.createContext(sandbox);
  const library = new URL('./node_modules/rtcmulticonnection/dist/RTCMultiConnection.js', import.meta.url);
  vm.runInContext(readFileSync(library, 'utf8'), sandbox, { filename: library.pathname });
  return sandbox;
}

for (const version of ['2.5', '4.8']) {
  test(`the original client library over socket.io-client ${version} keeps its objects whatever a member of its room does`, async () => {
    const sandbox = page(versions[version]);
    const connection = vm.runInContext('new RTCMultiConnection()', sandbox);
    connection.socketURL = `${server.url}/`;
    connection.socketOptions = { transports: ['websocket'], forceNew: true };
    connection.onExtraDataUpdated = connection.onUserStatusChanged = connection.onNewParticipant = () => {};
    connection.sessionid = `pollution-${version}`;
    const socket = await within(new Promise((resolve) => connection.connectSocket(resolve)), 'connection');
    try {
      await within(new Promise((resolve) => socket.emit('open-room', room(connection.sessionid), resolve)), 'room');
      const methods = vm.runInContext('(peers) => Object.keys(peers).filter((name) => typeof peers[name] === "function").join()', sandbox);
      const before = methods(connection.peers);
      const honest = await connect(server, `honest-${version}`);
      assert.deepEqual(await honest.ask('join-room', room(connection.sessionid)), [true]);
      connection.peers[honest.id] = { streams: [], channels: [], extra: {}, peer: { close() {} } };

      const polluting = JSON.parse('{"__proto__": {"polluted": true}, "polluted": true}');
      for (const userid of ['__proto__', 'constructor', 'forEach', 'send']) {
        const attacker = await connect(server, userid, { extra: JSON.stringify(polluting) });
        await attacker.ask('join-room', room(connection.sessionid));
        attacker.emit('changed-uuid', userid);
        attacker.emit('extra-data-updated', { polluted: true });
        attacker.emit('extra-data-updated', polluting);
        attacker.say(connection.userid, { polluted: true });
        attacker.say(connection.userid, { userLeft: true });
        for (const [oldUUID, newUUID] of [['__proto__', 'x'], ['x', '__proto__'], [honest.id, 'getLength'], ['__proto__', attacker.heard('userid-already-taken')[0]?.[1] ?? userid]]) {
          attacker.say(connection.userid, { changedUUID: true, oldUUID, newUUID });
        }
        attacker.say(connection.userid, { allParticipants: ['__proto__'] });
        attacker.emit('extra-data-updated', { polluted: true });
        attacker.say(connection.userid, { done: true });
        await attacker.settle();
      }
      // When this data has arrived, everything sent before has arrived too.
      honest.emit('extra-data-updated', { honest: true });
      await until('honest extra data', () => connection.peers[honest.id]?.extra?.honest);
      const keys = vm.runInContext('() => { const all = []; for (const key in {}) all.push(key); return all.concat(Object.getOwnPropertyNames(Object.prototype)).join(); }', sandbox);
      assert.doesNotMatch(keys(), /polluted|extra/, 'every object of the page has changed');
      assert.equal(vm.runInContext('({}).extra', sandbox), undefined);
      assert.equal({}.polluted ?? {}.extra, undefined);
      assert.equal(methods(connection.peers), before, 'what the page does with all peers still works');
      assert.equal(connection.peers.getLength(), 1);
    } finally {
      socket.disconnect();
    }
  });
}

test('extra data that would change the objects of a page that merges it is not passed on', async () => {
  const [from, to] = [await connect(server, 'from'), await connect(server, 'to')];
  assert.deepEqual(await from.ask('open-room', room('merged')), [true]);
  for (const bad of ['{"__proto__":{"x":1}}', '{"a":[{"__proto__":{"x":1}}]}', '{"constructor":{"prototype":{"x":1}}}']) {
    assert.deepEqual(await from.ask('extra-data-updated', JSON.parse(bad)), [false, 'Malformed request'], bad);
    assert.deepEqual(await from.ask('open-room', room('merged-too', { extra: JSON.parse(bad) })), [false, 'Malformed request'], bad);
  }
  const honest = { constructor: 'Ada', about: { prototype: 1, text: '__proto__' } };
  from.emit('extra-data-updated', honest);
  await from.settle();
  assert.deepEqual(await to.ask('get-remote-user-extra-data', 'from'), [honest]);
});

for (const name of PROPERTIES) {
  test(`no room and no client of AppRTC is called ${name}`, async () => {
    const ask = (method, path, body) => plain(`${server.url}${path}`, { method, body });
    for (const path of [`/join/${name}`, `/message/${name}/1`, `/message/r/${name}`, `/leave/${name}/1`, `/leave/r/${name}`]) {
      assert.equal((await ask('POST', path, 'x')).status, 404, path);
    }
    assert.equal((await ask('GET', `/r/${name}`)).status, 404);
    for (const path of [`/${name}/1`, `/r-${name}/${name}`]) {
      const { status, body } = await ask('POST', path, 'x');
      assert.deepEqual([status, body], [500, "Failed to send the message: 'clientid' or 'roomid' is a reserved name\n"], path);
    }
    for (const [roomid, clientid] of [[name, '1'], ['r', name]]) {
      const channel = await Channel.open(`${server.url.replace('http', 'ws')}/ws`);
      channel.register(roomid, clientid);
      await channel.refused("Invalid register request: 'clientid' or 'roomid' is a reserved name");
    }
    const [caller, callee] = [new Android(server.url), new Web(server.url)];
    assert.ok(await caller.join(`${name}-room`));
    await caller.send({ type: 'offer', sdp: name });
    assert.ok(await callee.join(`${name}-room`));
    await callee.hear('offer');
    await caller.hangUp();
  });
}
