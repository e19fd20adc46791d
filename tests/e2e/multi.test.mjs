// Unmodified versions of RTCMultiConnection in Chromium, with old and new Socket.IO clients. Their media may use only our relay.
import assert from 'node:assert/strict';
import { describe } from 'node:test';
import { openSource, until } from './support/browser.mjs';
import { act, assertReceives, crash, kinds, launchWithDevices, openSession, peers, userid } from './support/multi.mjs';
import { BROWSER_TESTS_AT_A_TIME, browserTest } from './support/browser-test.mjs';

const CALL = { audio: true, video: true };
const BROADCAST = { audio: true, video: true, oneway: true };
const SCREEN = { screen: true, oneway: true };
const settings = { CASTWAY_MULTI_GRACE: '15' };
// The server keeps every place for the whole test, so a page that comes back doesn't depend on the end of the grace period.
const patient = { CASTWAY_MULTI_GRACE: '3600' };

const withDevices = (fixture) => fixture.reusable('with devices that it may use', launchWithDevices);

// Opens a page, which joins the room with a method of the library.
async function enter(browser, server, kind, session, method, options = {}) {
  const page = await openSession(browser, server, { ...kind, session, ...options });
  assert.deepEqual((await act(page, method, 'room')).slice(0, 2), [true, 'room']);
  return page;
}

// The code of the library's demo of scalable broadcasts; resolves to the role that the server gives to the page.
const takePart = (page) =>
  page.evaluate(() => new Promise((resolve) => {
    const { connection } = window;
    const receive = (yes) => (connection.sdpConstraints.mandatory = { OfferToReceiveAudio: yes, OfferToReceiveVideo: yes });
    Object.assign(connection, { enableScalableBroadcast: true, maxRelayLimitPerUser: 1, autoCloseEntireSession: true, extra: { broadcastId: 'show' } });
    connection.connectSocket((socket) => {
      socket.on('start-broadcasting', (types) => {
        receive(false);
        connection.session = types;
        connection.open(connection.userid, (opened) => resolve(opened && 'broadcaster'));
      });
      socket.on('join-broadcaster', (hints) => {
        receive(true);
        connection.session = hints.typeOfStreams;
        connection.broadcastId = hints.broadcastId;
        connection.join(hints.userid, (joined) => resolve(joined && 'viewer'));
      });
      socket.emit('check-broadcast-presence', 'show', (there) => {
        if (!there) connection.userid = 'show';
        socket.emit('join-broadcast', { broadcastId: 'show', userid: connection.userid, typeOfStreams: connection.session });
      });
    });
  }));

const isInitiator = (page) => page.evaluate(() => window.connection.isInitiator);
const away = (server, count) => until(`${count} are away`, () => server.metric('castway_multi_away_users'), (users) => users === count);

// Calls of three, and pages that crash, run with the newest library; `tests/run matrix` has them with all: the server can't tell them apart
// there.
const MATRIX = process.env.CASTWAY_TEST_MATRIX === 'true';
const isNewest = (kind) => kind === kinds.at(-1);
// How the host of each round enters.
const rounds = (...methods) => (MATRIX ? methods : methods.slice(0, 2)).entries();

describe('sessions of RTCMultiConnection', { concurrency: BROWSER_TESTS_AT_A_TIME }, () => {
  for (const kind of kinds) {
    const name = `library ${kind.library}, client ${kind.version}`;

    browserTest(`a ${kind.screen ? 'screen' : 'camera'}, one way, and a viewer who comes back (${name})`, settings, async (fixture, server) => {
      const session = kind.screen ? SCREEN : BROADCAST;
      const browser = () => (kind.screen ? fixture.browser() : withDevices(fixture));
      const [owning, viewing] = [await browser(), await browser()];
      await openSource(owning);
      const owner = await enter(owning, server, kind, session, 'open', { receives: false });
      const viewer = await enter(viewing, server, kind, session, 'join');
      await assertReceives(viewer, 1);

      // The connection breaks and comes back; the video, the room and its owner stay.
      await until('it is a WebSocket', () => owner.evaluate(() => window.connection.socket.io.engine.transport.name), (name) => name === 'websocket');
      await owner.evaluate(() => {
        window.reconnected = new Promise((resolve) => window.connection.socket.on('connect', resolve));
        window.connection.socket.io.engine.transport.ws.close();
      });
      await owner.evaluate(() => window.reconnected.then(() => {}));
      await assertReceives(viewer, 1);
      assert.deepEqual(await viewer.evaluate(() => window.left), []);
      const late = await enter(viewing, server, kind, session, 'join');
      await assertReceives(late, 1);
      assert.equal(Object.keys(await peers(owner)).length, 2);
      assert.equal(await isInitiator(owner), true);

      // The owner leaves: the viewers are notified, and the room is deleted.
      const id = await userid(owner);
      await owner.close({ runBeforeUnload: true });
      await until('the viewer is told', () => viewer.evaluate(() => window.left), (left) => left.includes(id));
      await until('the room is gone', () => late.evaluate(() => new Promise((resolve) => window.connection.checkPresence('room', resolve))), (there) => !there);
    });

    if (!MATRIX && !isNewest(kind)) continue;
    browserTest(`a call of three, behind a password, which outlives the one who opened it (${name})`, settings, async (fixture, server) => {
      const browser = await withDevices(fixture);
      const first = await enter(browser, server, kind, CALL, 'open', { before: () => (window.connection.password = 'secret') });
      const withPassword = { before: () => (window.connection.password = 'secret') };
      const stranger = await openSession(browser, server, { ...kind, session: CALL, before: () => (window.connection.password = 'guess') });
      assert.deepEqual(await act(stranger, 'join', 'room'), [false, 'room', 'Invalid password']);

      const second = await enter(browser, server, kind, CALL, 'join', withPassword);
      await assertReceives(first, 1);
      await assertReceives(second, 1);
      const third = await enter(browser, server, kind, CALL, 'join', withPassword);
      for (const page of [first, second, third]) await assertReceives(page, 2);

      const id = await userid(first);
      await first.close({ runBeforeUnload: true });
      await until('the second owns the room', () => isInitiator(second));
      for (const page of [second, third]) {
        await until('the first is gone', () => page.evaluate(() => window.left), (left) => left.includes(id));
        await assertReceives(page, 1);
      }
      assert.equal(await isInitiator(third), false);
    });

    browserTest(`a host and its guest whose pages crash (${name})`, patient, async (fixture, server) => {
      const browser = await withDevices(fixture);
      const before = () => (window.connection.autoCloseEntireSession = true);
      for (const [round, method] of rounds('open', 'openOrJoin', 'open')) {
        const host = await enter(browser, server, kind, CALL, method, { before });
        assert.equal(await isInitiator(host), true);
        const guest = await enter(browser, server, kind, CALL, 'openOrJoin');
        assert.equal(await isInitiator(guest), false);
        for (const page of [host, guest]) await assertReceives(page, 1);
        for (const page of [guest, host]) await crash(page);
        // All former guests and the last host are away; each host has taken the place of the one before.
        await away(server, round + 2);
      }
    });

    browserTest(`a broadcaster and its viewer whose pages crash (${name})`, patient, async (fixture, server) => {
      const browser = await withDevices(fixture);
      for (const [round, method] of rounds('openOrJoin', 'open', 'openOrJoin')) {
        const host = await enter(browser, server, kind, BROADCAST, method, { receives: false });
        const viewer = await enter(browser, server, kind, BROADCAST, 'join');
        await assertReceives(viewer, 1);
        for (const page of [viewer, host]) await crash(page);
        // All former guests and the last host are away; each host has taken the place of the one before.
        await away(server, round + 2);
      }
    });

    browserTest(`a scalable broadcast whose pages crash (${name})`, patient, async (fixture, server) => {
      const browser = await withDevices(fixture);
      for (let round = 0; round < 2; round += 1) {
        const host = await openSession(browser, server, { ...kind, session: BROADCAST, receives: false });
        assert.equal(await takePart(host), 'broadcaster');
        const viewer = await openSession(browser, server, { ...kind, session: BROADCAST });
        assert.equal(await takePart(viewer), 'viewer');
        await assertReceives(viewer, 1);
        for (const page of [viewer, host]) await crash(page);
        await away(server, round + 2);
      }
    });

    browserTest(`a guest that reconnects to the page of the host that crashed (${name})`, patient, async (fixture, server) => {
      const browser = await withDevices(fixture);
      const first = await enter(browser, server, kind, CALL, 'openOrJoin');
      const guest = await enter(browser, server, kind, CALL, 'openOrJoin');
      await assertReceives(guest, 1);
      const id = await userid(first);
      await guest.evaluate(() => {
        window.connection.socket.io.reconnection(false);
        window.connection.socket.io.engine.close();
        // Pages that want their host back do this.
        const { onleave } = window.connection;
        window.connection.onleave = (event) => {
          onleave(event);
          window.connection.join('room');
        };
      });
      await crash(first);
      await away(server, 2);
      const second = await enter(browser, server, kind, CALL, 'openOrJoin');
      assert.equal(await isInitiator(second), true);
      await guest.evaluate(() => window.connection.socket.connect());
      await until('the guest hears that the first host is gone', () => guest.evaluate(() => window.left), (left) => left.includes(id));
      for (const page of [second, guest]) await assertReceives(page, 1);
    });
  }
});
