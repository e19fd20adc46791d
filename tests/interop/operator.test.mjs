// The commands of an operator against a running server: `castway status`, `sessions` and `end`, with casts, calls, rooms and allocations.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { after, afterEach, before, test } from 'node:test';
import { Allocations } from './support/allocations.mjs';
import { Web } from './support/apprtc.mjs';
import { closeAll, connect } from './support/clients.mjs';
import { pair } from './support/dialects.mjs';
import { connect as connectMulti, room } from './support/multi.mjs';
import { binary, startServer, withServer } from './support/server.mjs';
import { signed } from './support/strangers.mjs';
import { until } from './support/wait.mjs';

const SECRET = 'north-0123456789-0123456789-0123456789';
// It clears the screen, sets a title, turns the direction of text around, and hides a letter.
const HOSTILE = 'x\u001b[2J\u001b]0;t\u0007\u202egnp\u200b\u2066';
const STEERS = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u206f]/u;

let server;
let allocations;
before(async () => {
  server = await startServer({ CASTWAY_STATIC_AUTH_SECRET: SECRET, CASTWAY_CALL_RATE: '100000', CASTWAY_ALLOWED_PEER_IP: '127.0.0.0/8' });
  allocations = new Allocations(server);
});
after(async () => {
  await allocations?.close();
  await server?.close();
});
afterEach(closeAll);

async function said(...args) {
  const { code, stdout, stderr } = await server.cli(args);
  assert.equal(code, 0, stderr);
  assert.doesNotMatch(stdout + stderr, STEERS);
  return stdout;
}

async function refused(...args) {
  const { code, stdout, stderr } = await server.cli(args);
  assert.deepEqual([code, stdout], [1, ''], stderr);
  assert.doesNotMatch(stderr, STEERS);
  return stderr;
}

const rows = async (kind, ...args) => JSON.parse(await said('sessions', kind, '--json', ...args))[kind];
const acts = (pattern) => until(`a line like ${pattern}`, () => server.log.split('\n').filter((line) => / operator (ended|gave) /.test(line)), (lines) => lines.some((line) => pattern.test(line)));

test('a cast is listed, ended by its id and by its code, and both sides hear why', async () => {
  const [tv, caster] = [await connect(server, { label: 'TV' }), await connect(server, { label: 'caster' })];
  const { code } = await pair(tv, 'A', caster, 'A', { username: HOSTILE });
  const [row] = await rows('casts');
  assert.match(row.id, /^cast-\d+$/);
  assert.equal(row.code, `${code.slice(0, 2)}•••${code.slice(-1)}`);
  assert.equal(row.tv.address, '127.0.0.1');
  const table = await said('sessions', 'casts');
  assert.ok(table.includes(row.id) && table.includes('"x\\u{1b}') && !table.includes(code), table);
  assert.ok(table.split('\n').every((line) => line.length <= 80), table);

  assert.match(await said('end', row.id), /^Ended the cast cast-\d+\.\n$/);
  assert.equal((await tv.next('CASTER_LEFT')).reason, 'ended_by_operator');
  assert.equal((await caster.next('CAST_ENDED')).by, 'operator');
  await acts(new RegExp(`by="command line \\(uid \\d+\\)" id="${row.id}" name="..•••."`));
  assert.match(await refused('end', row.id), /nobody casts to this TV/);

  const again = await connect(server, { label: 'caster again' });
  await again.ask('JOIN_ROOM', code);
  // As a person types it.
  assert.match(await said('end', `${code.slice(0, 3).toLowerCase()} ${code.slice(3)}`), /^Ended the cast of this code\.\n$/);
  await again.next('CAST_ENDED');
  assert.deepEqual(server.logged(new RegExp(code)), [], 'no whole code is logged');
});

test('a call and a room are listed and closed', async () => {
  const [caller, callee] = [new Web(server.url), new Web(server.url)];
  assert.ok(await caller.join('operated-room'));
  assert.ok(await callee.join('operated-room'));
  const [call] = await rows('calls');
  assert.equal(call.members.length, 2);
  assert.match(await said('sessions', 'calls'), new RegExp(`${call.id}  op•••m`));
  assert.match(await said('end', call.id), /^Closed the call call-\d+\.\n$/);
  await callee.hear('bye');
  assert.match(await refused('end', call.id), /there is no call-\d+ \(any more\)/);

  const [owner, guest] = [await connectMulti(server, 'owner'), await connectMulti(server, `guest ${HOSTILE}`)];
  assert.deepEqual(await owner.ask('open-room', room(`room ${HOSTILE}`)), [true]);
  assert.deepEqual(await guest.ask('join-room', room(`room ${HOSTILE}`)), [true]);
  const [found] = await rows('rooms');
  assert.equal(found.memberCount, 2);
  assert.match(await said('sessions', 'rooms'), new RegExp(found.id));
  assert.match(await said('end', found.id), /^Closed the room room-\d+\.\n$/);
  await owner.until('the end', (log) => log.some(([event]) => event === 'disconnect'));
  assert.deepEqual(await rows('rooms'), []);
});

test('three hundred allocations are listed in pages, found, and ended by id and by user', async () => {
  const anna = signed('anyone', SECRET, 'anna');
  const [first, second] = await allocations.pair(anna);
  for (let sent = 0; sent < 10; sent += 1) {
    first.sendOn(0x4000, Buffer.alloc(1000));
    await second.receive();
  }
  const hostile = signed('anyone', SECRET, HOSTILE);
  await allocations.allocated(hostile);
  for (let made = 3; made < 300; made += 1) await allocations.allocated(signed('clients', SECRET, `stranger-${made}`));

  const all = await rows('allocations');
  assert.deepEqual([all.length, new Set(all.map(({ id }) => id)).size], [300, 300]);
  assert.deepEqual(all.slice(0, 2).map(({ user, sent, received }) => [user, sent + received]), [['anna', 10_000], ['anna', 10_000]], 'the most bytes come first');
  assert.deepEqual([all[0].transport, all[0].scope, all[0].peerCount], ['udp', 'anyone', 1]);
  const short = await said('sessions');
  assert.match(short, /… and 280 more: castway sessions allocations\n$/);
  assert.ok(short.split('\n').every((line) => [...line].length <= 80), short);
  const [evil] = await rows('allocations', '--search', 'GNP');
  assert.equal(evil.user, HOSTILE, 'JSON keeps the name, and escapes it');
  assert.match(await said('sessions', 'allocations', '--search', 'gnp'), /x\\u\{1b\}\[2J/);
  assert.deepEqual((await rows('allocations', '--search', `${second.address.address}:${second.address.port}`)).map(({ user }) => user), ['anna']);

  const status = JSON.parse(await said('status', '--json'));
  assert.equal(status.allocations, 300);
  assert.match(await said('status'), /^Castway \S+, up [^\n]+\nNow +.*300 allocations/);

  assert.match(await said('end', evil.id), /^Ended the allocation alloc-\d+ of the user "x\\u\{1b\}\[2J/);
  assert.equal((await rows('allocations', '--search', 'gnp')).length, 0);
  assert.equal(await first.refresh(), 0);
  assert.match(await said('end', 'anna'), /^Ended 2 allocations of the user "anna"\.\n$/);
  assert.deepEqual([await first.refresh(), await second.refresh()], [437, 437]);
  assert.equal((await rows('allocations')).length, 297);
  assert.match(await refused('end', 'anna'), /neither an id nor the code of a TV/);
  assert.match(await refused('end', HOSTILE), /neither an id/);
});

test('a name that is a user in two scopes is not ended while it is both: its ids are named', async () => {
  const [anyone, clients] = [signed('anyone', SECRET, 'twice'), signed('clients', SECRET, 'twice')];
  const [first, second, third] = [await allocations.allocated(anyone), await allocations.allocated(clients), await allocations.allocated(clients)];
  const found = await rows('allocations', '--search', 'twice');
  const ids = (scope) => found.filter((row) => row.scope === scope).map(({ id }) => id).sort();
  const why = await refused('end', 'twice');
  const named = (scope) => (new RegExp(`${scope}: ([^;)]*)`).exec(why) ?? assert.fail(why))[1].split(', ').sort();
  assert.deepEqual([named('anyone'), named('clients')], [ids('anyone'), ids('clients')]);
  assert.deepEqual([await first.refresh(), await second.refresh(), await third.refresh()], [0, 0, 0], 'nothing has ended');
  await said('end', ids('anyone')[0]);
  assert.match(await said('end', 'user:twice'), /^Ended 2 allocations of the user "twice"\.\n$/);
  assert.deepEqual(await rows('allocations', '--search', 'twice'), []);
});

test('a watch prints a line each time and ends with the server', () =>
  withServer({}, async (watched) => {
    const env = { PATH: process.env.PATH, CASTWAY_DATA_DIR: watched.dataDir };
    const watch = spawn(binary, ['status', '--watch'], { cwd: watched.dataDir, env, stdio: ['ignore', 'pipe', 'pipe'] });
    let [out, errors] = ['', ''];
    watch.stdout.on('data', (chunk) => (out += chunk));
    watch.stderr.on('data', (chunk) => (errors += chunk));
    const closed = once(watch, 'close');
    await until('two lines', () => out.split('\n').length > 2);
    assert.match(out, /^(up \d+s: 0 TVs, 0 casts, 0 calls, 0 rooms, 0 allocations, 0\.0 Mbit\/s relayed\n)+$/);
    await watched.stop();
    const [code] = await closed;
    assert.deepEqual([code, errors.includes('the server has stopped')], [0, true], errors);

    const { code: none, stderr } = await watched.cli(['sessions']);
    assert.equal(none, 1);
    assert.ok(stderr.includes(`no server runs with the data folder ${watched.dataDir}: start one`), stderr);
  }));

test('a watch ends with Ctrl-C and with its reader', async () => {
  const env = { PATH: process.env.PATH, CASTWAY_DATA_DIR: server.dataDir };
  const options = { cwd: server.dataDir, env, stdio: ['ignore', 'pipe', 'inherit'] };
  const interrupted = spawn(binary, ['status', '--watch', '--json'], options);
  await once(interrupted.stdout, 'data');
  interrupted.kill('SIGINT');
  assert.deepEqual(await once(interrupted, 'close'), [0, null]);
  const unread = spawn(binary, ['status', '--watch'], options);
  await once(unread.stdout, 'data');
  unread.stdout.destroy();
  assert.deepEqual(await once(unread, 'exit'), [0, null]);
});
