// The clock is set while the server runs. A small computer without a battery boots with a clock that is years slow, and corrects it later.
import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { Allocations, sink } from './support/allocations.mjs';
import { connect } from './support/clients.mjs';
import { withClock } from './support/clock.mjs';
import { TurnClient, verify } from './support/turn.mjs';
import { TIMEOUT_MS, until } from './support/wait.mjs';

const LATE = '-3650d';
const RIGHT = '+0';
const TEN_YEARS = 3650 * 86_400;
// How far each offset is from the real clock, in seconds. From one to the next the clock is set by hours, days and years, both ways.
const OFFSETS = [['+2h', 7200], ['-1h', -3600], ['+3d', 259_200], ['-30d', -2_592_000], ['+1y', 31_536_000], [LATE, -TEN_YEARS], [RIGHT, 0]];

// The credentials of a CONFIG_FEEDBACK, and how many seconds they are valid by the real clock.
function turnOf({ config }) {
  const { username, credential } = config.iceServers.find(({ urls }) => urls.startsWith('turn:'));
  return { username, password: credential, ahead: Number(username.split(':')[0]) - Date.now() / 1000 };
}
const isFresh = ({ ahead }, offset = 0) => ahead - offset > 86_400 - 600 && ahead - offset <= 86_400 + 5;
const freshOn = async (peer, offset) => {
  for (;;) {
    const turn = turnOf(await peer.next('CONFIG_FEEDBACK'));
    if (isFresh(turn, offset)) return turn;
  }
};

function certificate(server) {
  return new Promise((resolve, reject) => {
    const socket = connectTls({ port: server.httpsPort, host: '127.0.0.1', rejectUnauthorized: false }, () => {
      resolve(socket.getPeerCertificate());
      socket.destroy();
    });
    socket.on('error', reject);
  });
}

// Each test has a server and a clock of its own.
describe('a clock that is set', { concurrency: true }, () => {
  test('when the clock is set, TVs and casters of dialect A get new credentials, B nothing unasked, and the old ones go on', () =>
    withClock(LATE, { CASTWAY_TURN_ACCESS: 'open' }, async (server, set) => {
      const at = { port: server.turnPort };
      const [tv, caster] = [await connect(server, { label: 'TV' }), await connect(server, { label: 'caster', version: '2.5' })];
      const { code } = await tv.ask('TV_INIT');
      assert.equal((await caster.ask('JOIN_ROOM', code)).ok, true);
      const ours = await connect(server, { label: 'our TV' });
      await ours.ask('TV_INIT', { understands: ['TV_CODE_CHANGED'] });
      const before = turnOf(await ours.next('CONFIG_FEEDBACK'));
      assert.ok(isFresh(before, -TEN_YEARS), `the clock is late: ${before.username}`);
      const [bTv, bCaster] = [
        await connect(server, { namespace: '/rtc', label: 'B TV' }),
        await connect(server, { namespace: '/rtc', version: '2.5', label: 'B caster' }),
      ];
      const { code: projCode } = await bTv.ask('TV_GETINFO', { token: null, code: null });
      const leased = turnOf({ config: (await bTv.next('TV_INFO_FEEDBACK')).iceConfig });
      await bCaster.ask('CONFIG', { username: 'Ada' });
      assert.equal((await bCaster.ask('CONNECT_TO_TV', { username: 'Ada', projCode })).ok, true);
      const issued = await (await fetch(`${server.url}/turn?username=phone`)).json();
      const phone = new TurnClient({ ...at, username: issued.username, password: issued.password });
      assert.equal(await phone.allocate(), 0);

      const seen = bCaster.heard('CONFIG_FEEDBACK').length;
      for (const [offset, ahead] of [[RIGHT, 0], [LATE, -TEN_YEARS]]) {
        set(offset);
        const begun = Date.now();
        const fresh = await Promise.all([tv, caster, ours].map((peer) => freshOn(peer, ahead)));
        console.log(`# new credentials ${Date.now() - begun} ms after the clock was set`);
        for (const turn of fresh) assert.equal(await verify({ ...at, ...turn }), 'allocated', `new ones, ${offset}`);
        for (const turn of [before, leased]) assert.equal(await verify({ ...at, ...turn }), 'allocated', `old ones, ${offset}`);
        // HTTP clients can't be sent new credentials, so their allocations continue and their old credentials remain valid.
        assert.equal(await phone.permit({ address: '127.0.0.1', port: 0 }), 0, `an allocation, ${offset}`);
        const next = { ...at, username: issued.username, password: issued.password };
        assert.equal(await verify(next), 'allocated', `credentials of GET /turn, ${offset}`);
      }
      // Earlier events have arrived before this one.
      bCaster.emit('RTC_Client_Offer_To_Server', { offer: { type: 'offer', sdp: 'v=0\r\n' } });
      await bTv.next('RTC_Client_Offer_To_TV');
      bTv.emit('RTC_TV_Answer_To_Server', { answer: { type: 'answer', sdp: 'v=0\r\n' } });
      await bCaster.next('RTC_TV_Answer_To_Client');
      assert.equal(bCaster.heard('CONFIG_FEEDBACK').length, seen, 'the published caster begins again at each of them');
      assert.deepEqual(bTv.heard('CONFIG_FEEDBACK'), []);
      assert.deepEqual(ours.heard('TV_CODE_CHANGED'), []);
      const late = await connect(server, { label: 'caster after it all' });
      assert.equal((await late.ask('JOIN_ROOM', code)).ok, true);
      await phone.close();
    }));

  test('set by hours, days and years, again and again: whoever has credentials gets in at once with them, and with new ones', () =>
    withClock(RIGHT, { CASTWAY_TURN_ACCESS: 'open' }, async (server, set) => {
      await server.addUser('alice');
      const at = { port: server.turnPort };
      const [tv, caster] = [await connect(server, { label: 'TV' }), await connect(server, { label: 'caster', version: '2.5' })];
      const { code } = await tv.ask('TV_INIT');
      assert.equal((await caster.ask('JOIN_ROOM', code)).ok, true);
      const seated = await Promise.all([tv, caster].map((peer) => freshOn(peer)));
      const ofTurn = async () => (await fetch(`${server.url}/turn?username=phone`)).json();
      // AppRTC's apps and RTCMultiConnection's pages fetch their servers, and are sent none.
      const ofIceConfig = async () => {
        const { iceServers } = await (await fetch(`${server.url}/v1alpha/iceconfig?key=`, { method: 'POST' })).json();
        const { username, credential } = iceServers.find(({ username }) => username);
        return { username, password: credential };
      };
      const early = [...seated, await ofTurn(), await ofIceConfig(), { username: 'alice', password: 'alice-password-1' }];
      for (const [offset, ahead] of OFFSETS) {
        set(offset);
        // The server may not have noticed yet.
        const fetched = [await ofTurn(), await ofIceConfig()];
        for (const { username, password } of [...early, ...fetched]) {
          assert.equal(await verify({ ...at, username, password }), 'allocated', `${username} right after the clock was set to ${offset}`);
        }
        const fresh = await Promise.all([tv, caster].map((peer) => freshOn(peer, ahead)));
        for (const turn of [...fresh, ...early, ...fetched, await ofTurn(), await ofIceConfig()]) {
          const { username, password } = turn;
          assert.equal(await verify({ ...at, username, password }), 'allocated', `${username} when it was noticed, ${offset}`);
        }
        const strange = { username: `${Math.round(Date.now() / 1000) + ahead + 3600}:eve`, password: 'guessed' };
        assert.equal(await verify({ ...at, ...strange, local: '127.9.9.9' }), 401);
      }
    }));

  test('allocations live on and are refreshed, also where they end with their credentials', () =>
    withClock(RIGHT, { CASTWAY_TURN_ACCESS: 'open', CASTWAY_STRICT_EXPIRY: 'true', CASTWAY_ALLOWED_PEER_IP: '127.0.0.1' }, async (server, set) => {
      await server.addUser('alice');
      const peer = await sink('127.0.0.1');
      const clients = new Allocations(server);
      try {
        const { username, password } = await (await fetch(`${server.url}/turn?username=phone`)).json();
        const user = await clients.allocated({ username: 'alice', password: 'alice-password-1' });
        const strangers = await clients.pair({ username, password });
        assert.equal(await user.permit(peer), 0);
        for (const [offset] of OFFSETS) {
          set(offset);
          const warned = server.log.split('the system clock was set').length;
          for (const noticed of [false, true]) {
            if (noticed) await until('the server notices', () => server.log.split('the system clock was set').length >= warned);
            assert.deepEqual(await Promise.all([user, ...strangers].map((client) => client.refresh())), [0, 0, 0], `${offset}, ${noticed}`);
            user.send(peer, Buffer.from(`${offset} ${noticed}`));
            await until('the packet arrives', () => peer.received.includes(`${offset} ${noticed}`));
            strangers[0].sendOn(0x4000, Buffer.from(offset));
            assert.equal(String((await strangers[1].receive()).data), offset);
          }
        }
      } finally {
        peer.close();
        await clients.close();
      }
    }));

  test('small steps send nothing to anybody until they add up, and then each client gets new credentials once', () =>
    withClock(RIGHT, { CASTWAY_LOG: 'info,castway::app=debug' }, async (server, set) => {
      const tvs = await Promise.all(Array.from({ length: 250 }, (_, n) => connect(server, { label: `TV ${n}`, from: `127.0.${1 + (n >> 7)}.${1 + (n & 127)}` })));
      await Promise.all(tvs.map((tv) => tv.ask('TV_INIT')));
      await Promise.all(tvs.map((tv) => tv.next('CONFIG_FEEDBACK')));
      const steps = () => server.log.split('set by a little').length - 1;
      for (const [at, offset] of ['+10', '+20', '+30', '+10', '-20'].entries()) {
        set(offset);
        await until(`step ${at}`, steps, (count) => count > at);
      }
      set('+1d');
      const begun = Date.now();
      const all = await Promise.all(tvs.map((tv) => tv.next('CONFIG_FEEDBACK')));
      console.log(`# new credentials for ${tvs.length} TVs ${Date.now() - begun} ms after the clock was set`);
      for (const config of all) assert.ok(isFresh(turnOf(config), 86_400), 'the first ones since the beginning are those of the large step');
      assert.equal(server.log.split('clients get new credentials').length - 1, 1);
    }));

  test('a TV that was away for 12 hours gets a new code when it is back, one that announces nothing keeps its own', () =>
    withClock(RIGHT, {}, async (server, set) => {
      const announced = { understands: ['TV_CODE_CHANGED'] };
      const ours = await (await connect(server, { label: 'our TV' })).ask('TV_INIT', announced);
      const busy = await (await connect(server, { label: 'our TV in a cast' })).ask('TV_INIT', announced);
      const old = await (await connect(server, { label: 'old TV' })).ask('TV_INIT');
      const b = { namespace: '/rtc', version: '2.5' };
      const oldB = await (await connect(server, { ...b, label: 'old B TV' })).ask('TV_GETINFO', { token: null, code: null });
      const open = async (label, { code, resumeToken }, more) =>
        (await connect(server, { label })).ask('TV_INIT', { code, resumeToken, ...more });

      await server.stop();
      set('+11h');
      await server.start();
      assert.equal((await open('our TV after 11 hours', ours, announced)).code, ours.code);
      await server.stop();
      set('+13h');
      await server.start();
      const back = await connect(server, { label: 'our TV after 13 hours' });
      const answer = await back.ask('TV_INIT', { code: ours.code, resumeToken: ours.resumeToken, ...announced });
      assert.ok(answer.ok && answer.code !== ours.code && !answer.resumed, JSON.stringify(answer));
      assert.deepEqual(await back.next('TV_CODE_CHANGED'), { code: answer.code, resumeToken: answer.resumeToken, reason: 'idle' });
      assert.equal((await (await connect(server, { label: 'caster' })).ask('JOIN_ROOM', ours.code)).error?.code, 'unknown_code');
      assert.equal((await open('our TV in a cast', busy, { ...announced, casting: true })).code, busy.code);
      assert.equal((await open('old TV', old)).code, old.code);
      const again = await connect(server, { ...b, label: 'old B TV again' });
      assert.equal((await again.ask('TV_GETINFO', { token: oldB.resumeToken, code: oldB.code })).code, oldB.code);
    }));

  test('a late clock costs nobody the certificate that people trust, and one that it has made is replaced', () =>
    withClock(RIGHT, {}, async (server, set) => {
      const first = await certificate(server);
      await server.stop();
      set(LATE);
      await server.start();
      assert.equal((await certificate(server)).fingerprint256, first.fingerprint256);
      await server.stop();
      rmSync(join(server.dataDir, 'tls'), { recursive: true });
      await server.start();
      assert.ok(Date.parse((await certificate(server)).valid_to) < Date.now(), 'made by the late clock');
      set(RIGHT);
      const isValid = ({ valid_to: end }) => Date.parse(end) > Date.now();
      await until('the certificate is good', () => certificate(server), isValid, { limit: 3 * TIMEOUT_MS, pause: 1000 });
    }));
});
