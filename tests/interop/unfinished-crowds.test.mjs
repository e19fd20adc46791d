// Many clients begin to send and don't finish: the server disconnects them, and holds few of their bytes meanwhile.
import assert from 'node:assert/strict';
import { connect as connectHttp2 } from 'node:http2';
import { after, before, describe, test } from 'node:test';
import { closeAll, connect } from './support/clients.mjs';
import { exchange, pair } from './support/dialects.mjs';
import { frame, frameHead, rawWebSocket } from './support/raw.mjs';
import { residentMib } from './support/resident.mjs';
import { inRounds } from './support/rounds.mjs';
import { startServer } from './support/server.mjs';
import { TIMEOUT_MS, until } from './support/wait.mjs';

const KIB = 1024;
const MIB = 1024 * KIB;
// Half of the growth that the storm test allows for all attacks together.
const MAX_GROWTH_MIB = 64;

let server;
before(async () => {
  // Each client of the crowd has a room.
  server = await startServer({ CASTWAY_CALL_RATE: '100000' });
});
after(async () => {
  closeAll();
  await server?.close();
});

const metric = (name) => server.metric(name);
const ended = async () => (await metric('castway_ended_messages_total{reason="late"}')) + (await metric('castway_ended_messages_total{reason="too_much"}'));

// A pair keeps exchanging messages beside the attack. Resolves to the largest growth of the server's memory, in MiB.
async function withPair(attack) {
  const tv = await connect(server, { label: 'TV' });
  const caster = await connect(server, { label: 'caster' });
  await pair(tv, 'A', caster, 'A');
  const start = residentMib(server.pid);
  let most = 0;
  let mark = 0;
  const round = async () => {
    most = Math.max(most, residentMib(server.pid) - start);
    await exchange(tv, 'A', caster, 'A', { mark: (mark += 1), candidates: 2 });
  };
  try {
    await inRounds({ 'the pair': round }, attack());
  } finally {
    closeAll();
  }
  return most;
}

test('900 WebSockets of one address that lack a byte each of 256 KiB hold 4 MiB, and end', async () => {
  const most = await withPair(async () => {
    const sockets = await Promise.all(Array.from({ length: 900 }, (_, index) => rawWebSocket(server, index < 200 ? '/ws' : '/socket.io/?EIO=3&transport=websocket', '127.0.0.3')));
    const part = Buffer.concat([frameHead(256 * KIB), Buffer.alloc(256 * KIB - 1, 'x')]);
    sockets.forEach((raw) => raw.send(part));
    await until('bytes are unfinished', () => metric('castway_unfinished_bytes'), (bytes) => bytes > 3 * MIB);
    await Promise.all(sockets.map((raw) => raw.end()));
  });
  assert.ok(most < MAX_GROWTH_MIB, `${most} MiB`);
  await until('nothing is held', () => metric('castway_unfinished_bytes'), (bytes) => bytes === 0);
});

test('addresses that hold most lose it where all of them hold too much', async () => {
  const before = await metric('castway_ended_messages_total{reason="too_much"}');
  const most = await withPair(async () => {
    const locals = Array.from({ length: 12 }, (_, index) => `127.0.1.${index + 1}`);
    const sockets = await Promise.all(locals.flatMap((local) => Array.from({ length: 5 }, () => rawWebSocket(server, '/ws', local))));
    const part = Buffer.concat([frameHead(MIB), Buffer.alloc(MIB - 1, 'x')]);
    sockets.forEach((raw) => raw.send(part));
    await until('some are ended', () => metric('castway_ended_messages_total{reason="too_much"}'), (count) => count > before);
    await Promise.all(sockets.map((raw) => raw.end()));
  });
  assert.ok(most < MAX_GROWTH_MIB, `${most} MiB`);
});

test('200 clients behind one address send 256 KiB at the same time', async () => {
  const sockets = await Promise.all(Array.from({ length: 200 }, () => rawWebSocket(server, '/ws', '127.0.0.7')));
  const text = JSON.stringify({ cmd: 'send', msg: 'x'.repeat(250 * KIB) });
  const most = await withPair(() =>
    Promise.all(sockets.map(async (raw, index) => {
      await raw.send(frame(JSON.stringify({ cmd: 'register', roomid: `crowd-${index}`, clientid: 'a' })));
      await raw.send(frame(text));
      await raw.send(frame('nonsense'));
      await raw.until(/"error":"websocket.JSON.Receive/);
    })),
  );
  // The slots keep messages for peers that may still come.
  assert.ok(most < 200 * 0.25 + MAX_GROWTH_MIB, `${most} MiB`);
  await Promise.all(sockets.map((raw) => raw.drop()));
});

describe('over HTTP/2', () => {
  const open = () => connectHttp2(`https://localhost:${server.httpsPort}`, { rejectUnauthorized: false });

  test('bodies of a connection are bounded, and end', async () => {
    const [start, over] = [residentMib(server.pid), await ended()];
    const sessions = Array.from({ length: 5 }, open);
    const body = Buffer.alloc(MIB - 1, 'x');
    for (const session of sessions) {
      session.on('error', () => {});
      for (let count = 0; count < 100; count += 1) {
        const stream = session.request({ ':method': 'POST', ':path': '/message/h2/1', 'content-type': 'text/plain', 'content-length': `${MIB}` });
        stream.on('error', () => {}).resume();
        stream.write(body);
      }
    }
    let most = 0;
    // A client that is still sending may not notice the end of its request.
    await until('all are ended', async () => {
      most = Math.max(most, residentMib(server.pid) - start);
      return (await ended()) - over;
    }, (count) => count >= 500, { limit: 2 * TIMEOUT_MS });
    assert.ok(most < MAX_GROWTH_MIB, `${most} MiB`);
    sessions.forEach((session) => session.destroy());
  });

  test('requests whose bodies have hardly begun count with all that they hold', async () => {
    const start = residentMib(server.pid);
    const statuses = [];
    // Several addresses with few connections each.
    const sessions = Array.from({ length: 20 }, (_, at) => connectHttp2(`https://127.0.0.1:${server.httpsPort}`, { rejectUnauthorized: false, localAddress: `127.0.0.${20 + (at % 5)}` }));
    for (const session of sessions) {
      session.on('error', () => {});
      for (let count = 0; count < 100; count += 1) {
        const stream = session.request({ ':method': 'POST', ':path': '/message/h2/1', 'content-type': 'text/plain', 'content-length': '9' });
        stream.on('error', () => {}).on('response', (headers) => statuses.push(headers[':status'])).resume();
        stream.write('x');
      }
    }
    let most = 0;
    await until('all are answered', async () => {
      most = Math.max(most, residentMib(server.pid) - start);
      return statuses.length;
    }, (count) => count === 2000);
    assert.ok(statuses.filter((status) => status === 503).length >= 900, 'of 32 KiB each there are 1,024 at most');
    assert.ok(statuses.every((status) => status === 503 || status === 408));
    assert.ok(most < MAX_GROWTH_MIB, `${most} MiB`);
    sessions.forEach((session) => session.destroy());
  });
});

test('counts come back to nothing', async () => {
  await until('nothing is held', () => metric('castway_unfinished_bytes'), (bytes) => bytes === 0);
  assert.ok((await ended()) > 0);
});
