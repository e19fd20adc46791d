// Hostile clients of every kind, from loopback addresses of their own, until the test's time is over. They run in a separate process, so
// that the test can observe the server meanwhile. At the end, prints how many of each kind connected, as one JSON object.
// node attackers.mjs '{"http":8080,"https":8443,"turn":3478,"seconds":60,"clients":2000}'
import { createHmac, randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { connect as connectHttp2 } from 'node:http2';
import { connect as connectTcp } from 'node:net';

const { http, https, turn, seconds, clients } = JSON.parse(process.argv[2]);
const deadline = Date.now() + seconds * 1000;
const tally = {};
const count = (what) => (tally[what] = (tally[what] ?? 0) + 1);
const over = () => Date.now() >= deadline;
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// Addresses of 127.0.0.0/8 that no other test and no honest client of this test uses.
const address = (kind, number) => `127.${100 + kind}.${Math.floor(number / 250) % 250}.${1 + (number % 250)}`;

// A connection whose errors are ignored. `reads`: whether it reads incoming data.
function open(from, port, { reads = true } = {}) {
  const socket = connectTcp({ port, host: '127.0.0.1', localAddress: from, highWaterMark: 1024 });
  socket.on('error', () => {});
  if (reads) socket.resume();
  else socket.pause();
  return socket;
}

const closed = (socket) => new Promise((resolve) => (socket.destroyed ? resolve() : socket.once('close', resolve)));

// Reconnects a disconnected client until the end, at most twice a second.
async function again(kind, client) {
  while (!over()) {
    const socket = client();
    count(kind);
    await Promise.race([closed(socket), pause(deadline - Date.now())]);
    socket.destroy();
    await pause(500);
  }
}

// A masked frame with a mask of zeros.
function frame(opcode, text, { length = Buffer.byteLength(text) } = {}) {
  const header = length < 126 ? [0x80 | length] : length < 65_536 ? [0x80 | 126, length >> 8, length & 255] : [0x80 | 127, 0, 0, 0, 0, length >>> 24, (length >> 16) & 255, (length >> 8) & 255, length & 255];
  return Buffer.concat([Buffer.from([0x80 | opcode, ...header, 0, 0, 0, 0]), Buffer.from(text)]);
}

const upgrade = (path) =>
  `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${http}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${randomBytes(16).toString('base64')}\r\n\r\n`;

// A Socket.IO client that sends `words` repeatedly as soon as it is connected. It sends pongs at a fixed interval, and reads nothing more.
function deaf(from, query, first, words, every) {
  const socket = open(from, http);
  const timers = [];
  socket.write(upgrade(`/socket.io/?EIO=4&transport=websocket&${query}`));
  let read = '';
  socket.on('data', function hear(chunk) {
    const opened = read.includes('0{"sid"');
    read += chunk;
    if (!opened && read.includes('0{"sid"')) socket.write(frame(1, '40'));
    if (!read.includes('40{"sid"')) return;
    socket.off('data', hear).pause();
    if (first) socket.write(frame(1, first));
    timers.push(setInterval(() => socket.writableLength < 65_536 && socket.write(words), every));
    timers.push(setInterval(() => socket.write(frame(1, '3')), 20_000));
  });
  socket.on('close', () => timers.forEach(clearInterval));
  return socket;
}

const EXTRA = 'x'.repeat(16 * 1024 - 200);
const user = (name) => `userid=${name}&sessionid=${name}&msgEvent=m&socketCustomEvent=c&maxParticipantsAllowed=1000`;
const many = (text, times) => Buffer.concat(Array.from({ length: times }, () => frame(1, text)));

const kinds = {
  // Small requests with large answers.
  'acks that nobody reads': [0.12, (from, n) => deaf(from, user(`a${n}`), `42["extra-data-updated",{"x":"${EXTRA}"}]`, many(`421["get-remote-user-extra-data","a${n}"]`, 20), 250)],
  'listings that nobody reads': [0.05, (from, n) => deaf(from, user(`l${n}`), `421["open-room",{"sessionid":"l${n}","identifier":"all","extra":{"x":"${EXTRA}"}}]`, many('422["get-public-rooms","all"]', 20), 250)],
  'extra data for the peers of others': [0.05, (from, n) => deaf(from, user(`p${n}`), `42["m",{"remoteUserId":"p${n - 1}","message":{"hello":true},"sender":"p${n}"}]`, many(`42["extra-data-updated",{"x":"${EXTRA}"}]`, 2), 250)],
  'frames that do not end': [0.2, (from) => {
    const socket = open(from, http);
    socket.write(upgrade('/socket.io/?EIO=4&transport=websocket'));
    socket.write(frame(1, '40'));
    socket.write(frame(1, `42["CLIENT_OFFER_TO_SERVER","${'x'.repeat(256 * 1024 - 100)}`, { length: 256 * 1024 }));
    return socket;
  }],
  'Collider frames that do not end': [0.05, (from, n) => {
    const socket = open(from, http);
    socket.write(upgrade('/ws'));
    socket.write(frame(1, `{"cmd":"register","roomid":"c${n}","clientid":"1"}`));
    socket.write(frame(1, `{"cmd":"send","msg":"${'x'.repeat(256 * 1024 - 100)}`, { length: 256 * 1024 }));
    return socket;
  }],
  'bodies that do not end': [0.1, (from, n) => {
    const path = ['/turn', '/message/a/b', '/v1alpha/turn', '/socket.io/?EIO=3&transport=polling', '/join/x', '/a/b'][n % 6];
    const socket = open(from, http);
    socket.write(`POST ${path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 250000\r\n\r\n`);
    const drip = setInterval(() => socket.write('a=b&'.repeat(250)), 1000);
    socket.on('close', () => clearInterval(drip));
    return socket;
  }],
  'answers that nobody reads': [0.1, (from) => {
    const socket = open(from, http, { reads: false });
    socket.write('GET /socket.io/socket.io.js HTTP/1.1\r\nHost: localhost\r\n\r\n'.repeat(40));
    return socket;
  }],
  'silent connections to the relay': [0.2, (from) => open(from, turn)],
  'HTTP/2 posts that do not end': [0.02, (from) => {
    const session = connectHttp2(`https://localhost:${https}`, { rejectUnauthorized: false, localAddress: from });
    session.on('error', () => {});
    session.on('connect', () => {
      for (let stream = 0; stream < 100; stream += 1) {
        const request = session.request({ ':method': 'POST', ':path': '/socket.io/?EIO=3&transport=polling' });
        request.on('error', () => {});
        request.write(Buffer.alloc(200_000, 'a'));
      }
    });
    return session;
  }],
};

// Clients that open connections and send as fast as they can.
const floods = {
  'polling handshakes': [20, 4, (from) => {
    const socket = open(from, http);
    const ask = 'GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: localhost\r\n\r\n'.repeat(50);
    const asking = setInterval(() => socket.writableLength < 65_536 && (socket.write(ask), count('polling handshakes asked for')), 100);
    socket.on('close', () => clearInterval(asking));
    return socket;
  }],
  'AppRTC messages': [21, 64, (from, n) => {
    const socket = open(from, http);
    let room = 0;
    const say = () => {
      room += 1;
      const body = 'x'.repeat(60_000);
      socket.write(`POST /join/flood-${n}-${room} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n`);
      socket.write(`POST /flood-${n}-${room}/1 HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
    };
    const saying = setInterval(() => socket.writableLength < 65_536 && say(), 500);
    socket.on('close', () => clearInterval(saying));
    return socket;
  }],
  'TVs that nobody has': [22, 100, (from) => deaf(from, '', null, many('420["TV_INIT"]', 3), 1000)],
  'wrong codes': [23, 20, (from) => deaf(from, '', null, many('421["JOIN_ROOM","ABCDEF"]', 5), 500)],
  'TURN passwords over TCP': [24, 10, (from) => {
    const socket = open(from, turn);
    const trying = setInterval(() => socket.writableLength < 65_536 && socket.write(Buffer.concat(Array.from({ length: 20 }, allocate))), 200);
    socket.on('close', () => clearInterval(trying));
    return socket;
  }],
};

// An Allocate with a USERNAME, and with a NONCE and a MESSAGE-INTEGRITY that are invented.
function allocate() {
  const attribute = (type, value) => {
    const bytes = Buffer.alloc(4 + Math.ceil(value.length / 4) * 4);
    bytes.writeUInt16BE(type, 0);
    bytes.writeUInt16BE(value.length, 2);
    value.copy(bytes, 4);
    return bytes;
  };
  const body = Buffer.concat([
    attribute(0x19, Buffer.from([17, 0, 0, 0])), attribute(0x06, Buffer.from('2000000000:alice')), attribute(0x14, Buffer.from('castway')), attribute(0x15, randomBytes(16)),
  ]);
  const header = Buffer.alloc(8);
  header.writeUInt16BE(3, 0);
  header.writeUInt16BE(body.length + 24, 2);
  header.writeUInt32BE(0x2112a442, 4);
  const unsigned = Buffer.concat([header, randomBytes(12), body]);
  return Buffer.concat([unsigned, attribute(0x08, createHmac('sha1', randomBytes(16)).update(unsigned).digest())]);
}

const running = [];
Object.entries(kinds).forEach(([kind, [share, client]], index) => {
  const number = Math.max(1, Math.round(clients * share));
  running.push(
    (async () => {
      for (let n = 0; n < number && !over(); n += 1) {
        again(kind, () => client(address(index, n), n));
        // All clients of a kind connect within ten seconds.
        await pause(10_000 / number);
      }
    })(),
  );
});
for (const [kind, [place, number, client]] of Object.entries(floods)) {
  for (let n = 0; n < number; n += 1) again(kind, () => client(address(place, n), n));
}
// Sends garbage to the relay over UDP.
const datagrams = createSocket('udp4');
datagrams.on('error', () => {});
const garbage = setInterval(() => {
  for (let n = 0; n < 20; n += 1) datagrams.send(n % 2 ? allocate() : randomBytes(200), turn, '127.0.0.1');
}, 50);

await Promise.all(running);
await pause(deadline - Date.now());
clearInterval(garbage);
console.log(JSON.stringify(tally));
process.exit(0);
