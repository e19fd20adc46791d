// A process has a limited number of descriptors. If one kind of connection uses up its share, the other kinds still have theirs.
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { once } from 'node:events';
import { connect as connectTcp } from 'node:net';
import { after, afterEach, before, describe, test } from 'node:test';
import { closeAll, connect } from './support/clients.mjs';
import { exchange, pair } from './support/dialects.mjs';
import { startServer } from './support/server.mjs';
import { TurnClient } from './support/turn.mjs';
import { until } from './support/wait.mjs';

const OPEN_FILES = 256;

let server;
let credentials;
let held = [];
// Relayed addresses have descriptors where their allocations reach anyone.
before(async () => {
  server = await startServer({ TEST_OPEN_FILES: String(OPEN_FILES), CASTWAY_RELAY_SCOPE: 'anyone', CASTWAY_RELAY_THREADS: '2' });
  // A stranger would have to leave some descriptors to users.
  await server.addUser('alice');
  const signIn = { headers: { authorization: `Basic ${Buffer.from('alice:alice-password-1').toString('base64')}` } };
  const { username, password } = await (await fetch(`${server.url}/turn?username=alice`, signIn)).json();
  credentials = { port: server.turnPort, username, password };
});
after(() => server?.close());
afterEach(async () => {
  closeAll();
  for (const one of held) await one.close?.().catch?.(() => {});
  held = [];
});

// Any loopback address works. Each address may have at most half of the HTTP connections.
const address = (n) => `127.0.${1 + Math.floor(n / 20)}.${1 + (n % 20)}`;
const share = (kind) => server.metric(`castway_descriptors_limit{kind="${kind}"}`);
const taken = (kind) => server.metric(`castway_descriptors{kind="${kind}"}`);

async function allocated(options = {}) {
  const client = new TurnClient({ ...credentials, ...options });
  held.push(client);
  return (await client.allocate()) || 'allocated';
}

async function casts() {
  const tv = await connect(server, { label: 'TV' });
  const caster = await connect(server, { namespace: '/rtc', label: 'caster' });
  await pair(tv, 'A', caster, 'B');
  await exchange(tv, 'A', caster, 'B', { mark: 1, candidates: 3 });
}

// Connects and sends `text`; resolves to the socket after an answer, or to null if the server closes it.
async function opened(port, localAddress, text) {
  const socket = connectTcp({ port, host: '127.0.0.1', localAddress });
  socket.on('error', () => {});
  const gone = once(socket, 'close').then(() => false, () => false);
  held.push({ close: async () => socket.destroy() });
  if (!(await Promise.race([once(socket, 'connect').then(() => true, () => false), gone]))) return null;
  if (!text) return socket;
  socket.write(text);
  return (await Promise.race([once(socket, 'data').then(() => true, () => false), gone])) ? socket : null;
}

const asksHealth = 'GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n';

describe(`with ${OPEN_FILES} open files`, () => {
  test('the start-up report says how many casts that is, and how to have more', () => {
    assert.match(server.log, /Open files +256 at most, which is enough for [1-9][0-9]* casts over the relay at once/);
    assert.match(server.log, /[0-9]+ relayed sockets, [0-9]+ connections to the relay and 2 to the pages for each/);
    assert.match(server.log, /LimitNOFILE= \(systemd\) or ulimit -n/);
  });

  test('allocations beyond their share get 508, and everything else goes on', async () => {
    const most = await share('relayed');
    let answer;
    for (let n = 0; n <= most; n += 1) {
      answer = await allocated({ local: address(n) });
      if (answer !== 'allocated') break;
      assert.ok(n < most, 'more than the share');
    }
    assert.equal(answer, 508);
    assert.equal(await taken('relayed'), most);
    assert.equal((await fetch(`${server.url}/healthz`)).status, 200);
    await casts();
    // The server still accepts and answers a new client over TCP.
    assert.equal(await allocated({ transport: 'tcp', local: '127.0.9.1' }), 508);
    await held[0].free();
    assert.equal(await allocated({ transport: 'tcp', local: '127.0.9.2' }), 'allocated');
    assert.match(server.log, /all descriptors of this kind are taken.*LimitNOFILE/);
  });

  test('HTTP connections beyond their share are closed, and allocations go on', async () => {
    await until('what was held is closed', () => taken('relayed'), (count) => count === 0);
    const most = await share('http');
    let open = 0;
    const port = Number(server.url.split(':').at(-1));
    for (let n = 0; n < most + 10; n += 1) open += (await opened(port, address(n), asksHealth)) ? 1 : 0;
    assert.ok(open >= most - 4 && open <= most, `${open} of ${most}`);
    assert.equal(await allocated(), 'allocated');
    assert.equal(await allocated({ transport: 'tcp' }), 'allocated');
    held.splice(0, 8).forEach((one) => one.close());
    await until('HTTP has room again', () => fetch(`${server.url}/healthz`).then((answer) => answer.status, () => 0), (status) => status === 200);
  });

  test('connections that show nothing are many, and every kind is served', async () => {
    const port = Number(server.url.split(':').at(-1));
    for (let n = 0; n < 2 * OPEN_FILES; n += 1) await opened(n % 2 ? port : server.turnPort, address(n));
    assert.ok(readdirSync(`/proc/${server.pid}/fd`).length < OPEN_FILES - 8);
    assert.equal((await fetch(`${server.url}/healthz`)).status, 200);
    assert.equal(await allocated(), 'allocated');
    assert.equal(await allocated({ transport: 'tcp' }), 'allocated');
    await casts();
    assert.deepEqual(server.logged(/no connection can be accepted|no more TCP clients for now/), []);
  });
});
