// The RTCMultiConnection side of the Socket.IO clients: handshakes like those of the browser library, and the received events.
import { Agent } from 'node:http';
import { fileURLToPath } from 'node:url';
import { transports, versions } from './clients.mjs';
import { lastHeard } from './excerpt.mjs';
import { Program } from './process.mjs';
import { connected } from './sockets.mjs';
import { TIMEOUT_MS, until } from './wait.mjs';

export { closeAll } from './sockets.mjs';

export const EVENTS = [
  'user-connected', 'user-disconnected', 'extra-data-updated', 'userid-already-taken', 'set-isInitiator-true', 'user-not-found',
  'closed-entire-session', 'start-broadcasting', 'join-broadcaster', 'rejoin-broadcast', 'logs', 'number-of-broadcast-viewers-updated',
  'broadcast-stopped', 'scalable-broadcast-message', 'admin', 'RTCMultiConnection-Message', 'RTCMultiConnection-Custom-Message',
  'custom-message', 'my-event', 'other-messages',
];

// `over`: the Socket.IO server that it uses, socket.io-2 or socket.io-4. Resolves to {url, close}.
export async function startOriginal(over = 'socket.io-4') {
  const program = new Program(process.execPath, [fileURLToPath(new URL('./multi-original.mjs', import.meta.url)), over]);
  const port = await program.ready(async () => program.output.match(/^port (\d+)$/m)?.[1]);
  return { url: `http://127.0.0.1:${port}`, close: () => program.close() };
}

// The query that the browser library's SocketConnection writes.
export const query = (userid, more = {}) => {
  const all = {
    userid,
    sessionid: `session-of-${userid}`,
    msgEvent: 'RTCMultiConnection-Message',
    socketCustomEvent: 'RTCMultiConnection-Custom-Message',
    autoCloseEntireSession: false,
    maxParticipantsAllowed: 1000,
    extra: '{}',
    ...more,
  };
  return Object.entries(all).filter(([, value]) => value !== undefined).map(([name, value]) => `${name}=${encodeURIComponent(value)}`).join('&');
};

export class Client {
  log = [];

  constructor(socket, id) {
    this.socket = socket;
    this.id = id;
    for (const name of EVENTS) socket.on(name, (...args) => this.log.push([name, ...args.filter((arg) => typeof arg !== 'function')]));
    socket.on('disconnect', () => this.log.push(['disconnect']));
  }

  emit(name, ...args) {
    this.socket.emit(name, ...args);
  }

  // The arguments of the ack, or 'no ack' if a later event is acked first.
  async ask(name, ...args) {
    let answer;
    this.socket.emit(name, ...args, (...all) => (answer = all));
    await this.settle();
    return answer ?? 'no ack';
  }

  say(remoteUserId, message, sender = this.id) {
    this.emit('RTCMultiConnection-Message', { remoteUserId, message, sender });
  }

  askIn(room) {
    this.say(room, { newParticipationRequest: true });
  }

  // Makes a round trip: everything that the server has sent before has then arrived.
  settle() {
    if (!this.socket.connected) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`${this.id}: no answer to check-presence`)), TIMEOUT_MS);
      const done = () => {
        clearTimeout(timer);
        resolve();
      };
      this.socket.once('disconnect', done);
      this.socket.emit('check-presence', 'no such room', done);
    });
  }

  heard(name) {
    return this.log.filter(([event]) => event === name).map(([, ...args]) => args);
  }

  async until(what, accept) {
    await until(`${this.id} hears ${what}`, () => this.log, accept, { show: lastHeard });
  }

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

export async function connect(server, userid, { version = '4.8', transport = 'websocket', from, headers, reconnection = false, ...more } = {}) {
  const options = { transports: transports[transport], forceNew: true, reconnection, reconnectionDelay: 100, reconnectionDelayMax: 300, timeout: TIMEOUT_MS };
  if (from) options.agent = new Agent({ localAddress: from });
  if (headers) options.extraHeaders = headers;
  const socket = versions[version](`${server.url}/?${query(userid, more)}`, options);
  const client = new Client(socket, userid);
  await connected(socket, userid);
  return client;
}

export const room = (sessionid, more = {}) => ({
  sessionid,
  session: { audio: true, video: true },
  mediaConstraints: { audio: {}, video: {} },
  sdpConstraints: { mandatory: { OfferToReceiveAudio: true, OfferToReceiveVideo: true } },
  streams: [],
  extra: { of: sessionid },
  password: '',
  ...more,
});
