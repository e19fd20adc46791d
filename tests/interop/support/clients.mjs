// Socket.IO clients of three major versions behind one interface, which remembers the received events.
import { Agent } from 'node:http';
import { Agent as SecureAgent } from 'node:https';
import { createRequire } from 'node:module';
import { brief, lastHeard } from './excerpt.mjs';
import { connected } from './sockets.mjs';
import { TIMEOUT_MS } from './wait.mjs';

export { closeAll } from './sockets.mjs';

const require = createRequire(import.meta.url);

export const versions = {
  '2.5': require('socket.io-client-2'),
  '3.1': require('socket.io-client-3').io,
  '4.8': require('socket.io-client-4').io,
};

export const transports = {
  websocket: ['websocket'],
  polling: ['polling'],
  upgrade: ['polling', 'websocket'],
};

// Client 2.5 can't listen to all events at the same time, so each client listens to every event of the protocol.
const EVENTS = [
  'TV_INIT_OK', 'JOIN_ROOM_OK', 'RESUME_TOKEN', 'CONFIG_FEEDBACK', 'CAST_ERROR', 'CASTER_JOINED', 'CASTER_LEFT', 'CASTER_AWAY',
  'CLIENT_OFFER_TO_TV', 'TV_ANSWER_TO_CLIENT', 'RTC_Candidate_Exchange', 'TV_AWAY', 'TV_BACK', 'TV_LEFT', 'CAST_TAKEN_OVER',
  'CAST_REPLACED', 'SERVER_SHUTDOWN', 'TV_REGISTER_SUCCESS', 'VERIFY', 'VERIFY_RESPONCE', 'TEST_TOKEN_TV', 'TV_INFO_FEEDBACK',
  'TV_COMMAND', 'CONNECT_TO_TV_SUCCESS', 'CONNECT_TO_TV_FAILED', 'NEW_CLIENT_JOIN', 'RTC_Client_Offer_To_TV',
  'RTC_TV_Answer_To_Client', 'TV_OFFLINE', 'USER_OFFLINE', 'TV_CODE_CHANGED', 'CAST_VERDICT', 'CAST_STATE', 'CAST_ENDED',
];

export class Peer {
  log = [];
  #unread = new Map();
  #waiting = new Map();

  constructor(socket, label) {
    this.socket = socket;
    this.label = label;
    for (const name of EVENTS) socket.on(name, (...args) => this.#hear(name, args));
  }

  #hear(name, args) {
    this.log.push([name, ...args]);
    const waiter = this.#waiting.get(name)?.shift();
    if (waiter) waiter(args);
    else this.#unread.set(name, [...(this.#unread.get(name) ?? []), args]);
  }

  // All arguments of the next event of that name that no caller has taken yet.
  nextArgs(name, limit = TIMEOUT_MS) {
    if (!EVENTS.includes(name)) throw new Error(`${name} is not in the list of events`);
    const unread = this.#unread.get(name);
    if (unread?.length) return Promise.resolve(unread.shift());
    return new Promise((resolve, reject) => {
      const waiters = this.#waiting.get(name) ?? [];
      this.#waiting.set(name, waiters);
      const timer = setTimeout(() => {
        waiters.splice(waiters.indexOf(done), 1);
        reject(new Error(`${this.label} heard no ${name} within ${limit / 1000} s, but ${this.#account()}`));
      }, limit);
      const done = (args) => {
        clearTimeout(timer);
        resolve(args);
      };
      waiters.push(done);
    });
  }

  // The events of this peer for an error message, with the first refusal, which may no longer be among the last events.
  #account() {
    const refused = this.heard('CAST_ERROR');
    const refusal = refused.length ? `; CAST_ERROR ${refused.length} times, first ${brief(refused[0])}` : '';
    const gone = this.socket.connected ? '' : '; it is disconnected';
    return `${lastHeard(this.log)}${refusal}${gone}`;
  }

  // Rejects at the first CAST_ERROR and never resolves: for a peer that makes no mistakes.
  refusal() {
    const refusal = new Promise((_, reject) => {
      this.socket.once('CAST_ERROR', (error) => reject(new Error(`${this.label} was refused: ${brief(error)}`)));
    });
    refusal.catch(() => {});
    return refusal;
  }

  async next(name, limit) {
    return (await this.nextArgs(name, limit))[0];
  }

  // The first arguments of all events of that name so far.
  heard(name) {
    return this.log.filter(([event]) => event === name).map(([, first]) => first);
  }

  emit(name, ...args) {
    this.socket.emit(name, ...args);
  }

  // Emits with an ack callback, and rejects if no answer comes.
  ask(name, ...args) {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`${this.label}: no ack for ${name} within ${TIMEOUT_MS / 1000} s; it heard ${this.#account()}`)), TIMEOUT_MS);
      this.socket.emit(name, ...args, (answer) => {
        clearTimeout(timer);
        resolve(answer);
      });
    });
  }

  // Makes a round trip: everything that the server has sent before has then arrived.
  async settle() {
    await this.ask('CONFIG', {});
  }

  get transport() {
    return this.socket.io.engine.transport.name;
  }

  // Disconnects properly.
  leave() {
    this.socket.disconnect();
  }

  // Breaks the connection without a goodbye, like a pulled plug.
  drop() {
    const { engine } = this.socket.io;
    if (engine.transport.ws?.terminate) engine.transport.ws.terminate();
    else engine.close();
  }
}

const lookup = (_name, { all }, found) => (all ? found(null, [{ address: '127.0.0.1', family: 4 }]) : found(null, '127.0.0.1', 4));

// The name in the certificate of a proxy in these tests.
export const NAME = 'cast.example.org';

// `from`: the client's own loopback address, since the server counts by address; `ca`: the authority that it trusts; `unverified`: accepts
// any certificate, like a browser whose user has accepted it. The other options are those of socket.io-client.
export async function connect(server, { version = '4.8', transport = 'websocket', namespace = '/', label, from, ca, unverified, ...more } = {}) {
  const url = `${server.url}${namespace === '/' ? '' : namespace}`;
  const options = { transports: transports[transport], forceNew: true, reconnection: false, timeout: TIMEOUT_MS, ...more };
  if (unverified) options.rejectUnauthorized = false;
  if (ca) options.agent = new SecureAgent({ localAddress: from, ca, lookup });
  else if (from) options.agent = new Agent({ localAddress: from });
  const socket = versions[version](url, options);
  const peer = new Peer(socket, label ?? `client ${version} ${transport} ${namespace}`);
  await connected(socket, peer.label);
  return peer;
}
