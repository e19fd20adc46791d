// Only signed-in users may cast (CASTWAY_CAST_ACCESS=users): what proves a caster in every client, and what does not.
import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { accepted, refused } from './support/answers.mjs';
import { Channel } from './support/apprtc.mjs';
import { closeAll, connect, versions } from './support/clients.mjs';
import { dialects, exchange } from './support/dialects.mjs';
import { end, rows } from './support/operator.mjs';
import { withServer } from './support/server.mjs';
import { until } from './support/wait.mjs';

afterEach(closeAll);

const USERS = { CASTWAY_CAST_ACCESS: 'users' };
const alice = { name: 'alice', password: 'alice-password-1' };

// `from`: an Origin, as a page of another site has it.
async function signIn(server, user, from) {
  const headers = { 'Content-Type': 'application/json', ...(from && { Origin: from }) };
  const response = await fetch(`${server.url}/api/sign-in`, { method: 'POST', headers, body: JSON.stringify(user) });
  return { status: response.status, headers: response.headers, body: await response.json() };
}

async function withAlice(settings, body) {
  await withServer({ ...USERS, ...settings }, async (server) => {
    await server.addUser('alice');
    await body(server);
  });
}

test('a password or a token proves a caster, in the handshake or in the event, for all clients', () =>
  withAlice({ CASTWAY_CREDENTIALS_RATE: '10000' }, async (server) => {
    const { status, body, headers } = await signIn(server, alice, 'https://other.example');
    assert.equal(status, 200);
    assert.equal(headers.get('access-control-allow-origin'), 'https://other.example');
    assert.equal(headers.get('cache-control'), 'no-store');
    assert.equal(headers.get('set-cookie'), null);
    assert.equal(body.name, 'alice');
    assert.ok(body.token.length < 1024 && !body.token.includes(alice.password));
    const left = body.expires - Date.now() / 1000;
    assert.ok(left > 86_000 && left < 86_410, `${left} s`);
    const { token } = body;

    for (const version of Object.keys(versions)) {
      for (const namespace of ['/', '/rtc']) {
        for (const dialect of ['A', 'B']) {
          const label = `${dialect} ${version} ${namespace}`;
          const tv = await connect(server, { version, namespace, label: `TV ${label}` });
          const { code } = await dialects[dialect].register(tv, false);
          // Clients of socket.io 2 send no auth in their handshake.
          const ways = [{ event: alice }, { event: { token } }, ...(version === '2.5' ? [] : [{ handshake: alice }, { handshake: { token } }])];
          for (const { event, handshake } of ways) {
            const caster = await connect(server, { version, namespace, label: `caster ${label}`, auth: handshake });
            const auth = event && { auth: event };
            const answer =
              dialect === 'A' ? await caster.ask('JOIN_ROOM', code, ...(auth ? [auth] : [])) : await caster.ask('CONNECT_TO_TV', { projCode: code, ...auth });
            accepted(answer);
            await dialects[dialect].hearJoin(tv, 'alice');
            await exchange(tv, dialect, caster, dialect);
            caster.leave();
            await dialects[dialect].hearCasterGone(tv, 'alice', 'left');
          }
          tv.leave();
        }
      }
    }
    assert.ok(!server.log.includes(alice.password) && !server.log.includes(token), 'no secret is logged');
  }));

test('a name, a cookie, a query and a wrong token prove nothing, and wrong passwords are throttled', () =>
  withAlice({ CASTWAY_CREDENTIALS_RATE: '10000' }, async (server) => {
    const { token } = (await signIn(server, alice)).body;
    const tv = await connect(server, { label: 'TV' });
    const { code } = accepted(await tv.ask('TV_INIT'));
    const nothing = { query: { token, name: alice.name, password: alice.password }, extraHeaders: { Cookie: `token=${token}`, Authorization: `Bearer ${token}` } };
    const caster = await connect(server, { label: 'caster', ...nothing });
    for (const shown of [{}, { username: 'alice' }, { auth: { name: 'alice' } }, { auth: { token: `${token}A` } }, { auth: token }, { token }, { password: alice.password, name: 'alice' }]) {
      refused(await caster.ask('JOIN_ROOM', code, shown), 'sign_in_required');
      refused(await caster.ask('JOIN_ROOM', 'AAAAAA', shown), 'sign_in_required');
    }
    caster.emit('CONNECT_TO_TV', { username: 'alice', projCode: code });
    const failed = await caster.next('CONNECT_TO_TV_FAILED');
    assert.deepEqual([failed.code, failed.msg], ['sign_in_required', '请先登录']);
    refused(await caster.ask('CLIENT_OFFER_TO_SERVER', { type: 'offer', sdp: 'v=0' }), 'not_in_room');
    assert.equal(accepted(await caster.ask('CHECK_CODE', code)).signIn, true);
    assert.equal(accepted(await caster.ask('CHECK_CODE', code, { auth: { token } })).signIn, undefined);
    assert.deepEqual(tv.heard('CASTER_JOINED'), []);

    const wrong = { auth: { name: 'alice', password: 'wrong' } };
    const codes = [];
    await until('the throttle', async () => {
      codes.push((await caster.ask('JOIN_ROOM', code, wrong)).error.code);
      return codes.at(-1) === 'too_many_attempts';
    }, Boolean, { pause: 0 });
    assert.ok(codes.length > 10 && codes.length < 30 && codes.slice(0, -1).every((one) => one === 'wrong_password'), String(codes));
    // The API and the gateway count together.
    const throttled = await signIn(server, alice);
    assert.deepEqual([throttled.status, throttled.body.error.code], [429, 'too_many_attempts']);
    assert.equal(throttled.body.detail, 'Too many wrong passwords; wait before you try again.');
    assert.equal(Number(throttled.headers.get('retry-after')), throttled.body.error.retryAfter);
    accepted(await caster.ask('JOIN_ROOM', code, { auth: { token } }));
  }));

test('a sign-in says what is wrong, and is off where anyone may cast', async () => {
  await withAlice({}, async (server) => {
    assert.equal((await (await fetch(`${server.url}/api/info`)).json()).castAccess, 'users');
    for (const user of [{ ...alice, password: 'wrong' }, { ...alice, name: 'nobody' }]) {
      const { status, body } = await signIn(server, user);
      assert.deepEqual([status, body.error.code], [401, 'wrong_password']);
    }
    for (const broken of [{}, [], { name: 'alice' }, { name: 1, password: 2 }]) {
      assert.equal((await signIn(server, broken)).body.error.code, 'malformed_payload');
    }
  });
  await withServer({}, async (server) => {
    assert.equal((await (await fetch(`${server.url}/api/info`)).json()).castAccess, 'anyone');
    await server.addUser('alice');
    const { status, body } = await signIn(server, alice);
    assert.deepEqual([status, body.error.code], [404, 'off']);
  });
});

test('who is disabled while casting loses the cast within seconds and does not come back', () =>
  withAlice({}, async (server) => {
    const { token } = (await signIn(server, alice)).body;
    const tv = await connect(server, { label: 'TV' });
    const { code } = accepted(await tv.ask('TV_INIT'));
    const first = await connect(server, { label: 'first' });
    const { resumeToken } = accepted(await first.ask('JOIN_ROOM', code, { auth: { token } }));
    first.drop();
    await tv.next('CASTER_AWAY');
    const second = await connect(server, { label: 'second' });
    const resumed = accepted(await second.ask('JOIN_ROOM', code, { resumeToken }));
    assert.equal(resumed.resumed, true, 'the resume token needs no sign-in');

    assert.equal((await server.cli(['user', 'disable', 'alice'])).code, 0);
    await second.next('CAST_ENDED');
    await tv.next('CASTER_LEFT');
    refused(await second.ask('JOIN_ROOM', code, { resumeToken }), 'sign_in_required');
    refused(await second.ask('JOIN_ROOM', code, { resumeToken, auth: { token } }), 'sign_in_required');
    refused(await second.ask('JOIN_ROOM', code, { auth: alice }), 'wrong_password');

    // A seat that is not held any more is nobody's own: its token alone brings nothing back.
    assert.equal((await server.cli(['user', 'enable', 'alice'])).code, 0);
    await until('alice is enabled', async () => (await signIn(server, alice)).status === 200);
    const third = await connect(server, { label: 'third' });
    refused(await third.ask('JOIN_ROOM', code, { resumeToken }), 'sign_in_required');
  }));

test('a call needs no sign-in, and knows the user whose token its join shows: in the lists, in bans and ends by name', () =>
  withAlice({ CASTWAY_CALL_RATE: '100000' }, async (server) => {
    const { token } = (await signIn(server, alice)).body;
    const join = async (room, { query = '', ...headers } = {}) => {
      const { result, params } = await (await fetch(`${server.url}/join/${room}${query}`, { method: 'POST', headers })).json();
      assert.equal(result, 'SUCCESS', room);
      return params.client_id;
    };
    const users = async () => Object.fromEntries((await rows(server, 'calls')).map(({ room, members }) => [room, members.map(({ user }) => user)]));
    const open = async (name) => {
      for (const client of [await join(name, { Authorization: `Bearer ${token}` }), await join(name)]) assert.match(client, /^\d{8}$/);
    };
    await open('first-call');
    await join('second-call', { query: `?token=${encodeURIComponent(token)}` });
    await join('second-call', { Authorization: `Bearer ${token}A` });
    await join('other-call', { query: '?token=of-somebody-else', Authorization: 'Basic YWxpY2U6eA==' });
    await join('other-call', { query: '?user=alice&name=alice' });
    assert.deepEqual(await users(), { 'fi•••l': ['alice', null], 'se•••l': ['alice', null], 'ot•••l': [null, null] }, 'a name and a forged token prove nothing');
    const { stdout } = await server.cli(['sessions', 'calls']);
    assert.match(stdout, /fi•••l .*alice 127/);
    assert.ok(!server.log.includes(token));

    assert.equal(await end(server, 'alice'), 'Ended 2 calls of the user "alice".');
    assert.deepEqual(Object.keys(await users()), ['ot•••l']);

    // Whoever is blocked by name leaves the call, and whoever is in it stays.
    await open('third-call');
    const watcher = await join('watched-call', { Authorization: `Bearer ${token}` });
    const other = await join('watched-call');
    const channel = await Channel.open(`ws://127.0.0.1:${server.httpPort}/ws`, { origin: server.url });
    channel.register('watched-call', other);
    assert.equal((await server.cli(['block', 'user:alice'])).code, 0);
    assert.match(await channel.message(), /"bye"/);
    const say = async (client) => (await (await fetch(`${server.url}/message/watched-call/${client}`, { method: 'POST', body: 'x' })).json()).result;
    assert.deepEqual([await say(watcher), await say(other)], ['UNKNOWN_CLIENT', 'SUCCESS']);
    channel.socket.close();
    await join('fourth-call', { Authorization: `Bearer ${token}` });
    await join('fourth-call');
    assert.deepEqual((await users())['fo•••l'], [null, null], 'the token of a blocked user names nobody');
  }));

test('casters are still signed in after a restart, and calls need nothing', () =>
  withAlice({}, async (server) => {
    const { token } = (await signIn(server, alice)).body;
    await server.restart();
    const tv = await connect(server, { label: 'TV' });
    const { code } = accepted(await tv.ask('TV_INIT'));
    const caster = await connect(server, { label: 'caster', auth: { token } });
    accepted(await caster.ask('JOIN_ROOM', code));
    const joined = await (await fetch(`${server.url}/join/room`, { method: 'POST' })).json();
    assert.equal(joined.result, 'SUCCESS');
  }));
