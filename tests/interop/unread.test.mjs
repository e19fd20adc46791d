// Clients that never read: each one is disconnected at 2 MiB, all of them together are bounded, and a pair beside them continues.
import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { closeAll, connect } from './support/clients.mjs';
import { dialects, exchange, pair } from './support/dialects.mjs';
import { connect as join, query, room } from './support/multi.mjs';
import { inRounds } from './support/rounds.mjs';
import { startServer } from './support/server.mjs';
import { Unread, closeUnread, metric, rss } from './support/unread.mjs';
import { until } from './support/wait.mjs';

// The largest growth of the server's memory in these tests; 32 MiB of it are waiting events.
const MAX_GROWTH_MIB = 100;
const KIB = 1024;
// The largest extra data and the largest description, less their envelopes.
const EXTRA = 'x'.repeat(15 * KIB);
const SDP = 'x'.repeat(255 * KIB);

let server;
let mark = 0;
before(async () => {
  server = await startServer({ CASTWAY_MULTI_MAX_PER_ADDRESS: '1000' });
});
after(() => server?.close());
afterEach(() => {
  closeUnread();
  closeAll();
});

// A pair exchanges events during the attack. The growth of the server's memory is printed and bounded.
async function beside(t, attack) {
  const [tv, caster] = [await connect(server, { label: 'TV' }), await connect(server, { namespace: '/rtc', label: 'caster' })];
  await pair(tv, 'A', caster, 'B');
  const [start, closed] = [rss(server), await metric(server, 'castway_unread_clients_total').catch(() => 0)];
  let most = start;
  const round = async () => {
    most = Math.max(most, rss(server));
    await Promise.race([exchange(tv, 'A', caster, 'B', { mark: (mark += 1), candidates: 10 }), tv.refusal(), caster.refusal()]);
  };
  await inRounds({ 'the pair': round }, attack(), 50).finally(() => t.diagnostic(`${start.toFixed(0)} MiB before, ${most.toFixed(0)} at most`));
  assert.ok(most - start < MAX_GROWTH_MIB, `${(most - start).toFixed(0)} MiB more`);
  assert.deepEqual(server.logged(/panicked/), []);
  return { closed: (await metric(server, 'castway_unread_clients_total')) - closed };
}

// No bytes wait for clients that have gone, except those that are kept for a caster that may come back.
const drained = () => until('nothing waits', () => metric(server, 'castway_waiting_bytes'), (bytes) => bytes < 800 * KIB);

// Several users that never read send the same request, `times` a round, until the server has disconnected each of them.
async function askUntilClosed(name, users, times, ...question) {
  const sockets = await Promise.all(Array.from({ length: users }, (_, at) => Unread.socketIo(server, query(`${name}-${at}`))));
  await Promise.all(sockets.map((socket) => socket.untilClosed(() => {
    for (let i = 0; i < times; i += 1) socket.ask(...question);
  })));
}

test('ten sockets that ask for 16 KiB each time and read nothing are closed', async (t) => {
  const target = await join(server, 'target');
  target.emit('extra-data-updated', { about: EXTRA });
  await target.settle();
  const { closed } = await beside(t, () => askUntilClosed('asks', 10, 50, 'get-remote-user-extra-data', 'target'));
  assert.equal(closed, 10);
  await drained();
});

test('a list of rooms is no larger than 64 KiB, and whoever does not read lists is closed', async (t) => {
  const owners = await Promise.all(Array.from({ length: 100 }, (_, at) => join(server, `owner-${at}`)));
  for (const owner of owners) assert.deepEqual(await owner.ask('open-room', room(`room of ${owner.id}`, { identifier: 'fans', extra: { about: EXTRA } })), [true]);
  const [[list]] = [await owners[0].ask('get-public-rooms', 'fans')];
  assert.ok(list.length >= 3 && JSON.stringify(list).length <= 64 * KIB, `${list.length} rooms`);
  assert.deepEqual(Object.keys(list[0]), ['maxParticipantsAllowed', 'owner', 'participants', 'extra', 'session', 'sessionid', 'isRoomFull', 'isPasswordProtected']);
  const { closed } = await beside(t, () => askUntilClosed('lists', 5, 12, 'get-public-rooms', 'fans'));
  assert.equal(closed, 5);
  await drained();
});

test('extra data for fifty users of other rooms costs fifty times its bytes', async (t) => {
  const attacker = await join(server, 'attacker');
  let told = 0;
  const peers = await Promise.all(Array.from({ length: 50 }, (_, at) => join(server, `peer-${at}`)));
  for (const peer of peers) {
    peer.socket.on('extra-data-updated', (_, extra) => (told += extra.about.length));
    attacker.say(peer.id, { hello: true });
  }
  await attacker.settle();
  await beside(t, async () => {
    const start = Date.now();
    for (let i = 0; i < 200; i += 1) attacker.emit('extra-data-updated', { about: EXTRA });
    await attacker.settle();
    await Promise.all(peers.map((peer) => peer.settle()));
    const allowed = 4 * KIB * KIB + ((Date.now() - start) / 1000) * 512 * KIB;
    assert.ok(told > 2 * KIB * KIB, 'it may be said some times');
    assert.ok(told <= allowed, `${told} bytes of ${allowed}`);
  });
  await drained();
});

test('fifty users that never read extra data are closed or hold no more than the server has for all', async (t) => {
  const peers = await Promise.all(Array.from({ length: 50 }, (_, at) => Unread.socketIo(server, query(`deaf-${at}`))));
  const attackers = await Promise.all(Array.from({ length: 12 }, (_, at) => join(server, `shouts-${at}`)));
  await beside(t, async () => {
    for (const attacker of attackers) {
      peers.forEach((_, at) => attacker.say(`deaf-${at}`, { hello: true }));
      for (let i = 0; i < 20; i += 1) attacker.emit('extra-data-updated', { about: EXTRA });
      for (let at = 0; at < 8; at += 1) attacker.say(`deaf-${at}`, SDP);
      await attacker.settle();
      assert.ok((await metric(server, 'castway_waiting_bytes')) <= 32 * KIB * KIB);
    }
  });
  closeUnread();
  await drained();
});

for (const way of ['WebSocket', 'polling']) {
  test(`a caster over ${way} that never reads large answers is closed, and its TV goes on`, async (t) => {
    const tv = await connect(server, { label: 'sending TV' });
    const { code } = await tv.ask('TV_INIT');
    const { closed } = await beside(t, async () => {
      const answer = (caster) => {
        for (let i = 0; i < 2; i += 1) tv.emit('TV_ANSWER_TO_SERVER', { type: 'answer', sdp: SDP });
        return caster;
      };
      if (way === 'WebSocket') {
        const caster = await Unread.socketIo(server);
        caster.emit('JOIN_ROOM', code);
        caster.emit('CLIENT_OFFER_TO_SERVER', { type: 'offer', sdp: 'v=0' });
        await tv.next('CLIENT_OFFER_TO_TV');
        await caster.untilClosed(answer);
        return;
      }
      const poll = `${server.url}/socket.io/?EIO=4&transport=polling`;
      const { sid } = JSON.parse((await (await fetch(poll)).text()).slice(1));
      const say = (packet) => fetch(`${poll}&sid=${sid}`, { method: 'POST', body: packet });
      await say('40');
      await (await fetch(`${poll}&sid=${sid}`)).text();
      await say(`42["JOIN_ROOM","${code}"]\x1e42["CLIENT_OFFER_TO_SERVER",{"type":"offer","sdp":"v=0"}]`);
      await tv.next('CLIENT_OFFER_TO_TV');
      await until('the session ends', async () => {
        answer();
        return (await say('3')).status;
      }, (status) => status === 400, { pause: 200 });
    });
    assert.equal(closed, 1);
    assert.equal((await tv.ask('TV_INIT')).ok, true);
    await drained();
  });
}

test('answers to polls that are never read count, too', async (t) => {
  const tv = await connect(server, { label: 'sending TV' });
  const { code } = await tv.ask('TV_INIT');
  const poll = `${server.url}/socket.io/?EIO=4&transport=polling`;
  const { sid } = JSON.parse((await (await fetch(poll)).text()).slice(1));
  const say = (packet) => fetch(`${poll}&sid=${sid}`, { method: 'POST', body: packet });
  await say('40');
  await (await fetch(`${poll}&sid=${sid}`)).text();
  await say(`42["JOIN_ROOM","${code}"]\x1e42["CLIENT_OFFER_TO_SERVER",{"type":"offer","sdp":"v=0"}]`);
  await tv.next('CLIENT_OFFER_TO_TV');
  const { closed } = await beside(t, async () => {
    const polls = new Unread(server);
    await until('the session ends', async () => {
      polls.get(`/socket.io/?EIO=4&transport=polling&sid=${sid}`);
      tv.emit('TV_ANSWER_TO_SERVER', { type: 'answer', sdp: SDP });
      return (await say('3')).status;
    }, (status) => status === 400, { pause: 300 });
  });
  assert.equal(closed, 1);
  closeUnread();
  await drained();
});

test('a client of Collider that never reads is closed', async (t) => {
  const { closed } = await beside(t, async () => {
    const [deaf, other] = [await Unread.websocket(server, '/ws'), await Unread.websocket(server, '/ws', '\r\n\r\n', [], '127.0.0.3')];
    const register = (clientid) => JSON.stringify({ cmd: 'register', roomid: 'unread', clientid });
    deaf.say(register('deaf'));
    other.say(register('other'));
    const message = JSON.stringify({ cmd: 'send', msg: 'x'.repeat(200 * KIB) });
    await deaf.untilClosed(async () => {
      if (other.socket.writableLength < 1024 * KIB) other.say(message);
    });
  });
  assert.equal(closed, 1);
  await drained();
});

test('refusals of namespaces count with the names in them, and so do many small ones', async (t) => {
  const asks = { 'a few long names': [3, `40/${'x'.repeat(1000 * KIB)}`], 'many short ones': [5000, '40/x,'] };
  for (const [label, [count, text]] of Object.entries(asks)) {
    const { closed } = await beside(t, async () => {
      const sockets = await Promise.all(Array.from({ length: 5 }, () => Unread.socketIo(server)));
      await Promise.all(sockets.map((socket) => socket.untilClosed(() => socket.sayOften(text, count))));
    });
    assert.equal(closed, 5, label);
  }
  await drained();
});

test('of all who hold too much together those with most go, and the one with little stays', async (t) => {
  const session = async (name) => {
    const tv = await connect(server, { label: name });
    const { code } = await tv.ask('TV_INIT');
    const poll = `${server.url}/socket.io/?EIO=4&transport=polling`;
    const { sid } = JSON.parse((await (await fetch(poll)).text()).slice(1));
    const say = (packet) => fetch(`${poll}&sid=${sid}`, { method: 'POST', body: packet });
    const hear = async () => (await fetch(`${poll}&sid=${sid}`)).text();
    await say('40');
    await hear();
    await say(`42["JOIN_ROOM","${code}"]\x1e42["CLIENT_OFFER_TO_SERVER",{"type":"offer","sdp":"v=0"}]`);
    await tv.next('CLIENT_OFFER_TO_TV');
    return { hear, say, answer: async (sdp) => assert.equal((await tv.ask('TV_ANSWER_TO_SERVER', { type: 'answer', sdp })).ok, true) };
  };
  const small = await session('with little');
  const { closed } = await beside(t, async () => {
    await small.answer(`v=0 ${'y'.repeat(20 * KIB)}`);
    for (let at = 0; at < 30; at += 1) {
      const large = await session(`with much ${at}`);
      for (let i = 0; i < 6; i += 1) await large.answer(SDP);
      assert.ok((await metric(server, 'castway_waiting_bytes')) <= 32 * KIB * KIB);
    }
  });
  assert.ok(closed >= 8 && closed < 30, `${closed} were closed`);
  assert.match(await small.hear(), /y{20480}/);
});
