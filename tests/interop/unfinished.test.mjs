// What strangers begin to send and do not finish, and what they are sent and do not take: none of it stays, and little of it is held.
import assert from 'node:assert/strict';
import { connect as connectHttp2 } from 'node:http2';
import { after, before, describe, test } from 'node:test';
import { closeAll, connect } from './support/clients.mjs';
import { exchange, pair } from './support/dialects.mjs';
import { frame, frameHead, Raw, rawWebSocket } from './support/raw.mjs';
import { residentMib } from './support/resident.mjs';
import { inRounds } from './support/rounds.mjs';
import { startServer } from './support/server.mjs';
import { PATIENCE, until, within } from './support/wait.mjs';

const KIB = 1024;
const MIB = 1024 * KIB;
// Half of what the house promises for all attacks together, in MiB more than before.
const MOST_MORE = 64;

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

// Whatever strangers do, a pair beside them keeps exchanging; resolves to the most MiB that the server held more than before.
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
  assert.ok(most < MOST_MORE, `${most} MiB`);
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
  assert.ok(most < MOST_MORE, `${most} MiB`);
});

describe('what is unfinished ends', { concurrency: true }, () => {
  const webSocket = (title, path, bytes) =>
    test(title, async () => {
      const raw = await rawWebSocket(server, path, '127.0.0.4');
      await raw.send(bytes);
      await raw.end();
    });
  for (const path of ['/ws', '/socket.io/?EIO=3&transport=websocket']) {
    webSocket(`a head, ${path}`, path, frameHead(5).subarray(0, 1));
    webSocket(`a frame, ${path}`, path, frame('42["a"]').subarray(0, 8));
    webSocket(`a control frame, ${path}`, path, frame('ping', { opcode: 9 }).subarray(0, 8));
    webSocket(`a fragment, ${path}`, path, frame('4', { fin: false }));
    webSocket(`an empty fragment, ${path}`, path, frame('', { fin: false }));
  }
  webSocket('an event without its attachment', '/socket.io/?EIO=3&transport=websocket', frame('451-["a",{"_placeholder":true,"num":0}]'));
  webSocket('a WebSocket whose client never says which namespace it wants', '/socket.io/?EIO=4&transport=websocket', '');

  test('fragments and pings without end', async () => {
    const raw = await rawWebSocket(server, '/ws', '127.0.0.4');
    await raw.send(frame('{', { fin: false }));
    const timer = setInterval(() => raw.send(Buffer.concat([frame('', { opcode: 0, fin: false }), frame('', { opcode: 9 })])), 500);
    await raw.end().finally(() => clearInterval(timer));
  });

  // The head, and one byte of its body each second.
  const slowly = async (method, path, headers) => {
    const raw = new Raw(server, '127.0.0.5');
    await raw.request(method, path, { 'Content-Length': 1000, ...headers });
    const timer = setInterval(() => raw.send('x'), 1000);
    await raw.until(/^HTTP\/1\.1 408 [\s\S]*"error":"RequestTimeout"/).finally(() => clearInterval(timer));
    await raw.end();
  };
  const form = { 'Content-Type': 'application/x-www-form-urlencoded' };
  const text = { 'Content-Type': 'text/plain;charset=UTF-8' };
  for (const [title, method, path, headers] of [
    ['/turn', 'POST', '/turn', form],
    ['/message', 'POST', '/message/slow/1', text],
    ['/a', 'POST', '/a', text],
    ["Collider's POST", 'POST', '/slow/1', text],
  ]) {
    test(`a body for ${title}`, () => slowly(method, path, headers));
  }
  for (const eio of [3, 4]) {
    for (const [title, more, headers] of [['polling', '', text], ['JSONP', '&j=0', form]]) {
      test(`a body of ${title}, Engine.IO ${eio}`, async () => {
        const url = `/socket.io/?EIO=${eio}&transport=polling${more}`;
        const [, sid] = (await (await fetch(server.url + url)).text()).match(/\\?"sid\\?":\\?"([^"\\]+)/);
        const session = `${url}&sid=${sid}`;
        if (eio === 4 && !more) await fetch(server.url + session, { method: 'POST', body: '40', headers: { 'content-type': 'text/plain' } });
        const polls = new AbortController();
        const polling = (async () => {
          while ((await fetch(server.url + session, { signal: polls.signal })).ok);
        })().catch(() => {});
        await slowly('POST', session, headers);
        polls.abort();
        await polling;
      });
    }
  }
  for (const eio of [3, 4]) {
    test(`a session that polls and does not send the attachment of its event, Engine.IO ${eio}`, async () => {
      const url = `${server.url}/socket.io/?EIO=${eio}&transport=polling`;
      const [, sid] = (await (await fetch(url)).text()).match(/"sid":"([^"]+)"/);
      const say = (packet) => fetch(`${url}&sid=${sid}`, { method: 'POST', body: eio === 3 ? `${packet.length}:${packet}` : packet, headers: { 'content-type': 'text/plain' } });
      if (eio === 4) await say('40');
      await say('452-["a",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]');
      await say(`${eio === 3 ? 'b4' : 'b'}${'A'.repeat(100 * KIB)}`);
      assert.ok((await metric('castway_unfinished_bytes')) >= 100 * KIB);
      const polling = (async () => {
        while ((await fetch(`${url}&sid=${sid}`)).ok) await say(eio === 3 ? '2' : '3');
      })();
      await within(polling, 'end of the session');
    });
  }
  test('a head', async () => {
    const raw = new Raw(server, '127.0.0.5');
    await raw.send('POST /turn HTTP/1.1\r\nHost: a\r\n');
    await raw.end();
  });
});

test('a head of more than 16 KiB is refused', async () => {
  const raw = new Raw(server);
  await raw.request('GET', '/healthz', { 'X-Long': 'x'.repeat(40 * KIB) }).catch(() => {});
  await raw.until(/^HTTP\/1\.1 431 /);
});

test('a slow upload that goes on is not cut', async () => {
  const raw = await rawWebSocket(server, '/ws', '127.0.0.6');
  await raw.send(frame(JSON.stringify({ cmd: 'register', roomid: 'slow-upload', clientid: 'a' })));
  const text = JSON.stringify({ cmd: 'send', msg: 'x'.repeat(250 * KIB) });
  await raw.send(frameHead(text.length));
  // 18 KiB a second for 14 s.
  const pieces = text.match(/[^]{1,18432}/g);
  for (const piece of pieces) {
    await raw.send(piece);
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
  await raw.send(frame('nonsense'));
  assert.match((await raw.until(/"error":"[^"]+"/))[0], /websocket.JSON.Receive/);
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
  // The slots keep the messages for peers that may come.
  assert.ok(most < 200 * 0.25 + MOST_MORE, `${most} MiB`);
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
    // Whether a client hears of the end of what it still sends is its own affair.
    await until('all are ended', async () => {
      most = Math.max(most, residentMib(server.pid) - start);
      return (await ended()) - over;
    }, (count) => count >= 500, { limit: 2 * PATIENCE });
    assert.ok(most < MOST_MORE, `${most} MiB`);
    sessions.forEach((session) => session.destroy());
  });

  test('requests whose bodies have hardly begun count with all that they hold', async () => {
    const start = residentMib(server.pid);
    const statuses = [];
    // From several addresses, each with few connections.
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
    assert.ok(most < MOST_MORE, `${most} MiB`);
    sessions.forEach((session) => session.destroy());
  });

  test('a POST of no session is answered before its body comes', async () => {
    const session = open();
    for (const query of ['EIO=3&transport=polling&sid=AAAAAAAAAAAAAAAA', 'EIO=4&transport=polling&sid=AAAAAAAAAAAAAAAA&j=0', 'EIO=3&transport=polling']) {
      const stream = session.request({ ':method': 'POST', ':path': `/socket.io/?${query}`, 'content-type': 'text/plain' });
      stream.on('error', () => {}).resume();
      stream.write('x');
      const status = await within(new Promise((resolve) => stream.on('response', (headers) => resolve(headers[':status']))), 'an answer');
      assert.equal(status, 400, query);
      stream.close();
    }
    session.destroy();
  });

  test('an answer that is not let through ends its connection', async () => {
    const session = connectHttp2(`https://localhost:${server.httpsPort}`, { rejectUnauthorized: false, settings: { initialWindowSize: 0 } });
    session.on('error', () => {});
    const streams = Array.from({ length: 50 }, () => session.request({ ':path': '/tv' }).on('error', () => {}));
    await within(new Promise((resolve) => session.on('close', resolve)), 'end of the connection');
    assert.ok(streams.every((stream) => stream.closed));
  });

  test('a hundred requests at once are served, and an answer that is taken slowly', async () => {
    const session = open();
    const texts = await Promise.all(Array.from({ length: 100 }, async () => {
      const stream = session.request({ ':path': '/tv' });
      let text = '';
      for await (const chunk of stream) text += chunk;
      return text;
    }));
    assert.ok(texts.every((text) => text === texts[0] && text.includes('</html>')));
    session.destroy();
  });
});

test('an answer that nobody reads ends its connection', async () => {
  const asset = (await (await fetch(`${server.url}/tv`)).text()).match(/src="(\/[^"]+\.js)"/)?.[1] ?? '/tv';
  const raw = new Raw(server, '127.0.0.8');
  raw.socket.pause();
  // As many answers as no kernel takes.
  const ask = `GET ${asset} HTTP/1.1\r\nHost: ${server.httpAddr}\r\n\r\n`;
  const asking = setInterval(() => raw.socket.writableLength < MIB && raw.send(ask.repeat(500)), 20);
  await until('the connection ends', () => raw.closed).finally(() => clearInterval(asking));
});

test('counts come back to nothing', async () => {
  await until('nothing is held', () => metric('castway_unfinished_bytes'), (bytes) => bytes === 0);
  assert.ok((await ended()) > 0);
});
