// Messages that a client begins and doesn't finish, and answers that a client requests and doesn't read: the server ends both in time.
import assert from 'node:assert/strict';
import { connect as connectHttp2 } from 'node:http2';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { frame, frameHead, Raw, rawWebSocket } from './support/raw.mjs';
import { startServer } from './support/server.mjs';
import { until, within } from './support/wait.mjs';

const KIB = 1024;
const MIB = 1024 * KIB;

let server;
before(async () => {
  server = await startServer();
});
after(() => server?.close());

const metric = (name) => server.metric(name);

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

  // Sends the head, and then one byte of the body each second.
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

  test('a slow upload that goes on is not cut', async () => {
    const raw = await rawWebSocket(server, '/ws', '127.0.0.6');
    await raw.send(frame(JSON.stringify({ cmd: 'register', roomid: 'slow-upload', clientid: 'a' })));
    const text = JSON.stringify({ cmd: 'send', msg: 'x'.repeat(250 * KIB) });
    await raw.send(frameHead(text.length));
    // The message takes 14 s at 18 KiB a second, which is longer than it may pause.
    const pieces = text.match(/[^]{1,18432}/g);
    for (const piece of pieces) {
      await raw.send(piece);
      await sleep(1000);
    }
    await raw.send(frame('nonsense'));
    assert.match((await raw.until(/"error":"[^"]+"/))[0], /websocket.JSON.Receive/);
  });

  test('an answer that is not let through ends its connection', async () => {
    const session = connectHttp2(`https://localhost:${server.httpsPort}`, { rejectUnauthorized: false, settings: { initialWindowSize: 0 } });
    session.on('error', () => {});
    const streams = Array.from({ length: 50 }, () => session.request({ ':path': '/tv' }).on('error', () => {}));
    await within(new Promise((resolve) => session.on('close', resolve)), 'end of the connection');
    assert.ok(streams.every((stream) => stream.closed));
  });

  test('an answer that nobody reads ends its connection', async () => {
    const asset = (await (await fetch(`${server.url}/tv`)).text()).match(/src="(\/[^"]+\.js)"/)?.[1] ?? '/tv';
    const raw = new Raw(server, '127.0.0.8');
    raw.socket.pause();
    // More answers than any kernel buffers.
    const ask = `GET ${asset} HTTP/1.1\r\nHost: ${server.httpAddr}\r\n\r\n`;
    const asking = setInterval(() => raw.socket.writableLength < MIB && raw.send(ask.repeat(500)), 20);
    await until('the connection ends', () => raw.closed).finally(() => clearInterval(asking));
  });
});

test('a head of more than 16 KiB is refused', async () => {
  const raw = new Raw(server);
  await raw.request('GET', '/healthz', { 'X-Long': 'x'.repeat(40 * KIB) }).catch(() => {});
  await raw.until(/^HTTP\/1\.1 431 /);
});

describe('over HTTP/2', () => {
  const open = () => connectHttp2(`https://localhost:${server.httpsPort}`, { rejectUnauthorized: false });

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

test('counts come back to nothing', async () => {
  await until('nothing is held', () => metric('castway_unfinished_bytes'), (bytes) => bytes === 0);
  assert.ok((await metric('castway_ended_messages_total{reason="late"}')) > 0);
});
