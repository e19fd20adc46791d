// A client is refused because it, or all clients together, send too many requests. The server tells it so, and the client stays connected
// and succeeds on the same socket after waiting. Clients of socket.io never come back from "io server disconnect".
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { connect } from './support/clients.mjs';
import { withServer } from './support/server.mjs';
import { until } from './support/wait.mjs';

const NOBODY = '000000';
// The answer to each event, and the event that reports its refusal in dialect B.
const EVENTS = {
  TV_REGISTER: { args: [], done: 'TV_REGISTER_SUCCESS', told: 'TV_COMMAND' },
  TV_GETINFO: { args: [{ token: '', code: '' }], done: 'TV_INFO_FEEDBACK', told: 'TV_COMMAND' },
  CONFIG: { args: [{ username: 'x' }], done: 'CONFIG_FEEDBACK', told: null },
};

function assertTold(told, event, code) {
  assert.equal(told.code, code);
  assert.equal(typeof told.msg, 'string');
  if (event.startsWith('TV_')) assert.equal(told.cmd, 'error');
  assert.ok(told.retryAfter >= 1 && told.retryAfter <= 60, `retryAfter ${told.retryAfter}`);
}

// Retries on the same socket, like a front end that waits.
async function succeeds(peer, event, ...args) {
  const answer = await until(`${event} succeeds`, () => peer.ask(event, ...args), ({ ok }) => ok, { pause: 500, limit: 120_000 });
  assert.ok(peer.socket.connected);
  return answer;
}

// Each test has a server of its own; the wait after wrong codes is a minute.
describe('a refusal for now', { concurrency: 4 }, () => {
  for (const version of ['2.5', '4.8']) {
    describe(`socket.io-client ${version}`, { concurrency: 2 }, () => {
      for (const [event, { args, done, told }] of Object.entries(EVENTS)) {
        test(`${event}: the rate of credentials${told ? ' is not counted for it' : ''}`, () =>
          withServer({ CASTWAY_CREDENTIALS_RATE: '30' }, async (server) => {
            const greedy = await connect(server, { version, namespace: '/rtc', label: 'greedy' });
            const peer = await connect(server, { version, namespace: '/rtc', label: event });
            await until('the rate is used up', () => greedy.ask('CONFIG', {}), ({ ok }) => !ok, { pause: 0 });
            if (told) {
              assert.equal((await peer.ask(event, ...args)).ok, true);
              await until(done, () => peer.heard(done).length);
              return;
            }
            peer.emit(event, ...args);
            assert.equal((await peer.next('CAST_ERROR')).error.code, 'rate_limited');
            const before = peer.heard(done).length;
            await succeeds(peer, event, ...args);
            await until(done, () => peer.heard(done).length > before);
          }));
      }

      test('CONNECT_TO_TV: the rate of credentials', () =>
        withServer({ CASTWAY_CREDENTIALS_RATE: '30' }, async (server) => {
          const tv = await connect(server, { version, namespace: '/rtc', label: 'TV' });
          const { code } = await tv.ask('TV_GETINFO', {});
          const caster = await connect(server, { version, namespace: '/rtc', label: 'caster' });
          await until('the rate is used up', () => tv.ask('CONFIG', {}), ({ ok }) => !ok, { pause: 0 });
          caster.emit('CONNECT_TO_TV', { username: 'x', projCode: code });
          assertTold(await caster.next('CONNECT_TO_TV_FAILED'), 'CONNECT_TO_TV', 'rate_limited');
          await succeeds(caster, 'CONNECT_TO_TV', { username: 'x', projCode: code });
          await caster.nextArgs('CONNECT_TO_TV_SUCCESS');
        }));

      for (const event of [...Object.keys(EVENTS), 'CONNECT_TO_TV']) {
        test(`${event}: too many bytes at a time`, () =>
          withServer({}, async (server) => {
            const tv = await connect(server, { version, namespace: '/rtc', label: 'another TV' });
            const { code } = await tv.ask('TV_GETINFO', {});
            const { args, told } = EVENTS[event] ?? { args: [{ projCode: code }], told: 'CONNECT_TO_TV_FAILED' };
            const peer = await connect(server, { version, namespace: '/rtc', label: event });
            const padded = { ...args[0], padding: 'x'.repeat(60_000) };
            for (let i = 0; i < 120; i += 1) peer.emit(event, padded);
            const refused = () => peer.heard('CAST_ERROR').filter(({ error }) => error.code === 'rate_limited');
            await until('some are refused', () => refused().length);
            assert.equal(refused()[0].event, event);
            if (told) assertTold(await until('it is told', () => peer.heard(told).find((refusal) => refusal.code === 'rate_limited')), event, 'rate_limited');
            await succeeds(peer, event, ...args);
          }));
      }
    });
  }

  // Both parts run at the same time, since the wait is a minute. A TV does not wait: it gets another code than the requested one.
  test('wrong codes, of a caster and of a TV', () =>
    withServer({ CASTWAY_WRONG_CODES: '2' }, async (server) => {
      const other = await connect(server, { namespace: '/rtc', label: 'another TV' });
      const { code } = await other.ask('TV_GETINFO', {});
      const guess = async (version, from) => {
        const caster = await connect(server, { version, namespace: '/rtc', label: 'caster', from });
        const tv = await connect(server, { version, namespace: '/rtc', label: 'TV', from });
        for (let i = 0; i < 2; i += 1) assert.equal((await caster.ask('CONNECT_TO_TV', { projCode: NOBODY })).error.code, 'unknown_code');
        for (let i = 0; i < 2; i += 1) await caster.nextArgs('CONNECT_TO_TV_FAILED');
        caster.emit('CONNECT_TO_TV', { username: 'x', projCode: code });
        assertTold(await caster.next('CONNECT_TO_TV_FAILED'), 'CONNECT_TO_TV', 'too_many_attempts');
        const info = await tv.ask('TV_GETINFO', { token: '', code: NOBODY });
        assert.equal(info.ok, true);
        assert.notEqual(info.code, NOBODY, 'which codes are free is not told');
        await succeeds(caster, 'CONNECT_TO_TV', { username: 'x', projCode: code });
      };
      await Promise.all([guess('2.5', '127.0.0.7'), guess('4.8', '127.0.0.8')]);
    }));
});
