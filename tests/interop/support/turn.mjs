// A small TURN client (RFC 8656) over UDP, TCP and TLS, which shares no code with any server that it tests.
import { randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { connect, isIPv6 } from 'node:net';
import { connect as connectTls } from 'node:tls';
import {
  ATTRIBUTE, channelData, CHANNEL_HEADER_BYTES, DATA_INDICATION, errorOf, frameBytes, isChannelData, isMessage, longTermKey, message,
  METHOD, padded, parse, SEND_INDICATION, SUCCESS, UDP, unxorAddress, withIntegrity, word, xorAddress,
} from './stun.mjs';
import { TIMEOUT_MS } from './wait.mjs';

const RETRANSMISSION_MS = 500;
const STALE_NONCE = 438;

// Sends and receives messages over UDP. Both kinds of transport have `open`, `send`, `close` and, once open, `address`.
class Datagrams {
  #socket;

  constructor({ host, port, local, recvBufferSize }, hear) {
    Object.assign(this, { host, port, local });
    this.#socket = createSocket({ type: isIPv6(host) ? 'udp6' : 'udp4', recvBufferSize });
    this.#socket.on('message', hear);
    this.#socket.on('error', () => {});
  }

  async open() {
    this.#socket.bind(0, this.local);
    await once(this.#socket, 'listening');
    this.address = this.#socket.address();
  }

  send(bytes) {
    this.#socket.send(bytes, this.port, this.host);
  }

  close() {
    this.#socket.close();
  }
}

// Sends and receives STUN messages and ChannelData over TCP or TLS.
class ByteStream {
  #socket;
  #unread = Buffer.alloc(0);

  constructor({ host, port, local, tls }, hear) {
    Object.assign(this, { host, port, local, tls, hear });
  }

  async open() {
    const tcp = connect({ host: this.host, port: this.port, localAddress: this.local, noDelay: true });
    tcp.on('error', () => {});
    await once(tcp, 'connect');
    this.address = tcp.address();
    this.#socket = this.tls ? connectTls({ socket: tcp, ...this.tls }) : tcp;
    this.#socket.on('error', () => {});
    if (this.tls) await once(this.#socket, 'secureConnect');
    this.#socket.on('data', (chunk) => this.#read(chunk));
  }

  #read(chunk) {
    this.#unread = Buffer.concat([this.#unread, chunk]);
    for (;;) {
      const end = frameBytes(this.#unread);
      if (end === null || this.#unread.length < end) return;
      this.hear(this.#unread.subarray(0, end));
      this.#unread = this.#unread.subarray(end);
    }
  }

  // In a stream, a frame ends at a multiple of 4 bytes (RFC 8656 §12.5).
  send(bytes) {
    this.#socket.write(Buffer.concat([bytes, Buffer.alloc(padded(bytes.length) - bytes.length)]));
  }

  close() {
    this.#socket?.destroy();
  }
}

export class TurnClient {
  // The number of payloads that arrived from peers.
  received = 0;
  // How long this client has waited before each retransmission, in ms, all together.
  waited = 0;
  #pending = new Map();
  #channels = new Map();
  #data = [];
  #dataWaiters = [];
  #closed = false;
  #wire;

  // `local`: the address to bind to; `tls`: the options of a TLS connection, for example {ca, servername}; `doubling`: each interval between
  // retransmissions is twice the one before, as in RFC 8489 §6.2.1.
  constructor({ host = '127.0.0.1', port, username, password, local, transport = 'udp', tls, recvBufferSize, doubling = false }) {
    Object.assign(this, { host, port, username, password, transport, doubling });
    const Wire = transport === 'udp' ? Datagrams : ByteStream;
    const own = local ?? (isIPv6(host) ? '::1' : '127.0.0.1');
    this.#wire = new Wire({ host, port, local: own, tls: transport === 'tls' ? { ...tls } : null, recvBufferSize }, (bytes) => this.#hear(bytes));
  }

  // Our own address and port.
  get address() {
    return this.#wire.address;
  }

  #hear(bytes) {
    if (isChannelData(bytes)) {
      const from = this.#channels.get(bytes.readUInt16BE(0));
      this.#take({ from, data: bytes.subarray(CHANNEL_HEADER_BYTES, CHANNEL_HEADER_BYTES + bytes.readUInt16BE(2)), channel: bytes.readUInt16BE(0) });
      return;
    }
    if (!isMessage(bytes)) return;
    const parsed = parse(bytes);
    if (parsed.type === DATA_INDICATION) {
      this.#take({ from: unxorAddress(parsed.attributes.get(ATTRIBUTE.xorPeer), parsed.id), data: parsed.attributes.get(ATTRIBUTE.data) });
      return;
    }
    this.#pending.get(parsed.id.toString('hex'))?.(parsed);
  }

  #take(item) {
    this.received += 1;
    const waiter = this.#dataWaiters.shift();
    if (waiter) waiter(item);
    else this.#data.push(item);
  }

  // Sends a request with these attributes, signed once the server has sent a nonce, and resolves to its answer.
  async request(type, attributes, limit) {
    const answer = await this.#ask(type, attributes, limit);
    if (errorOf(answer) !== STALE_NONCE || !this.nonce) return answer;
    this.nonce = answer.attributes.get(ATTRIBUTE.nonce);
    return this.#ask(type, attributes, limit);
  }

  // Over UDP, retransmits at a fixed interval unless this client is `doubling`.
  #ask(type, attributes, limit = TIMEOUT_MS) {
    const id = randomBytes(12);
    const authenticated = this.nonce
      ? [...attributes, [ATTRIBUTE.username, Buffer.from(this.username)], [ATTRIBUTE.realm, this.realm], [ATTRIBUTE.nonce, this.nonce]]
      : attributes;
    const bytes = this.nonce ? withIntegrity(type, id, authenticated, this.#key()) : message(type, id, authenticated);
    return new Promise((resolve, reject) => {
      let waited = 0;
      let pause = RETRANSMISSION_MS;
      let timer;
      const send = () => {
        if (waited + RETRANSMISSION_MS > limit) {
          reject(new Error(`no answer from ${this.host}:${this.port} over ${this.transport}`));
          return;
        }
        // A stream needs no retransmissions.
        if (waited === 0 || this.transport === 'udp') this.#wire.send(bytes);
        timer = setTimeout(() => {
          waited += pause;
          if (this.transport === 'udp') this.waited += pause;
          if (this.doubling) pause *= 2;
          send();
        }, pause);
      };
      // `answer` is null if this client closes before.
      this.#pending.set(id.toString('hex'), (answer) => {
        this.#pending.delete(id.toString('hex'));
        clearTimeout(timer);
        if (answer) resolve(answer);
        else reject(new Error('the client was closed'));
      });
      send();
    });
  }

  #key() {
    return longTermKey(this.username, this.realm, this.password);
  }

  // Waits for a server that is starting.
  async ready(limit) {
    try {
      await this.#wire.open();
      await this.#ask(METHOD.binding, [], limit);
    } finally {
      this.abandon();
    }
  }

  // Connects, and gets the nonce that later requests need.
  async challenge(limit) {
    if (this.nonce) return;
    await this.#wire.open();
    const challenge = await this.#ask(METHOD.allocate, [UDP], limit);
    if (errorOf(challenge) !== 401) throw new Error(`an Allocate without credentials got ${errorOf(challenge)}, not 401`);
    this.realm = challenge.attributes.get(ATTRIBUTE.realm);
    this.nonce = challenge.attributes.get(ATTRIBUTE.nonce);
  }

  // Resolves to 0 or the error code of the final answer, for which it waits `limit` ms.
  async allocate(limit, attributes = [UDP]) {
    await this.challenge();
    const answer = await this.request(METHOD.allocate, attributes, limit);
    if (answer.type !== (METHOD.allocate | SUCCESS)) return errorOf(answer);
    this.relayed = unxorAddress(answer.attributes.get(ATTRIBUTE.xorRelayed), answer.id);
    // The client's address as the server sees it.
    this.mapped = unxorAddress(answer.attributes.get(ATTRIBUTE.xorMapped), answer.id);
    this.token = answer.attributes.get(ATTRIBUTE.reservationToken);
    this.ticket = answer.attributes.get(ATTRIBUTE.mobilityTicket);
    return 0;
  }

  async permit(...peers) {
    return errorOf(await this.request(METHOD.createPermission, peers.map((peer) => [ATTRIBUTE.xorPeer, xorAddress(peer)])));
  }

  async bind(channel, peer) {
    const number = [ATTRIBUTE.channelNumber, word(channel << 16)];
    const code = errorOf(await this.request(METHOD.channelBind, [number, [ATTRIBUTE.xorPeer, xorAddress(peer)]]));
    if (code === 0) this.#channels.set(channel, peer);
    return code;
  }

  // Asks for a TCP connection with a peer (RFC 6062).
  async connectTo(peer) {
    return errorOf(await this.request(METHOD.connect, [[ATTRIBUTE.xorPeer, xorAddress(peer)]]));
  }

  async refresh(attributes = []) {
    return errorOf(await this.request(METHOD.refresh, attributes));
  }

  send(peer, data) {
    const bytes = message(SEND_INDICATION, randomBytes(12), [[ATTRIBUTE.xorPeer, xorAddress(peer)], [ATTRIBUTE.data, data]]);
    this.#wire.send(bytes);
  }

  sendOn(channel, data) {
    this.#wire.send(channelData(channel, data));
  }

  receive(limit = TIMEOUT_MS) {
    if (this.#data.length) return Promise.resolve(this.#data.shift());
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#dataWaiters = this.#dataWaiters.filter((waiter) => waiter !== done);
        reject(new Error(`no relayed data within ${limit} ms`));
      }, limit);
      const done = (item) => {
        clearTimeout(timer);
        resolve(item);
      };
      this.#dataWaiters.push(done);
    });
  }

  // All payloads that have arrived and that no caller has taken.
  taken() {
    return this.#data.splice(0);
  }

  // Ends the allocation; the client may make another one.
  async free() {
    const answer = await this.request(METHOD.refresh, [[ATTRIBUTE.lifetime, word(0)]]);
    if (answer.type !== (METHOD.refresh | SUCCESS)) throw new Error(`a Refresh to zero got ${errorOf(answer)}`);
    this.relayed = null;
  }

  // Closes the socket without ending the allocation.
  abandon() {
    if (this.#closed) return;
    this.#closed = true;
    this.#wire.close();
    for (const settle of [...this.#pending.values()]) settle(null);
  }

  async close() {
    try {
      if (this.relayed && !this.#closed) await this.free();
    } finally {
      this.abandon();
    }
  }
}

// Whether a server accepts the credentials: 'allocated' or the error code.
export async function verify(options) {
  const client = new TurnClient(options);
  try {
    return (await client.allocate()) || 'allocated';
  } finally {
    await client.close();
  }
}

// Relays data in both directions between two allocations of one server. b receives only from those that it has sent to or bound a channel to.
export async function relayBothWays(options) {
  const [a, b] = [new TurnClient(options), new TurnClient(options)];
  try {
    // A client receives only from those that it has sent to or bound a channel to.
    const failed = (await a.allocate()) || (await b.allocate()) || (await a.permit(b.relayed)) || (await b.permit(a.relayed)) || (await b.bind(0x4000, a.relayed));
    if (failed) return failed;
    for (let i = 0; i < 10; i += 1) {
      const there = randomBytes(1 + i * 100);
      a.send(b.relayed, there);
      const heard = await b.receive();
      if (!heard.data.equals(there)) return 'other data than was sent';
      if (heard.from.port !== a.relayed.port) return 'data from another address than the relayed one';
      b.send(a.relayed, heard.data);
      if (!(await a.receive()).data.equals(there)) return 'other data than was sent back';
    }
    return 'relayed';
  } finally {
    await a.close();
    await b.close();
  }
}
