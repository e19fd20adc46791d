// WebSocket handshakes that are complete, changed by a proxy, or invalid: the answers of the original servers and of Castway.
import assert from 'node:assert/strict';
import { connect as connect2 } from 'node:http2';
import { connect } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { freePort } from './support/ports.mjs';
import { client, head, old, recent, startOriginal } from './support/originals.mjs';
import { isInstalled, nginx, startProxy } from './support/proxy.mjs';
import { startServer } from './support/server.mjs';
import { within } from './support/wait.mjs';

const KEY = 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==';
const VERSION = 'Sec-WebSocket-Version: 13';
const UPGRADE = 'Upgrade: websocket';
const CONNECTION = 'Connection: Upgrade';
const whole = [UPGRADE, CONNECTION, KEY, VERSION];
const key = (value) => [UPGRADE, CONNECTION, VERSION, `Sec-WebSocket-Key: ${value}`];
const version = (value) => [UPGRADE, CONNECTION, KEY, `Sec-WebSocket-Version: ${value}`];
const protocol = (...lists) => [...whole, ...lists.map((list) => `Sec-WebSocket-Protocol: ${list}`)];
const socketIo = (eio, more = '') => `/socket.io/?EIO=${eio}&transport=websocket${more}`;
const request = (path, headers, { method = 'GET', http = '1.1', body = '' } = {}) =>
  `${method} ${path} HTTP/${http}\r\nHost: 127.0.0.1\r\n${headers.map((line) => `${line}\r\n`).join('')}\r\n${body}`;

// The parts of each handshake. `ours` is Castway's status where it differs from the original's on purpose.
const cases = {
  'a whole one': { headers: whole },
  'without Upgrade': { headers: [CONNECTION, KEY, VERSION] },
  'without Connection': { headers: [UPGRADE, KEY, VERSION] },
  'with Connection: close': { headers: [UPGRADE, 'Connection: close', KEY, VERSION] },
  'without both, as nginx passes it on': { headers: ['Connection: close', KEY, VERSION], http: '1.0' },
  'with another Upgrade': { headers: ['Upgrade: h2c', CONNECTION, KEY, VERSION] },
  // RFC 6455 §4.2.1 requires HTTP/1.1 or higher: a proxy that uses HTTP/1.0 can't forward a WebSocket.
  'over HTTP/1.0': { headers: whole, http: '1.0', ours: 400 },
  // RFC 6455 §4.4 requires 426 and the supported version. The originals accept version 8, which no browser of the last ten years uses.
  'without a version': { headers: [UPGRADE, CONNECTION, KEY], ours: 426 },
  'with version 8': { headers: version(8), ours: 426 },
  'with version 12': { headers: version(12), ours: 426 },
  'with two versions': { headers: [...whole, VERSION], ours: 426 },
  'without a key': { headers: [UPGRADE, CONNECTION, VERSION] },
  'with an empty key': { headers: key('') },
  'with a short key': { headers: key('abc') },
  'with a key of 17 bytes': { headers: key('dGhlIHNhbXBsZSBub25jZSE=') },
  'with a key that is no base64': { headers: key('dGhlIHNhbXBsZSBub25jZ-==') },
  'with two keys': { headers: [...whole, KEY] },
};
// Further cases for Socket.IO only.
const more = {
  'no handshake at all': { headers: [] },
  'a POST': { headers: ['Content-Length: 1'], method: 'POST', body: '1' },
  'a POST with all headers': { headers: [...whole, 'Content-Length: 0'], method: 'POST' },
  'a HEAD with all headers': { headers: whole, method: 'HEAD' },
  'for a session that is not there': { headers: whole, more: '&sid=AAAAAAAAAAAAAAAA' },
  'for a session that can not be there': { headers: whole, more: '&sid=x' },
  'with a subprotocol': { headers: protocol('one') },
  'with several': { headers: protocol('two, one') },
  'with several without spaces': { headers: protocol('two,one') },
  'with several and many spaces': { headers: protocol('  two ,\t one  ') },
  'with several headers of them': { headers: protocol('one', 'two') },
  'with an empty list': { headers: protocol('') },
  'with an empty first one': { headers: protocol(',one') },
  'with an empty last one': { headers: protocol('one,') },
  'with a space inside': { headers: protocol('on e') },
  'with quotes': { headers: protocol('"one"') },
  'with one twice': { headers: protocol('one, one') },
};

describe('a handshake', () => {
  let server;
  let colliderPort;
  const originals = {};
  before(async () => {
    colliderPort = await freePort();
    server = await startServer({ CASTWAY_COLLIDER_ADDR: `127.0.0.1:${colliderPort}` });
    for (const name of ['socket.io-2', 'socket.io-4']) originals[name] = await startOriginal(name);
  });
  after(() => Promise.all([server, ...Object.values(originals)].map((one) => one?.close())));
  const ourPort = () => Number(new URL(server.url).port);

  for (const [eio, original] of [[3, 'socket.io-2'], [4, 'socket.io-4']]) {
    for (const [name, { headers, ours, more: query, ...rest }] of Object.entries({ ...cases, ...more })) {
      test(`of Engine.IO ${eio}, ${name}, is answered ${ours ? `with ${ours}` : `as by ${original}`}`, async () => {
        const text = request(socketIo(eio, query), headers, rest);
        const [expected, got] = [await head(originals[original].port, text), await head(ourPort(), text)];
        assert.equal(got.status, ours ?? expected.status);
        if (!ours) assert.equal(got.headers['sec-websocket-protocol'], expected.headers['sec-websocket-protocol']);
        assert.equal(got.headers['sec-websocket-accept'], got.status === 101 ? 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=' : undefined);
        assert.equal(got.headers['sec-websocket-version'], got.status === 426 ? '13' : undefined);
      });
    }
  }

  for (const [name, { headers, ours, ...rest }] of Object.entries(cases)) {
    test(`${name} has the same answer at Collider's path and port`, async () => {
      const expected = (await head(ourPort(), request(socketIo(4), headers, rest))).status;
      assert.equal((await head(ourPort(), request('/ws', headers, rest))).status, expected);
      assert.equal((await head(colliderPort, request('/ws', headers, rest))).status, expected);
    });
  }

  test('over HTTP/2 gets an error', async () => {
    const session = connect2(`https://127.0.0.1:${server.httpsPort}`, { rejectUnauthorized: false });
    try {
      for (const headers of [{}, { 'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==', 'sec-websocket-version': '13' }]) {
        const stream = session.request({ ':path': socketIo(4), ...headers });
        const status = await within(new Promise((resolve, reject) => stream.on('response', (head) => resolve(head[':status'])).on('error', reject)), 'answer');
        stream.close();
        assert.equal(status, 400);
      }
    } finally {
      session.close();
    }
  });

  test('of frames that come with it loses none', async () => {
    // The packet with the request also contains the client's ping and its masked text `40/rtc?a=1,`.
    const frame = (first, text) => Buffer.from([first, 0x80 | text.length, 0, 0, 0, 0, ...Buffer.from(text)]).toString('latin1');
    const text = request(socketIo(3), whole) + frame(0x89, 'x') + frame(0x81, '40/rtc?a=1,');
    const socket = connect(ourPort(), '127.0.0.1', () => socket.write(text, 'latin1'));
    let got = '';
    try {
      await within(new Promise((resolve) => socket.on('data', (chunk) => {
        got += chunk.toString('latin1');
        if (got.includes('40/rtc,')) resolve();
      })), `connection, but ${JSON.stringify(got)}`);
    } finally {
      socket.destroy();
    }
  });
});

describe('behind an nginx with proxy_pass alone', { skip: !isInstalled('nginx') && 'nginx is not installed' }, () => {
  let server;
  let original;
  const fronts = {};
  before(async () => {
    server = await startServer();
    original = await startOriginal('socket.io-4');
    for (const [name, behind] of Object.entries({ ours: server.url, original: original.url })) {
      fronts[name] = await startProxy('nginx', nginx.args, async ({ folder, port }) => ({
        url: `http://127.0.0.1:${port}`,
        text: nginx.config(`server { listen 127.0.0.1:${port}; location / { proxy_pass ${behind}; } }`, folder),
        ready: async () => (await fetch(`http://127.0.0.1:${port}/socket.io/?EIO=4&transport=polling`)).status === 200,
      }));
    }
  });
  after(() => Promise.all([...Object.values(fronts), server, original].map((one) => one?.close())));

  // How a client that begins with a WebSocket connects.
  const outcome = (version, url, options) => {
    const socket = client(version)(url, { transports: ['websocket', 'polling'], forceNew: true, reconnection: false, timeout: 3_600_000, ...options });
    return within(new Promise((resolve) => {
      socket.on('connect', () => resolve(`connected by ${socket.io.engine.transport.name}`));
      for (const event of ['connect_error', 'error']) {
        socket.on(event, () => resolve('error'));
        socket.io.on(event, () => resolve('error'));
      }
    }), 'outcome').finally(() => {
      socket.disconnect();
      socket.io.engine?.close();
    });
  };

  for (const version of [...old, ...recent]) {
    test(`client ${version} that begins with WebSocket gets an error at once, as with the original`, async () => {
      assert.equal(await outcome(version, fronts.original.url), 'error');
      assert.equal(await outcome(version, fronts.ours.url), 'error');
    });
  }

  test('client 4.8 that tries all transports goes on by polling, as with the original', async () => {
    for (const front of [fronts.original, fronts.ours]) {
      assert.equal(await outcome('4', front.url, { tryAllTransports: true }), 'connected by polling');
    }
  });

  test('a client of any generation that begins with polling stays with it', async () => {
    for (const version of [...old, ...recent]) {
      assert.equal(await outcome(version, fronts.ours.url, { transports: ['polling', 'websocket'] }), 'connected by polling', version);
    }
  });
});

describe('the body of a POST', () => {
  let server;
  const originals = {};
  before(async () => {
    server = await startServer();
    for (const name of ['socket.io-2', 'socket.io-4']) originals[name] = await startOriginal(name);
  });
  after(() => Promise.all([server, ...Object.values(originals)].map((one) => one?.close())));

  for (const [about, sid] of [['no session', ''], ['an unknown session', '&sid=AAAAAAAAAAAAAAAA'], ['what can be none', '&sid=nobody']]) {
    for (const query of ['EIO=3', 'EIO=4', 'EIO=3&j=0', 'EIO=4&j=0', 'b64=1']) {
      test(`with ${query} for ${about} is not waited for`, async () => {
        const text = `POST /socket.io/?${query}&transport=polling${sid} HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n1`;
        const got = await head(Number(server.httpAddr.split(':')[1]), text);
        assert.equal(got.status, 400);
        for (const original of Object.values(originals)) assert.equal((await head(original.port, text)).status, 400);
      });
    }
  }
});
