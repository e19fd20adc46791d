// The unmodified RTCMultiConnection in Chromium, with old and new Socket.IO clients, its media over our relay alone.
import assert from 'node:assert/strict';
import { openSource, until } from './support/browser.mjs';
import { act, assertReceives, clients, launchWithDevices, openSession, peers, userid } from './support/multi.mjs';
import { scene } from './support/scene.mjs';

const CALL = { audio: true, video: true };
const SCREEN = { screen: true, oneway: true };
const settings = { CASTWAY_MULTI_GRACE: '15' };

async function withDevices(stage) {
  const browser = await launchWithDevices();
  stage.browsers.push(browser);
  return browser;
}

async function join(browser, server, version, session, options = {}) {
  const page = await openSession(browser, server, { version, session, ...options });
  const answer = await act(page, 'join', 'room');
  assert.deepEqual(answer.slice(0, 2), [true, 'room']);
  return page;
}

async function open(browser, server, version, session, options = {}) {
  const page = await openSession(browser, server, { version, session, ...options });
  assert.deepEqual(await act(page, 'open', 'room'), [true, 'room']);
  return page;
}

for (const version of Object.keys(clients)) {
  scene(`a screen, one way, and a viewer who comes back (client ${version})`, settings, async (stage, server) => {
    const [owning, viewing] = [await stage.browser(), await stage.browser()];
    await openSource(owning);
    const owner = await open(owning, server, version, SCREEN, { receives: false });
    const viewer = await join(viewing, server, version, SCREEN);
    await assertReceives(viewer, 1);

    // The connection breaks and comes back; the picture, the room and who owns it stay.
    await until('it is a WebSocket', () => owner.evaluate(() => window.connection.socket.io.engine.transport.name), (name) => name === 'websocket');
    await owner.evaluate(() => {
      window.reconnected = new Promise((resolve) => window.connection.socket.on('connect', resolve));
      window.connection.socket.io.engine.transport.ws.close();
    });
    await owner.evaluate(() => window.reconnected.then(() => {}));
    await assertReceives(viewer, 1);
    assert.deepEqual(await viewer.evaluate(() => window.left), []);
    const late = await join(viewing, server, version, SCREEN);
    await assertReceives(late, 1);
    assert.equal(Object.keys(await peers(owner)).length, 2);
    assert.equal(await owner.evaluate(() => window.connection.isInitiator), true);

    // The owner goes: the viewers are told, and the room is gone.
    const id = await userid(owner);
    await owner.close({ runBeforeUnload: true });
    await until('the viewer is told', () => viewer.evaluate(() => window.left), (left) => left.includes(id));
    await until('the room is gone', () => late.evaluate(() => new Promise((resolve) => window.connection.checkPresence('room', resolve))), (there) => !there);
  });

  scene(`a call of three, behind a password, which outlives the one who opened it (client ${version})`, settings, async (stage, server) => {
    const browser = await withDevices(stage);
    const first = await open(browser, server, version, CALL, { before: () => (window.connection.password = 'secret') });
    const withPassword = { before: () => (window.connection.password = 'secret') };
    const stranger = await openSession(browser, server, { version, session: CALL, before: () => (window.connection.password = 'guess') });
    assert.deepEqual(await act(stranger, 'join', 'room'), [false, 'room', 'Invalid password']);

    const second = await join(browser, server, version, CALL, withPassword);
    await assertReceives(first, 1);
    await assertReceives(second, 1);
    const third = await join(browser, server, version, CALL, withPassword);
    for (const page of [first, second, third]) await assertReceives(page, 2);

    const id = await userid(first);
    await first.close({ runBeforeUnload: true });
    await until('the second owns the room', () => second.evaluate(() => window.connection.isInitiator), Boolean);
    for (const page of [second, third]) {
      await until('the first is gone', () => page.evaluate(() => window.left), (left) => left.includes(id));
      await assertReceives(page, 1);
    }
    assert.equal(await third.evaluate(() => window.connection.isInitiator), false);
  });
}
