// Codes, leaving, grace periods and resuming.
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import { closeAll, connect, transports, versions } from './support/clients.mjs';
import { assertIceServers, CODE, dialects, exchange, pair, sdp } from './support/dialects.mjs';
import { startServer } from './support/server.mjs';

// Keeps a seat for longer than any test takes.
let server;
// Keeps a seat for as long as a busy machine may pause.
let brief;
// The shortest grace period: no client comes back in time.
const SHORTEST_GRACE_S = 1;
let hasty;
before(async () => {
  const withGrace = (seconds) => startServer({ CASTWAY_GRACE: String(seconds), CASTWAY_WRONG_CODES: '1000' });
  [server, brief, hasty] = [await withGrace(3600), await withGrace(10), await withGrace(SHORTEST_GRACE_S)];
});
after(async () => {
  for (const each of [server, brief, hasty]) await each?.close();
});
afterEach(closeAll);

describe('codes', () => {
  test('are unique, of six characters without look-alikes', async () => {
    const codes = new Set();
    for (let i = 0; i < 20; i += 1) codes.add((await dialects.A.register(await connect(server), false)).code);
    assert.equal(codes.size, 20);
  });

  test('match without regard to case, spaces and dashes', async () => {
    const tv = await connect(server);
    const { code } = await dialects.A.register(tv, false);
    const typed = ` ${code.slice(0, 3).toLowerCase()}-${code.slice(3)} `;
    const caster = await connect(server);
    const answer = await caster.ask('JOIN_ROOM', typed);
    assert.equal(answer.ok, true, JSON.stringify(answer));
    assert.equal(answer.code, code);
    const second = await connect(server, { namespace: '/rtc' });
    second.emit('CONNECT_TO_TV', { username: 'x', projCode: typed });
    await second.nextArgs('CONNECT_TO_TV_SUCCESS');
  });

  test('come as {code} too', async () => {
    const { code } = await dialects.A.register(await connect(server), false);
    const caster = await connect(server);
    const answer = await caster.ask('JOIN_ROOM', { code, username: 'Ada' });
    assert.equal(answer.ok, true);
  });

  test('a second TV_INIT on the same socket keeps the code', async () => {
    const tv = await connect(server);
    const first = await tv.ask('TV_INIT');
    const second = await tv.ask('TV_INIT');
    assert.equal(second.code, first.code);
  });

  test('are digits only by setting', async () => {
    const digits = await startServer({ CASTWAY_CODE_ALPHABET: 'digits' });
    try {
      const tv = await connect(digits);
      assert.match((await tv.ask('TV_INIT')).code, /^\d{6}$/);
      assert.deepEqual((await (await fetch(`${digits.url}/api/info`)).json()).code.alphabet, '0123456789');
    } finally {
      closeAll();
      await digits.close();
    }
  });
});

test('a foreign authentication token with TV_INIT is ignored', async () => {
  const { code } = await dialects.A.register(await connect(server), true, 'eyJhbGciOiJIUzI1NiJ9.e30.c2lnbmF0dXJl');
  assert.match(code, CODE);
});

test('CONFIG brings fresh credentials with and without a username', async () => {
  const peer = await connect(server, { namespace: '/rtc' });
  for (const args of [[{ username: 'Ada' }], [{}], []]) {
    peer.emit('CONFIG', ...args);
    const { config } = await peer.next('CONFIG_FEEDBACK');
    assertIceServers(config);
    assert.equal(config.iceCandidatePoolSize, 2);
  }
});

test('credentials come again before they run out', async () => {
  const ttl = 24;
  const server = await startServer({ CASTWAY_TTL: String(ttl) });
  try {
    const tv = await connect(server);
    await tv.ask('TV_INIT');
    const first = await tv.next('CONFIG_FEEDBACK');
    const second = await tv.next('CONFIG_FEEDBACK');
    const expiry = ({ config }) => Number(config.iceServers.find(({ username }) => username).username.split(':')[0]);
    assert.ok(expiry(second) > expiry(first));
    assert.ok(expiry(second) - ttl <= expiry(first), 'the new ones were made while the old ones were valid');
  } finally {
    closeAll();
    await server.close();
  }
});

describe('leaving', () => {
  for (const [tvDialect, casterDialect] of ['AA', 'BB', 'AB', 'BA']) {
    test(`a TV (${tvDialect}) that says goodbye ends the room for its caster (${casterDialect})`, async () => {
      const tv = await connect(server, { namespace: '/rtc', label: 'TV' });
      const caster = await connect(server, { label: 'caster' });
      const { code } = await pair(tv, tvDialect, caster, casterDialect);
      tv.leave();
      await dialects[casterDialect].hearTvGone(caster, 'left');
      const late = await caster.ask('JOIN_ROOM', code);
      assert.equal(late.error?.code, 'unknown_code', 'the room is gone');
    });

    test(`a caster (${casterDialect}) that drops is gone for the TV (${tvDialect}) after the grace period`, async () => {
      const tv = await connect(hasty, { namespace: '/rtc', label: 'TV' });
      const caster = await connect(hasty, { label: 'caster' });
      await pair(tv, tvDialect, caster, casterDialect, { username: 'Ada' });
      const dropped = Date.now();
      caster.drop();
      if (tvDialect === 'A') await tv.nextArgs('CASTER_AWAY');
      await dialects[tvDialect].hearCasterGone(tv, 'Ada', 'lost');
      assert.ok(Date.now() - dropped >= SHORTEST_GRACE_S * 1000 - 100, 'not before the grace period');
    });

    test(`a TV (${tvDialect}) that drops is gone for the caster (${casterDialect}) after the grace period`, async () => {
      const tv = await connect(hasty, { namespace: '/rtc', label: 'TV' });
      const caster = await connect(hasty, { label: 'caster' });
      await pair(tv, tvDialect, caster, casterDialect);
      const dropped = Date.now();
      tv.drop();
      if (casterDialect === 'A') await caster.nextArgs('TV_AWAY');
      await dialects[casterDialect].hearTvGone(caster, 'lost');
      assert.ok(Date.now() - dropped >= SHORTEST_GRACE_S * 1000 - 100, 'not before the grace period');
    });
  }

  test('LEAVE_ROOM leaves the socket connected and free for another room', async () => {
    const tv = await connect(server);
    const caster = await connect(server);
    const { code } = await pair(tv, 'A', caster, 'A', { username: 'Ada' });
    assert.equal((await caster.ask('LEAVE_ROOM')).ok, true);
    await dialects.A.hearCasterGone(tv, 'Ada', 'left');
    await dialects.A.join(caster, true, code, 'Ada');
    await tv.next('CASTER_JOINED');
    assert.equal((await tv.ask('LEAVE_ROOM')).ok, true);
    await dialects.A.hearTvGone(caster, 'left');
    assert.equal((await caster.ask('LEAVE_ROOM')).error?.code, 'not_in_room');
  });

  test('a caster that starts to cast to a second TV leaves the first one', async () => {
    const [tv, other, caster] = [await connect(server), await connect(server), await connect(server)];
    await pair(tv, 'A', caster, 'A');
    await pair(other, 'A', caster, 'A');
    await dialects.A.hearCasterGone(tv, null, 'left');
    await exchange(other, 'A', caster, 'A');
  });
});

describe('resume', () => {
  const resume = async (peer, ...args) => {
    const answer = await peer.ask('TV_INIT', ...args);
    assert.equal(answer.ok, true, JSON.stringify(answer));
    assert.equal(await peer.next('TV_INIT_OK'), answer.code);
    return answer;
  };

  // The TV of another pair is dropped now and loses its seat, so a client that was dropped earlier would have lost its seat as well.
  const graceGoesBy = async () => {
    const [tv, caster] = [await connect(brief), await connect(brief)];
    await pair(tv, 'A', caster, 'A');
    tv.drop();
    await dialects.A.hearTvGone(caster, 'lost');
  };

  for (const version of Object.keys(versions)) {
    for (const transport of Object.keys(transports)) {
      test(`a TV that dropped gets its code back by token: ${version} ${transport}`, async () => {
        const tv = await connect(server, { version, transport });
        const caster = await connect(server);
        const { code, tvToken } = await pair(tv, 'A', caster, 'A');
        await exchange(tv, 'A', caster, 'A', { mark: 1 });
        tv.drop();
        await caster.nextArgs('TV_AWAY');
        const back = await connect(server, { version, transport });
        const answer = await resume(back, { resumeToken: tvToken, code });
        assert.equal(answer.code, code);
        assert.equal(answer.resumed, true);
        assert.equal(typeof (await caster.next('TV_BACK')).reloaded, 'boolean');
        await exchange(back, 'A', caster, 'A', { mark: 2 });
        assert.deepEqual(caster.heard('TV_LEFT'), []);
      });
    }
  }

  test('the bare token works too, and the grace period of the dropped socket is forgotten', async () => {
    const tv = await connect(brief);
    const caster = await connect(brief);
    const { code, tvToken } = await pair(tv, 'A', caster, 'A');
    tv.drop();
    await caster.nextArgs('TV_AWAY');
    const back = await connect(brief);
    assert.equal((await resume(back, tvToken)).code, code);
    await graceGoesBy();
    await caster.settle();
    assert.deepEqual(caster.heard('TV_LEFT'), []);
    await exchange(back, 'A', caster, 'A');
  });

  test('the token replaces a socket that still hangs about', async () => {
    const stale = await connect(server, { label: 'stale TV' });
    const caster = await connect(server);
    const { code, tvToken } = await pair(stale, 'A', caster, 'A');
    const back = await connect(server, { label: 'TV again' });
    assert.equal((await resume(back, { resumeToken: tvToken, code })).code, code);
    await stale.nextArgs('CAST_REPLACED');
    assert.equal((await stale.ask('TV_ANSWER_TO_SERVER', sdp('answer', 1))).error?.code, 'not_in_room');
    stale.leave();
    await caster.next('TV_BACK');
    await exchange(back, 'A', caster, 'A');
  });

  test('the code alone, a wrong token, a caster token and a token of another TV take nothing over', async () => {
    const tv = await connect(server, { label: 'TV' });
    const caster = await connect(server, { label: 'caster' });
    const { code, tvToken, casterToken } = await pair(tv, 'A', caster, 'A');
    const other = await dialects.A.register(await connect(server), false);
    const forged = `${tvToken.slice(0, -4)}${tvToken.slice(-4) === 'AAAA' ? 'BBBB' : 'AAAA'}`;
    for (const resumeToken of [undefined, '', 'nonsense', forged, casterToken, tvToken.slice(0, 20), 17, null, {}]) {
      const thief = await connect(server, { label: `thief with ${resumeToken}` });
      const answer = await thief.ask('TV_INIT', { resumeToken, code });
      assert.notEqual(answer.code, code, thief.label);
      assert.notEqual(answer.resumed, true);
    }
    const mixed = await connect(server);
    assert.notEqual((await mixed.ask('TV_INIT', { resumeToken: other.token, code })).code, code);
    await exchange(tv, 'A', caster, 'A');
    assert.deepEqual(tv.heard('CAST_REPLACED'), []);

    tv.drop();
    await caster.nextArgs('TV_AWAY');
    const thief = await connect(server);
    assert.notEqual((await thief.ask('TV_INIT', { code })).code, code, 'nor while the TV is away');
    const back = await connect(server);
    assert.equal((await resume(back, { resumeToken: tvToken, code })).code, code);
  });

  test('a B TV keeps its code by the token it was given, and nobody gets it by the code alone', async () => {
    const tv = await connect(server, { namespace: '/rtc', label: 'TV' });
    const caster = await connect(server, { namespace: '/rtc', label: 'caster' });
    const { code, tvToken: token } = await pair(tv, 'B', caster, 'B', { username: 'Ada' });
    const thief = await connect(server, { namespace: '/rtc', label: 'thief' });
    assert.notEqual((await dialects.B.register(thief, false, { code, token: '' })).code, code);
    tv.drop();
    await thief.settle();
    const second = await connect(server, { namespace: '/rtc', label: 'second thief' });
    assert.notEqual((await dialects.B.register(second, false, { code, token: 'not a token' }).catch(() => ({}))).code, code);
    const back = await connect(server, { namespace: '/rtc', label: 'TV again' });
    assert.equal((await dialects.B.register(back, false, { code, token })).code, code);
    await exchange(back, 'B', caster, 'B');
    assert.deepEqual(caster.heard('TV_OFFLINE'), []);
  });

  test('a B TV keeps its code across a clean reload while it is free', async () => {
    const tv = await connect(server, { namespace: '/rtc' });
    const { code, token } = await dialects.B.register(tv, false);
    tv.leave();
    const back = await connect(server, { namespace: '/rtc' });
    assert.equal((await dialects.B.register(back, false, { code, token })).code, code);
  });

  test('a caster that dropped is taken back by its token, and the TV is told', async () => {
    const tv = await connect(brief);
    const caster = await connect(brief);
    const { code, casterToken } = await pair(tv, 'A', caster, 'A', { username: 'Ada' });
    caster.drop();
    await tv.nextArgs('CASTER_AWAY');
    const back = await connect(brief);
    const answer = await back.ask('JOIN_ROOM', code, { resumeToken: casterToken, username: 'Ada' });
    assert.equal(answer.ok, true, JSON.stringify(answer));
    assert.equal(answer.resumed, true);
    const joined = await tv.next('CASTER_JOINED');
    assert.equal(joined.resumed, true);
    await exchange(tv, 'A', back, 'A');
    await graceGoesBy();
    await tv.settle();
    assert.deepEqual(tv.heard('CASTER_LEFT'), []);
  });

  test('after the grace period the token still gives the free code, as a new room', async () => {
    const tv = await connect(hasty);
    const caster = await connect(hasty);
    const { code, tvToken: token } = await pair(tv, 'A', caster, 'A');
    tv.drop();
    await dialects.A.hearTvGone(caster, 'lost');
    assert.equal((await caster.ask('JOIN_ROOM', code)).error?.code, 'unknown_code');
    const back = await connect(hasty);
    assert.equal((await resume(back, { resumeToken: token, code })).code, code);
    await dialects.A.join(caster, true, code);
  });
});
