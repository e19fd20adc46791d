// The descriptions of RTCMultiConnection's users and rooms are bounded in total, and users with small descriptions keep them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { closeAll, connect, room } from './support/multi.mjs';
import { residentMib } from './support/resident.mjs';
import { withServer } from './support/server.mjs';

const KIB = 1024;
const FEW = { about: 'x'.repeat(300) };
const MANY = { about: 'x'.repeat(15 * KIB) };
const ATTACKERS = 600;
// The users that connect at the same time.
const CONNECTIONS_AT_A_TIME = 20;
// The maximum bytes of all descriptions.
const most = (users) => 4 * KIB * KIB + KIB * users;

test(`${ATTACKERS} users that describe themselves and their rooms at length`, async (t) => {
  await withServer({}, async (server) => {
    const honest = await connect(server, 'honest', { extra: JSON.stringify(FEW) });
    const guest = await connect(server, 'guest');
    assert.deepEqual(await honest.ask('open-room', room('the room', { extra: FEW })), [true]);
    assert.deepEqual(await guest.ask('join-room', room('the room', { extra: FEW })), [true]);
    const before = residentMib(server.pid);

    const attackers = [];
    while (attackers.length < ATTACKERS) {
      const names = Array.from({ length: CONNECTIONS_AT_A_TIME }, (_, at) => attackers.length + at);
      attackers.push(...(await Promise.all(names.map(async (number) => {
        const attacker = await connect(server, `attacker-${number}`, { from: `127.${1 + (number % 200)}.${Math.floor(number / 200)}.9` });
        assert.deepEqual(await attacker.ask('open-room', room(`room-${number}`, { session: MANY, extra: MANY })), [true]);
        return attacker;
      }))));
    }
    t.diagnostic(`${before.toFixed(0)} MiB before, ${(residentMib(server.pid) - before).toFixed(0)} more with ${ATTACKERS} users`);

    const held = async (attacker, number) => {
      const [extra] = await attacker.ask('get-remote-user-extra-data', attacker.id);
      const [there, , ofRoom] = await attacker.ask('check-presence', `room-${number}`);
      assert.ok(there);
      delete ofRoom._room;
      return [extra, ofRoom];
    };
    const all = (await Promise.all(attackers.map(held))).flat();
    const bytes = all.reduce((sum, extra) => sum + JSON.stringify(extra).length, 0);
    t.diagnostic(`${(bytes / KIB).toFixed(0)} KiB of ${(most(ATTACKERS + 2) / KIB).toFixed(0)} are held, where ${(all.length * 15).toFixed(0)} were said`);
    assert.ok(bytes <= most(ATTACKERS + 2), `${bytes} bytes`);
    for (const extra of all) assert.deepEqual(extra, extra.about ? MANY : {});

    for (const id of ['honest', 'guest']) assert.deepEqual(await attackers[0].ask('get-remote-user-extra-data', id), [FEW]);
    const [, , extra] = await guest.ask('check-presence', 'the room');
    assert.deepEqual(extra, { ...FEW, _room: { isFull: false, isPasswordProtected: false } });

    const loser = attackers[all.findIndex((of) => !of.about) >> 1];
    loser.emit('extra-data-updated', FEW);
    assert.deepEqual(await loser.ask('get-remote-user-extra-data', loser.id), [FEW], 'it may describe itself again');
    for (const user of [honest, guest, ...attackers]) assert.ok(user.socket.connected, user.id);
  });
});
