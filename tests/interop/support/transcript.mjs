// Transcripts of clients that no registry here has. They send the same messages as such a client, byte for byte where servers look at them,
// and have the interface of socket.io-client. Their messages come from the source code of the version that each entry names.
import { EventEmitter } from 'node:events';
import { Agent, request } from 'node:http';
import WebSocket from 'ws';

const SEPARATOR = '\x1e';
const MESSAGE = '4';

// Several packets in the body of a poll: protocol 3 puts the length in front of each one, protocol 4 a separator between them.
const payloads = {
  3: {
    encode: (packets) => packets.map((packet) => `${packet.length}:${packet}`).join(''),
    decode(text) {
      const packets = [];
      for (let rest = text; rest; ) {
        const [head, length] = rest.match(/^(\d+):/) ?? [];
        if (!head) throw new Error(`no payload of protocol 3: ${rest}`);
        packets.push(rest.slice(head.length, head.length + Number(length)));
        rest = rest.slice(head.length + Number(length));
      }
      return packets;
    },
  },
  4: { encode: (packets) => packets.join(SEPARATOR), decode: (text) => text.split(SEPARATOR) },
};

const withComma = (namespace, more = '') => `0${namespace}${more},`;
const ofRoot = (namespace, rest) => (namespace === '/' ? null : rest);

// `query`: the URL's parameters besides the transport and the session. `connect`: the packet that opens a namespace, or null if the client
// sends none. `leave`: the packet that leaves it. `pingsAtOnce`: the client pings as soon as it is open, not only after the interval.
export const speakers = {
  'Java 1.0': {
    protocol: 3,
    query: () => ({ EIO: '3', t: 'P5rIkQa' }),
    connect: (namespace, query) => ofRoot(namespace, withComma(namespace, query && `?${query}`)),
    leave: (namespace) => ofRoot(namespace, `1${namespace},`) ?? '1',
    headers: { accept: '*/*', 'accept-encoding': 'gzip', 'user-agent': 'okhttp/3.12.12' },
    posts: { 'content-type': 'text/plain;charset=UTF-8' },
  },
  'Java 2': {
    protocol: 4,
    query: () => ({ EIO: '4', t: 'P5rIkQa' }),
    connect: (namespace) => ofRoot(namespace, withComma(namespace)) ?? '0',
    leave: (namespace) => ofRoot(namespace, `1${namespace},`) ?? '1',
    headers: { accept: '*/*', 'accept-encoding': 'gzip', 'user-agent': 'okhttp/3.12.12' },
    posts: { 'content-type': 'text/plain;charset=UTF-8' },
  },
  'Swift 15': {
    protocol: 3,
    // This client sends no EIO.
    query: (transport) => (transport === 'polling' ? { b64: '1' } : {}),
    connect: (namespace) => ofRoot(namespace, withComma(namespace)),
    leave: (namespace) => `1${namespace},`,
    headers: { accept: '*/*', 'user-agent': 'App/1 CFNetwork/1408.0.4 Darwin/22.5.0' },
    posts: { 'content-type': 'text/plain; charset=UTF-8' },
    pingsAtOnce: true,
  },
  'Swift 16': {
    protocol: 4,
    query: (transport) => (transport === 'polling' ? { b64: '1', EIO: '4' } : { EIO: '4' }),
    connect: (namespace) => withComma(namespace),
    leave: (namespace) => `1${namespace},`,
    headers: { accept: '*/*', 'user-agent': 'App/1 CFNetwork/1408.0.4 Darwin/22.5.0' },
    posts: { 'content-type': 'text/plain; charset=UTF-8' },
  },
  // The client option is `.version(.two)`.
  'Swift 16, two': {
    protocol: 3,
    query: (transport) => (transport === 'polling' ? { b64: '1', EIO: '3' } : { EIO: '3' }),
    connect: (namespace) => ofRoot(namespace, withComma(namespace)),
    leave: (namespace) => `1${namespace},`,
    headers: { accept: '*/*', 'user-agent': 'App/1 CFNetwork/1408.0.4 Darwin/22.5.0' },
    posts: { 'content-type': 'text/plain; charset=UTF-8' },
    pingsAtOnce: true,
  },
  'Dart 1': {
    protocol: 3,
    query: () => ({ EIO: '3' }),
    connect: (namespace, query) => ofRoot(namespace, withComma(namespace, query && `?${query}`)),
    leave: (namespace) => ofRoot(namespace, `1${namespace},`) ?? '1',
    headers: { 'user-agent': 'Dart/2.19 (dart:io)', 'cache-control': 'no-cache', 'accept-encoding': 'gzip' },
  },
  'Dart 3': {
    protocol: 4,
    query: () => ({ EIO: '4' }),
    connect: (namespace) => ofRoot(namespace, withComma(namespace)) ?? '0',
    leave: (namespace) => ofRoot(namespace, `1${namespace},`) ?? '1',
    headers: { 'user-agent': 'Dart/3.5 (dart:io)', 'cache-control': 'no-cache', 'accept-encoding': 'gzip' },
  },
  // This client speaks protocol 3, but announces 4.
  'C++ 1': {
    protocol: 3,
    query: () => ({ EIO: '4', t: '1700000000' }),
    connect: (namespace) => ofRoot(namespace, `0${namespace}`),
    leave: (namespace) => ofRoot(namespace, `1${namespace}`) ?? '1',
    headers: { 'user-agent': 'WebSocket++/0.8.2' },
  },
  'C++ 2': {
    protocol: 3,
    query: () => ({ EIO: '3', t: '1700000000' }),
    connect: (namespace) => ofRoot(namespace, `0${namespace}`),
    leave: (namespace) => ofRoot(namespace, `1${namespace}`) ?? '1',
    headers: { 'user-agent': 'WebSocket++/0.8.2' },
  },
  'C++ 3': {
    protocol: 4,
    query: () => ({ EIO: '4', t: '1700000000' }),
    connect: (namespace) => ofRoot(namespace, `0${namespace}`) ?? '0',
    leave: (namespace) => ofRoot(namespace, `1${namespace}`) ?? '1',
    headers: { 'user-agent': 'WebSocket++/0.8.2' },
  },
  'Rust 0.6': {
    protocol: 4,
    query: () => ({ EIO: '4' }),
    connect: (namespace) => ofRoot(namespace, withComma(namespace)) ?? '0',
    leave: (namespace) => ofRoot(namespace, `1${namespace},`) ?? '1',
    headers: { accept: '*/*' },
    posts: {},
    // This client upgrades before it sends or polls anything.
    upgradesFirst: true,
    pollsBeforeUpgrade: true,
  },
};

class Engine extends EventEmitter {
  #agent = new Agent({ keepAlive: true });
  #outbox = [];
  #posting = false;
  #probing = false;
  #polls = false;
  #closed = false;
  #ws = null;
  #timer = null;
  transport = { name: null };

  constructor(origin, path, speaker, transports, query) {
    super();
    Object.assign(this, { origin, path, speaker, transports, query });
    this.transport.name = transports[0];
    if (transports[0] === 'polling') this.#poll();
    else this.#openWebSocket();
  }

  #url(scheme, transport) {
    const query = new URLSearchParams({ transport, ...this.speaker.query(transport), ...Object.fromEntries(new URLSearchParams(this.query)) });
    if (this.sid) query.set('sid', this.sid);
    return `${this.origin.replace('http', scheme)}${this.path}?${query}`;
  }

  #ask(method, body) {
    return new Promise((resolve, reject) => {
      const headers = { ...this.speaker.headers, ...(method === 'POST' ? { ...this.speaker.posts, 'content-length': Buffer.byteLength(body) } : {}) };
      delete headers['accept-encoding'];
      const asked = request(this.#url('http', 'polling'), { method, headers, agent: this.#agent }, (answer) => {
        let text = '';
        answer.setEncoding('utf8').on('data', (chunk) => (text += chunk));
        answer.on('error', reject).on('end', () => {
          if (answer.statusCode === 200) resolve(text);
          else reject(new Error(`${method} ${answer.statusCode}: ${text}`));
        });
      });
      asked.on('error', reject).end(body);
    });
  }

  // Polls repeatedly until a WebSocket replaces polling.
  async #poll() {
    this.#polls = true;
    while (!this.#closed && this.transport.name === 'polling') {
      try {
        for (const packet of payloads[this.speaker.protocol].decode(await this.#ask('GET'))) this.#hear(packet);
      } catch (error) {
        return this.#fail(error);
      }
      if (this.speaker.pollsBeforeUpgrade && this.#probing) break;
    }
    this.#polls = false;
    this.emit('polled');
  }

  async #post() {
    if (this.#posting || this.#outbox.length === 0) return;
    this.#posting = true;
    try {
      await this.#ask('POST', payloads[this.speaker.protocol].encode(this.#outbox.splice(0)));
    } catch (error) {
      return this.#fail(error);
    }
    this.#posting = false;
    this.emit('posted');
    if (!this.#probing) this.#flush();
  }

  #openWebSocket() {
    const headers = this.speaker.headers;
    const ws = new WebSocket(this.#url('ws', 'websocket'), { headers });
    this.#ws = ws;
    ws.on('message', (data) => this.#hear(String(data)));
    ws.on('error', (error) => (this.#probing ? this.#stay() : this.#fail(error)));
    ws.on('close', () => this.transport.name === 'websocket' && this.#end('transport close'));
    return ws;
  }

  // Probes the WebSocket. The client changes to it after the current poll has returned.
  #upgrade() {
    this.#probing = true;
    this.#openWebSocket().on('open', () => this.#ws.send('2probe'));
  }

  async #change() {
    if (this.#posting) await new Promise((resolve) => this.once('posted', resolve));
    this.transport.name = 'websocket';
    if (this.#polls) await new Promise((resolve) => this.once('polled', resolve));
    if (this.#closed) return;
    this.#ws.send('5');
    this.#probing = false;
    this.#flush();
  }

  #stay() {
    this.#probing = false;
    this.#ws = null;
    if (this.speaker.pollsBeforeUpgrade) this.#poll();
    this.#flush();
  }

  #hear(packet) {
    const [type, data] = [packet[0], packet.slice(1)];
    if (type === '0') this.#open(JSON.parse(data));
    else if (type === '1') this.#end('transport close');
    else if (type === '2') this.#reply(`3${data}`);
    else if (packet === '3probe') this.#change().catch((error) => this.#fail(error));
    else if (type === MESSAGE) this.emit('packet', data);
  }

  // A pong goes through the outbox like any other packet.
  #reply(packet) {
    this.#write(packet);
  }

  #open({ sid, upgrades, pingInterval }) {
    this.sid = sid;
    const upgrading = this.transport.name === 'polling' && this.transports.includes('websocket') && upgrades.includes('websocket');
    if (upgrading) this.#upgrade();
    if (this.speaker.protocol === 3) {
      if (this.speaker.pingsAtOnce) this.#write('2');
      this.#timer = setInterval(() => this.#write('2'), pingInterval);
      this.#timer.unref();
    }
    this.emit('open');
  }

  send(packet) {
    this.#write(`${MESSAGE}${packet}`);
  }

  #write(packet) {
    this.#outbox.push(packet);
    this.#flush();
  }

  #flush() {
    if (this.#closed || this.#probing) return;
    if (this.transport.name === 'polling') this.#post();
    else if (this.#ws?.readyState === WebSocket.OPEN) for (const packet of this.#outbox.splice(0)) this.#ws.send(packet);
  }

  #fail(error) {
    if (this.#closed) return;
    this.#closed = true;
    this.emit('failed', error);
    this.#release();
  }

  #end(reason) {
    if (this.#closed) return;
    this.#closed = true;
    this.emit('ended', reason);
    this.#release();
  }

  #release() {
    clearInterval(this.#timer);
    this.#ws?.terminate();
    this.#agent.destroy();
  }

  // Closes with a goodbye, after all waiting packets.
  async close() {
    if (this.#closed) return;
    if (this.transport.name === 'websocket') {
      this.#closed = true;
      clearInterval(this.#timer);
      this.#ws?.close(1000);
      this.#agent.destroy();
      return;
    }
    this.#write('1');
    while (this.#posting || this.#outbox.length) await new Promise((resolve) => this.once('posted', resolve));
    this.#closed = true;
    this.#release();
  }
}

class Socket {
  #events = new EventEmitter().setMaxListeners(0);
  #acks = new Map();
  connected = false;

  constructor(engine, speaker, namespace, query) {
    Object.assign(this, { nsp: namespace, speaker });
    this.io = { engine };
    engine.on('open', () => {
      const packet = speaker.connect(namespace, query);
      if (packet) engine.send(packet);
    });
    engine.on('packet', (packet) => this.#hear(packet));
    engine.on('failed', (error) => (this.connected ? this.#gone('transport error') : this.#events.emit('connect_error', error)));
    engine.on('ended', (reason) => this.#gone(reason));
  }

  #gone(reason) {
    if (!this.connected) this.#events.emit('connect_error', new Error(reason));
    else this.#events.emit('disconnect', reason);
    this.connected = false;
  }

  #hear(packet) {
    const [, type, namespace = '/', id, data] = packet.match(/^(\d)(?:(\/[^,[{"]*),?)?(\d*)(.*)$/s);
    if (namespace.split('?')[0] !== this.nsp) return;
    const value = data ? JSON.parse(data) : undefined;
    if (type === '0') this.#opened();
    else if (type === '1') this.#gone('io server disconnect');
    else if (type === '2') this.#events.emit(...value);
    else if (type === '3') this.#acks.get(id)?.(...value);
    else if (type === '4') this.#events.emit('connect_error', new Error(value?.message ?? value));
  }

  #opened() {
    this.connected = true;
    this.#events.emit('connect');
  }

  on(name, listener) {
    this.#events.on(name, listener);
    return this;
  }

  once(name, listener) {
    this.#events.once(name, listener);
    return this;
  }

  removeAllListeners(name) {
    this.#events.removeAllListeners(name);
  }

  emit(name, ...args) {
    const answer = typeof args.at(-1) === 'function' ? args.pop() : null;
    const id = answer ? String(this.#acks.size) : '';
    if (answer) this.#acks.set(id, answer);
    this.io.engine.send(`2${this.nsp === '/' ? '' : `${this.nsp},`}${id}${JSON.stringify([name, ...args])}`);
  }

  disconnect() {
    if (this.connected) this.io.engine.send(this.speaker.leave(this.nsp));
    this.connected = false;
    this.io.engine.close();
  }
}

// An `io` function like that of socket.io-client, for the client of that name.
export function transcript(name) {
  const speaker = speakers[name];
  return (url, { transports }) => {
    const { origin, pathname, search } = new URL(url);
    const query = search.slice(1);
    return new Socket(new Engine(origin, '/socket.io/', speaker, transports, query), speaker, pathname, query);
  };
}
