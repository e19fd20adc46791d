// A small TURN client (RFC 8656) over UDP, TCP and TLS, which shares no code with any server that it tests.
import { createHash, createHmac, randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { connect } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { TIMEOUT_MS } from './wait.mjs';

const COOKIE = 0x2112a442;
const BINDING = 0x001;
const ALLOCATE = 0x003;
const REFRESH = 0x004;
const SEND_INDICATION = 0x016;
const DATA_INDICATION = 0x017;
const CREATE_PERMISSION = 0x008;
const SUCCESS = 0x100;
const USERNAME = 0x0006;
const INTEGRITY = 0x0008;
const ERROR_CODE = 0x0009;
const XOR_PEER = 0x0012;
const DATA = 0x0013;
const REALM = 0x0014;
const NONCE = 0x0015;
const XOR_RELAYED = 0x0016;
const TRANSPORT = 0x0019;
const XOR_MAPPED = 0x0020;
const LIFETIME = 0x000d;
const UDP = Buffer.from([17, 0, 0, 0]);
const RETRANSMISSION_MS = 500;

function attribute(type, value) {
  const padded = Buffer.alloc(4 + Math.ceil(value.length / 4) * 4);
  padded.writeUInt16BE(type, 0);
  padded.writeUInt16BE(value.length, 2);
  value.copy(padded, 4);
  return padded;
}

function message(type, id, attributes) {
  const body = Buffer.concat(attributes);
  const header = Buffer.alloc(8);
  header.writeUInt16BE(type, 0);
  header.writeUInt16BE(body.length, 2);
  header.writeUInt32BE(COOKIE, 4);
  return Buffer.concat([header, id, body]);
}

function withIntegrity(type, id, attributes, key) {
  const unsigned = message(type, id, attributes);
  unsigned.writeUInt16BE(unsigned.length - 20 + 24, 2);
  const mac = createHmac('sha1', key).update(unsigned).digest();
  return Buffer.concat([unsigned, attribute(INTEGRITY, mac)]);
}

function parse(bytes) {
  const attributes = new Map();
  let at = 20;
  while (at + 4 <= bytes.length) {
    const length = bytes.readUInt16BE(at + 2);
    const type = bytes.readUInt16BE(at);
    if (!attributes.has(type)) attributes.set(type, bytes.subarray(at + 4, at + 4 + length));
    at += 4 + Math.ceil(length / 4) * 4;
  }
  return { type: bytes.readUInt16BE(0), id: bytes.subarray(8, 20), attributes };
}

const xorAddress = ({ address, port }) => {
  const value = Buffer.alloc(8);
  value[1] = 1;
  value.writeUInt16BE(port ^ (COOKIE >>> 16), 2);
  value.writeUInt32BE((Buffer.from(address.split('.').map(Number)).readUInt32BE(0) ^ COOKIE) >>> 0, 4);
  return value;
};

const unxorAddress = (value) => {
  const raw = Buffer.alloc(4);
  raw.writeUInt32BE((value.readUInt32BE(4) ^ COOKIE) >>> 0, 0);
  return { address: [...raw].join('.'), port: value.readUInt16BE(2) ^ (COOKIE >>> 16) };
};

const errorOf = ({ attributes }) => {
  const value = attributes.get(ERROR_CODE);
  return value ? value[2] * 100 + value[3] : 0;
};

// Sends and receives messages over UDP. Both kinds of transport have `open`, `send`, `close` and, once open, `address`.
class Datagrams {
  #socket;

  constructor({ host, port, local, recvBufferSize }, hear) {
    Object.assign(this, { host, port, local });
    this.#socket = createSocket({ type: 'udp4', recvBufferSize });
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

// Sends and receives STUN messages over TCP or TLS. No ChannelData arrives, since this client binds no channels.
class ByteStream {
  #socket;
  #unread = Buffer.alloc(0);

  constructor({ host, port, local, tls }, hear) {
    Object.assign(this, { host, port, local, tls, hear });
  }

  async open() {
    const tcp = connect({ host: this.host, port: this.port, localAddress: this.local });
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
    while (this.#unread.length >= 20) {
      const end = 20 + this.#unread.readUInt16BE(2);
      if (this.#unread.length < end) return;
      this.hear(this.#unread.subarray(0, end));
      this.#unread = this.#unread.subarray(end);
    }
  }

  send(bytes) {
    this.#socket.write(bytes);
  }

  close() {
    this.#socket?.destroy();
  }
}

export class TurnClient {
  #pending = new Map();
  #data = [];
  #dataWaiters = [];

  #wire;

  // `local`: the address to bind to; `tls`: the options of a TLS connection, for example {ca, servername}.
  constructor({ host = '127.0.0.1', port, username, password, local = '127.0.0.1', transport = 'udp', tls, recvBufferSize }) {
    Object.assign(this, { host, port, username, password, transport });
    const Wire = transport === 'udp' ? Datagrams : ByteStream;
    this.#wire = new Wire({ host, port, local, tls: transport === 'tls' ? { ...tls } : null, recvBufferSize }, (bytes) => this.#hear(bytes));
  }

  // Our own address and port.
  get address() {
    return this.#wire.address;
  }

  #hear(bytes) {
    if (bytes.length < 20 || bytes.readUInt32BE(4) !== COOKIE) return;
    const parsed = parse(bytes);
    if (parsed.type === DATA_INDICATION) {
      const item = { from: unxorAddress(parsed.attributes.get(XOR_PEER)), data: parsed.attributes.get(DATA) };
      const waiter = this.#dataWaiters.shift();
      if (waiter) waiter(item);
      else this.#data.push(item);
      return;
    }
    this.#pending.get(parsed.id.toString('hex'))?.(parsed);
  }

  // Sends a request, and over UDP retransmits it at a fixed interval instead of by STUN's timers.
  async #request(type, attributes, limit = TIMEOUT_MS) {
    const id = randomBytes(12);
    const authenticated = this.nonce
      ? [...attributes, attribute(USERNAME, Buffer.from(this.username)), attribute(REALM, this.realm), attribute(NONCE, this.nonce)]
      : attributes;
    const bytes = this.nonce ? withIntegrity(type, id, authenticated, this.#key()) : message(type, id, authenticated);
    return new Promise((resolve, reject) => {
      let tries = 0;
      const send = () => {
        tries += 1;
        if (tries * RETRANSMISSION_MS > limit) {
          clearInterval(timer);
          reject(new Error(`no answer from ${this.host}:${this.port}`));
          return;
        }
        // A stream needs no retransmissions.
        if (tries === 1 || this.transport === 'udp') this.#wire.send(bytes);
      };
      const timer = setInterval(send, RETRANSMISSION_MS);
      this.#pending.set(id.toString('hex'), (answer) => {
        this.#pending.delete(id.toString('hex'));
        clearInterval(timer);
        resolve(answer);
      });
      send();
    });
  }

  #key() {
    return createHash('md5').update(`${this.username}:${this.realm}:${this.password}`).digest();
  }

  // Waits for a server that is starting.
  async ready(limit) {
    try {
      await this.#wire.open();
      await this.#request(BINDING, [], limit);
    } finally {
      this.abandon();
    }
  }

  // Resolves to 0 or the error code of the final answer, for which it waits `limit` ms.
  async allocate(limit) {
    if (!this.nonce) {
      await this.#wire.open();
      const challenge = await this.#request(ALLOCATE, [attribute(TRANSPORT, UDP)]);
      if (errorOf(challenge) !== 401) throw new Error(`an Allocate without credentials got ${errorOf(challenge)}, not 401`);
      this.realm = challenge.attributes.get(REALM);
      this.nonce = challenge.attributes.get(NONCE);
    }
    const answer = await this.#request(ALLOCATE, [attribute(TRANSPORT, UDP)], limit);
    if (answer.type === (ALLOCATE | SUCCESS)) {
      this.relayed = unxorAddress(answer.attributes.get(XOR_RELAYED));
      // The client's address as the server sees it.
      this.mapped = unxorAddress(answer.attributes.get(XOR_MAPPED));
      return 0;
    }
    return errorOf(answer);
  }

  async permit(peer) {
    return errorOf(await this.#request(CREATE_PERMISSION, [attribute(XOR_PEER, xorAddress(peer))]));
  }

  send(peer, data) {
    const bytes = message(SEND_INDICATION, randomBytes(12), [attribute(XOR_PEER, xorAddress(peer)), attribute(DATA, data)]);
    this.#wire.send(bytes);
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

  // Ends the allocation; the client may make another one.
  async free() {
    const answer = await this.#request(REFRESH, [attribute(LIFETIME, Buffer.alloc(4))]);
    if (answer.type !== (REFRESH | SUCCESS)) throw new Error(`a Refresh to zero got ${errorOf(answer)}`);
    this.relayed = null;
  }

  // Closes the socket without ending the allocation.
  abandon() {
    this.#wire.close();
  }

  async close() {
    try {
      if (this.relayed) await this.free();
    } finally {
      this.#wire.close();
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

// Relays data in both directions between two allocations of one server.
export async function relayBothWays(options) {
  const [a, b] = [new TurnClient(options), new TurnClient(options)];
  try {
    const failed = (await a.allocate()) || (await b.allocate()) || (await a.permit(b.relayed)) || (await b.permit(a.relayed));
    if (failed) return failed;
    // b receives only from those that it has sent to. The answer to the request behind it says that the server has this packet.
    b.send(a.relayed, Buffer.from('greeting'));
    if (await b.permit(a.relayed)) return 'b lost its permission';
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
