// Clients that never read: raw connections that send, including pongs, and leave everything they receive in the kernel.
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { TIMEOUT_MS, until, within } from './wait.mjs';

const open = new Set();

export function closeUnread() {
  for (const client of open) client.close();
  open.clear();
}

// A process's resident memory in MiB.
export const rss = ({ pid }) => Number(readFileSync(`/proc/${pid}/status`, 'utf8').match(/VmRSS:\s+(\d+)/)[1]) / 1024;

// The value of a metric in /metrics.
export async function metric(server, name) {
  const text = await (await fetch(`${server.url}/metrics`)).text();
  const value = text.match(new RegExp(`^${name}(?:{[^}]*})? (\\S+)$`, 'm'));
  if (!value) throw new Error(`no ${name} in /metrics`);
  return Number(value[1]);
}

function frame(text, opcode = 1) {
  const payload = Buffer.from(text);
  const key = randomBytes(4);
  const length = payload.length < 126 ? [0x80 | payload.length] : payload.length < 65_536 ? [0xfe, payload.length >> 8, payload.length & 255] : [0xff, 0, 0, 0, 0, ...Buffer.from(Uint32Array.of(payload.length).buffer).reverse()];
  for (let at = 0; at < payload.length; at += 1) payload[at] ^= key[at % 4];
  return Buffer.concat([Buffer.from([0x80 | opcode, ...length]), key, payload]);
}

// A connection on which nothing is read, so its end is noticed only by writing: the end waits behind the unread bytes.
export class Unread {
  closed = false;
  pongs = false;

  constructor(server, from = '127.0.0.2') {
    const [host, port] = server.httpAddr.split(':');
    this.socket = connect({ host, port: Number(port), localAddress: from });
    this.socket.on('error', () => {});
    this.socket.on('close', () => (this.closed = true));
    open.add(this);
  }

  // Reads until `end` has arrived, and nothing after it.
  async hear(end) {
    let heard = '';
    const listen = async () => {
      while (!heard.includes(end)) heard += await within(once(this.socket, 'data').then(([data]) => data.toString('latin1')), `${end} in ${heard}`);
    };
    await listen();
    this.socket.pause();
    return heard;
  }

  get(path, headers = '') {
    this.socket.write(`GET ${path} HTTP/1.1\r\nHost: castway.test\r\n${headers}\r\n`);
  }

  // A WebSocket; `first` is the last message that it reads.
  static async websocket(server, path, first = '\r\n\r\n', say = [], from = undefined) {
    const client = new Unread(server, from);
    client.get(path, 'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: http://castway.test\r\n');
    say.forEach((text) => client.say(text));
    await client.hear(first);
    return client;
  }

  // A client of socket.io 4 that has connected a namespace.
  static async socketIo(server, query = '', from = undefined) {
    const client = await Unread.websocket(server, `/socket.io/?EIO=4&transport=websocket&${query}`, '40{"sid"', ['40'], from);
    client.pongs = true;
    return client;
  }

  say(text) {
    if (!this.closed) this.socket.write(frame(text));
  }

  // Sends the same text several times, which costs this process little. Skips this while the server does not read the earlier ones.
  sayOften(text, times) {
    if (!this.closed && this.socket.writableLength < 1024 * 1024) this.socket.write(Buffer.concat(Array(times).fill(frame(text))));
  }

  // Shows that the client is alive: a pong of the WebSocket, and one of Engine.IO if the client uses it.
  pulse() {
    if (this.closed) return;
    this.socket.write(frame('', 10));
    if (this.pongs) this.say('3');
  }

  emit(event, ...args) {
    this.say(`42${JSON.stringify([event, ...args])}`);
  }

  ask(event, ...args) {
    this.say(`421${JSON.stringify([event, ...args])}`);
  }

  // Repeats `act` until the server has closed the connection.
  async untilClosed(act, limit = TIMEOUT_MS) {
    await until('the server closes the connection', async () => {
      await act(this);
      this.pulse();
      return this.closed;
    }, Boolean, { limit, pause: 100 });
  }

  close() {
    this.socket.destroy();
  }
}
