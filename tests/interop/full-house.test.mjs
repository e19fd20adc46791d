// The server has its maximum number of TVs: which TV waits, which one is evicted, and that a new TV gets a code.
import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { closeAll, connect, versions } from './support/clients.mjs';
import { CODE, dialects } from './support/dialects.mjs';
import { tvPage } from './support/published.mjs';
import { withServer } from './support/server.mjs';
import { until } from './support/wait.mjs';

const pages = [];
afterEach(() => {
  for (const page of pages.splice(0)) page.socket.disconnect();
  closeAll();
});

const nothingWrong = (peer) => assert.deepEqual([...peer.heard('CAST_ERROR'), ...peer.heard('TV_COMMAND')], [], peer.label);

// Connects TVs of strangers in sequence.
async function strangers(server, addresses, each) {
  const all = [];
  for (const from of addresses) {
    for (let i = 0; i < each; i += 1) all.push(await connect(server, { from, label: `stranger ${from} ${i}` }));
  }
  for (const peer of all) peer.emit('TV_INIT');
  return all;
}

const addresses = (count) => Array.from({ length: count }, (_, n) => `127.9.${n >> 8}.${1 + (n & 255)}`);

for (const version of ['2.5', '4.8']) {
  for (const dialect of ['A', 'B']) {
    test(`strangers have all places: a TV of dialect ${dialect}, socket.io-client ${version}, gets one of theirs`, () =>
      withServer({ CASTWAY_MAX_ROOMS: '20' }, async (server) => {
        const all = await strangers(server, addresses(5), 4);
        await until('all places are taken', () => all.filter((peer) => peer.heard('TV_INIT_OK').length).length, (count) => count >= 20);
        assert.equal(await server.metric('castway_tvs'), 20);
        const tv = await connect(server, { version, from: '127.0.0.5', namespace: dialect === 'A' ? '/' : '/rtc', label: 'TV' });
        const { code } = await dialects[dialect].register(tv, false);
        nothingWrong(tv);
        await until('one hears that it made way', () => all.filter((peer) => peer.heard('CAST_ERROR').length).length, (count) => count === 1);
        const gone = all.find((peer) => peer.heard('CAST_ERROR').length);
        const { event, error } = gone.heard('CAST_ERROR')[0];
        assert.equal(event, 'TV_INIT');
        assert.equal(error.code, 'evicted');
        assert.equal(typeof error.message, 'string');
        assert.ok(gone.socket.connected, 'it may wait');
        const caster = await connect(server, { from: '127.0.0.6', label: 'caster' });
        assert.equal((await caster.ask('JOIN_ROOM', gone.heard('TV_INIT_OK')[0])).error.code, 'unknown_code');
        assert.equal((await caster.ask('JOIN_ROOM', code)).ok, true);
        assert.equal(await server.metric('castway_tvs'), 20);
        // Strangers can't take its place: neither by leaving and coming back nor by connecting more TVs.
        const more = await strangers(server, addresses(20).slice(5), 1);
        for (const peer of all.slice(0, 6)) peer.drop();
        await until('they are served', () => more.filter((peer) => peer.heard('TV_INIT_OK').length).length, (count) => count >= 5);
        assert.equal((await caster.ask('JOIN_ROOM', code)).ok, true);
        nothingWrong(tv);
      }));
  }

  test(`a full house: the published TV page, socket.io-client ${version}, waits without an error and has its code once there is a place`, () =>
    withServer({ CASTWAY_MAX_ROOMS: '1' }, async (server) => {
      const first = await connect(server, { version, label: 'the first TV' });
      await dialects.A.register(first, false);
      const page = tvPage(versions[version], server.url);
      pages.push(page);
      const told = new Promise((resolve) => page.socket.once('TV_WAITING', resolve));
      const { code, message } = await told;
      assert.equal(code, 'server_full');
      assert.match(message, /as many TVs as it may have, 1/);
      first.leave();
      await until('the page has its code', () => page.code);
      assert.match(page.code, CODE);
      assert.deepEqual([page.heard('TV_COMMAND'), page.heard('TV_INFO_FEEDBACK')], [0, 1]);
    }));
}

test('what is asked while it waits is answered once there is a place: acks, and each event once', () =>
  withServer({ CASTWAY_MAX_ROOMS: '1' }, async (server) => {
    const first = await connect(server, { label: 'the first TV' });
    await dialects.A.register(first, true);
    const tv = await connect(server, { label: 'TV' });
    const asked = Promise.all([tv.ask('TV_REGISTER'), tv.ask('TV_GETINFO', {})]);
    await until('it is known to wait', () => server.metric('castway_waiting_tvs'), (count) => count === 1);
    // This client disconnects immediately with a goodbye; the server forgets a waiting client that has gone.
    const other = await connect(server, { label: 'another TV' });
    other.emit('TV_INIT');
    await until('both wait', () => server.metric('castway_waiting_tvs'), (count) => count === 2);
    other.drop();
    await until('one waits', () => server.metric('castway_waiting_tvs'), (count) => count === 1);
    first.leave();
    const [registered, info] = await asked;
    assert.deepEqual([registered.ok, info.ok], [true, true]);
    assert.equal(registered.code, info.code);
    assert.deepEqual([tv.heard('TV_REGISTER_SUCCESS').length, tv.heard('TV_INFO_FEEDBACK').length], [1, 1]);
    assert.equal(await server.metric('castway_waiting_tvs'), 0);
  }));

test('one that made way has its code again once there is a place, and its caster hears what happened', () =>
  withServer({ CASTWAY_MAX_ROOMS: '2' }, async (server) => {
    const [stay, goes] = [await connect(server, { from: '127.0.0.7', label: 'first' }), await connect(server, { from: '127.0.0.7', label: 'second' })];
    await dialects.A.register(stay, true);
    const { code } = await dialects.A.register(goes, true);
    const caster = await connect(server, { label: 'caster' });
    await dialects.A.join(caster, true, code);
    const others = [];
    for (const from of ['127.0.0.8']) {
      const tv = await connect(server, { from, label: `TV ${from}` });
      others.push({ tv, ...(await dialects.A.register(tv, true)) });
    }
    // The newer TV is in a cast, so the other one is evicted.
    assert.equal((await stay.next('CAST_ERROR')).error.code, 'evicted');
    assert.equal(goes.heard('CAST_ERROR').length, 0);
    others[0].tv.leave();
    const again = await until('it has a code', () => stay.heard('TV_INIT_OK')[1]);
    assert.equal(again, stay.heard('TV_INIT_OK')[0]);
  }));

test('more TVs at once than get a code in a second: nobody is refused, and other addresses do not wait for them', () =>
  withServer({}, async (server) => {
    const crowd = await connect(server, { from: '127.0.0.9', label: 'crowd' });
    for (let i = 0; i < 1500; i += 1) {
      crowd.emit('TV_INIT');
      if (i < 1499) crowd.emit('LEAVE_ROOM');
    }
    const tv = await connect(server, { from: '127.0.0.10', label: 'TV' });
    await dialects.A.register(tv, true);
    await until('the last one has its code', () => crowd.heard('TV_INIT_OK').length > 0 && server.metric('castway_tvs'), (count) => count === 2);
    nothingWrong(crowd);
    nothingWrong(tv);
  }));

test('a storm of joins with a proof ends, and the TV hears little of it', () =>
  withServer({}, async (server) => {
    const tv = await connect(server, { label: 'TV' });
    const { code } = await dialects.A.register(tv, true);
    const two = [await connect(server, { label: 'one' }), await connect(server, { label: 'two' })];
    const { resumeToken } = await two[0].ask('JOIN_ROOM', code);
    const answers = [];
    for (let i = 0; i < 200; i += 1) answers.push(two[i % 2].ask('JOIN_ROOM', code, { resumeToken }));
    const refused = (await Promise.all(answers)).filter(({ ok }) => !ok);
    assert.ok(refused.length > 100, `${refused.length} are refused`);
    for (const { error } of refused) assert.deepEqual([error.code, error.retryAfter], ['rate_limited', 1]);
  }));
