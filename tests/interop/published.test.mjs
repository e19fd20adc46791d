// The published front ends of dialect B, which act on every event that they receive: no unrequested event may arrive.
import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { closeAll, connect, versions } from './support/clients.mjs';
import { assertIceServers, candidate, CODE, dialects, sdp } from './support/dialects.mjs';
import { casterApp, tvPage } from './support/published.mjs';
import { withServer } from './support/server.mjs';
import { verify } from './support/turn.mjs';
import { until, within } from './support/wait.mjs';

// In seconds: credentials expire during a test.
const CREDENTIALS_LIFE_S = 5;

const sockets = [];
const open = (app) => {
  sockets.push(app.socket);
  return app;
};
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.disconnect();
  closeAll();
});

const expiry = ({ iceServers }) => Number(iceServers.find(({ username }) => username).username.split(':')[0]);
const turn = ({ iceServers }) => iceServers.find(({ urls }) => urls.includes('transport=udp'));
const allocates = (server, config) => {
  const { username, credential } = turn(config);
  return verify({ port: server.turnPort, username, password: credential });
};

// The server sends to a client in order, so when this answer arrives, all earlier events have arrived.
async function settled(app) {
  await new Promise((resolve) => app.socket.emit('LEAVE_ROOM_OF_NOBODY', {}, resolve));
}

test('a TV for which there is no place waits; one that is refused for good is disconnected', () =>
  withServer({ CASTWAY_MAX_ROOMS: '1', CASTWAY_CREDENTIALS_RATE: '2' }, async (server) => {
    const io = versions['4.8'];
    const first = open(tvPage(io, server.url));
    await until('the first TV has its code', () => first.code);
    const page = open(tvPage(io, server.url));
    await until('it has asked', () => page.said('TV_GETINFO'));
    await settled(page);
    assert.ok(page.socket.connected);
    assert.deepEqual([page.heard('TV_COMMAND'), page.heard('TV_INFO_FEEDBACK')], [0, 0]);
    const broken = open(tvPage(io, server.url));
    await until('a TV is connected', () => broken.said('VERIFY_FEEDBACK'));
    const gone = new Promise((resolve) => broken.socket.once('disconnect', resolve));
    broken.socket.emit('TV_GETINFO', 'nonsense');
    assert.equal(await within(gone, 'disconnect'), 'io server disconnect');
  }));

for (const version of ['2.5', '4.8']) {
  const io = versions[version];

  test(`the published caster and TV, socket.io-client ${version}: one join, and nothing unasked until the cast ends`, () =>
    withServer({ CASTWAY_TTL: String(CREDENTIALS_LIFE_S) }, async (server) => {
      const tv = open(tvPage(io, server.url));
      await until('the TV has its code', () => tv.code);
      assert.match(tv.code, CODE);
      assertIceServers(tv.config);
      const caster = open(casterApp(io, server.url, tv.code.toLowerCase()));
      await until('the caster chooses its screen', () => caster.step, (step) => step === 2);
      assertIceServers(caster.config);
      assert.equal(caster.config.iceCandidatePoolSize, 2);
      // The user takes longer to choose a window than the credentials last.
      await until('the credentials have run out', () => Date.now() / 1000 - expiry(caster.config), (late) => late > 1);
      assert.equal(caster.step, 2);
      caster.project(1);
      await until('the answer', () => caster.answers.length);
      await until('the candidates', () => caster.candidates.length && tv.candidates.length);
      assert.deepEqual(tv.offers, [sdp('offer', 1)]);
      assert.deepEqual(caster.answers, [sdp('answer', 1)]);
      assert.deepEqual([caster.candidates, tv.candidates], [[candidate(1001)], [candidate(1)]]);
      const other = await connect(server, { label: 'a TV of dialect A' });
      await dialects.A.register(other, true);
      assert.equal((await server.cli(['secret', 'rotate'])).code, 0);
      // This TV receives two: one because of the new secret, and one because the old credentials expire.
      await other.next('CONFIG_FEEDBACK');
      await other.next('CONFIG_FEEDBACK');
      await settled(caster);
      await settled(tv);
      assert.equal(caster.said('CONNECT_TO_TV'), 1, 'one join');
      assert.equal(caster.heard('CONFIG_FEEDBACK'), 1, 'ICE servers once, as they were asked for');
      assert.equal(caster.step, 3, 'not back at the choice of a screen');
      assert.deepEqual([tv.heard('CONFIG_FEEDBACK'), tv.heard('TV_INFO_FEEDBACK'), tv.heard('NEW_CLIENT_JOIN')], [0, 1, 1]);
      for (const app of [tv, caster]) {
        assert.ok(expiry(app.config) < Date.now() / 1000);
        assert.equal(await allocates(server, app.config), 'allocated', 'what it was given outlives the cast');
      }
      const ended = caster.config;
      caster.socket.disconnect();
      // They may end between an Allocate and the Refresh that ends the allocation.
      await until('the credentials end with the connection', () => allocates(server, ended).catch(String), (result) => result === 401);
    }));

  test(`a caster that joins again and again, socket.io-client ${version}: it succeeds, and the TV hears of it once`, () =>
    withServer({ CASTWAY_TTL: String(CREDENTIALS_LIFE_S) }, async (server) => {
      const tv = open(tvPage(io, server.url));
      await until('the TV has its code', () => tv.code);
      const caster = open(casterApp(io, server.url, tv.code));
      await until('the caster has joined', () => caster.heard('CONNECT_TO_TV_SUCCESS'));
      caster.project(7);
      await until('the answer', () => caster.answers.length);
      for (let i = 0; i < 20; i += 1) caster.socket.emit('CONNECT_TO_TV', { username: 'lgy', projCode: tv.code });
      await until('each is answered', () => caster.heard('CONNECT_TO_TV_SUCCESS'), (heard) => heard === 21);
      // In another second, new credentials would differ. A join issues none, and the caster's credentials stay valid.
      for (let i = 0; i < 5; i += 1) {
        const second = Math.floor(Date.now() / 1000);
        await until('the next second', () => Math.floor(Date.now() / 1000) > second);
        caster.socket.emit('CONNECT_TO_TV', { username: 'lgy', projCode: tv.code });
        await until('it is answered', () => caster.heard('CONNECT_TO_TV_SUCCESS'), (heard) => heard === 22 + i);
      }
      await until('the credentials have run out', () => Date.now() / 1000 - expiry(caster.config), (late) => late > 1);
      assert.equal(await allocates(server, caster.config), 'allocated');
      await settled(tv);
      assert.deepEqual(tv.joined, ['lgy']);
      caster.project(8);
      await until('the cast goes on', () => tv.offers.length === 2 && caster.answers.length >= 2);
      assert.deepEqual(caster.failures, []);
    }));

  test(`the published caster at a TV of dialect A, socket.io-client ${version}`, () =>
    withServer({}, async (server) => {
      const tv = await connect(server, { version });
      const { code } = await dialects.A.register(tv, false);
      const caster = open(casterApp(io, server.url, code));
      await dialects.A.hearJoin(tv, 'lgy');
      await until('the caster chooses its screen', () => caster.step, (step) => step === 2);
      caster.project(3);
      assert.deepEqual(await dialects.A.hearOffer(tv), sdp('offer', 3));
      await dialects.A.sendAnswer(tv, false, sdp('answer', 3));
      await until('the answer', () => caster.answers.length);
      assert.deepEqual(caster.answers, [sdp('answer', 3)]);
      assert.deepEqual([caster.said('CONNECT_TO_TV'), caster.heard('CONFIG_FEEDBACK')], [1, 1]);
    }));

  test(`the published TV and a caster of dialect A, socket.io-client ${version}; a reload shows the same code`, () =>
    withServer({}, async (server) => {
      const storage = new Map();
      const tv = open(tvPage(io, server.url, storage));
      await until('the TV has its code', () => tv.code);
      const caster = await connect(server, { version });
      await dialects.A.join(caster, false, tv.code);
      await dialects.A.sendOffer(caster, false, sdp('offer', 5));
      assert.deepEqual(await dialects.A.hearAnswer(caster), sdp('answer', 1));
      assert.deepEqual([tv.heard('CONFIG_FEEDBACK'), tv.heard('NEW_CLIENT_JOIN')], [0, 1]);
      tv.socket.disconnect();
      const again = open(tvPage(io, server.url, storage));
      await until('the TV has its code again', () => again.code);
      assert.equal(again.code, tv.code);
    }));
}
