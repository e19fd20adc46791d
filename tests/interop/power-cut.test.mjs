// A hundred TVs behind one address, with the default settings: all come back after the server was killed, and after they lost power
// themselves. 30 s are promised. The test prints the time that it took, since the machine may be slow.
import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { closeAll, connect, versions } from './support/clients.mjs';
import { CODE } from './support/dialects.mjs';
import { tvPage } from './support/published.mjs';
import { withServer } from './support/server.mjs';
import { until } from './support/wait.mjs';

const TVS = 100;
const open = new Set();
afterEach(() => {
  for (const { socket } of open) socket.disconnect();
  open.clear();
  closeAll();
});

// The tests' settings allow more credentials than the default.
const DEFAULTS = { CASTWAY_CREDENTIALS_RATE: undefined };

// A front end of dialect A sends its request whenever it connects. `remembers`: it uses its resume token and an ack, as our own page does;
// old front ends use neither.
function dialectA(version, url, { remembers = false, storage = new Map() } = {}) {
  const socket = versions[version](url, { forceNew: true, transports: ['websocket'] });
  const tv = { socket, code: null, errors: [] };
  socket.on('connect', () => {
    if (!remembers) return socket.emit('TV_INIT');
    socket.emit('TV_INIT', { resumeToken: storage.get('token') ?? '' }, ({ ok, error }) => ok || tv.errors.push(error));
  });
  socket.on('TV_INIT_OK', (code) => (tv.code = code));
  socket.on('RESUME_TOKEN', ({ resumeToken }) => storage.set('token', resumeToken));
  return tv;
}

const KINDS = {
  'dialect A, old front ends, socket.io-client 2.5': { make: (url) => dialectA('2.5', url), keeps: false },
  'dialect A, old front ends, socket.io-client 4.8': { make: (url) => dialectA('4.8', url), keeps: false },
  'dialect A with resume tokens': { make: (url, storage) => dialectA('4.8', url, { remembers: true, storage }), keeps: true },
  'dialect B, the published page, socket.io-client 2.5': { make: (url, storage) => tvPage(versions['2.5'], url, storage), keeps: true },
  'dialect B, the published page, socket.io-client 4.8': { make: (url, storage) => tvPage(versions['4.8'], url, storage), keeps: true },
};

function start(server, { make }, count, storages = Array.from({ length: count }, () => new Map())) {
  return storages.map((storage) => {
    const tv = Object.assign(make(server.url, storage), { storage, errors: [], ends: [] });
    for (const name of ['CAST_ERROR', 'TV_COMMAND']) tv.socket.on(name, (error) => tv.errors.push(error));
    tv.socket.on('disconnect', (reason) => tv.ends.push(reason));
    open.add(tv);
    return tv;
  });
}

const allHaveCodes = (tvs) =>
  until('all have their codes', () => tvs.filter(({ code }) => code).length, (count) => count === tvs.length, { pause: 20 });

async function timed(t, what, work) {
  const begun = Date.now();
  await work();
  t.diagnostic(`${what}: ${((Date.now() - begun) / 1000).toFixed(1)} s`);
}

function check(tvs, before, keeps) {
  assert.equal(new Set(tvs.map(({ code }) => code)).size, tvs.length, 'no two have the same');
  for (const [place, tv] of tvs.entries()) {
    assert.match(tv.code, CODE);
    if (keeps) assert.equal(tv.code, before[place], 'the code is the same');
    assert.deepEqual(tv.errors, [], 'nobody hears an error');
    assert.ok(!tv.ends.includes('io server disconnect'), 'clients do not come back from that');
  }
}

async function killed(t, server, tvs, kinds) {
  const before = tvs.map(({ code }) => code);
  for (const tv of tvs) tv.code = null;
  await server.stop('SIGKILL');
  await server.start();
  await timed(t, `${tvs.length} TVs are back after the server was killed`, () => allHaveCodes(tvs));
  check(tvs, before, false);
  let place = 0;
  for (const { count, keeps } of kinds) {
    check(tvs.slice(place, place + count), before.slice(place, place + count), keeps);
    place += count;
  }
}

for (const [title, kind] of Object.entries(KINDS)) {
  test(title, (t) =>
    withServer(DEFAULTS, async (server) => {
      let tvs = start(server, kind, TVS);
      await timed(t, `${TVS} new TVs have a code`, () => allHaveCodes(tvs));
      check(tvs, [], false);
      await killed(t, server, tvs, [{ count: TVS, keeps: kind.keeps }]);
      // The TVs lose power: their old connections stay open silently, and the server still counts them as connected.
      const before = tvs.map(({ code }) => code);
      tvs = start(server, kind, TVS, tvs.map(({ storage }) => storage));
      await timed(t, `${TVS} TVs are back after they lost power`, () => allHaveCodes(tvs));
      check(tvs, before, kind.keeps);
    }));
}

test('dialect B: TVs that remember their code alone get it back where it is free', (t) =>
  withServer(DEFAULTS, async (server) => {
    const kind = { make: (url, storage) => tvPage(versions['2.5'], url, storage) };
    const tvs = start(server, kind, TVS);
    await allHaveCodes(tvs);
    for (const { storage } of tvs) storage.delete('Token');
    await killed(t, server, tvs, [{ count: TVS, keeps: true }]);
  }));

test('300 TVs of all kinds', (t) =>
  withServer(DEFAULTS, async (server) => {
    const kinds = Object.values(KINDS).map((kind) => ({ ...kind, count: 60 }));
    const tvs = kinds.flatMap((kind) => start(server, kind, kind.count));
    await timed(t, '300 new TVs have a code', () => allHaveCodes(tvs));
    await killed(t, server, tvs, kinds);
    const peer = await connect(server, { label: 'another client' });
    assert.equal((await peer.ask('TV_INIT')).ok, true);
  }));
