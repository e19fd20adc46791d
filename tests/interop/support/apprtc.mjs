// AppRTC's clients as the wire contract describes them: their messages, the order of these, and the answers that they can't handle.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import WebSocket from 'ws';
import { TIMEOUT_MS } from './wait.mjs';

// A WebSocket of Collider that keeps the frames that it receives.
export class Channel {
  frames = [];
  closed = null;

  constructor(url, options = {}, protocols = []) {
    this.socket = new WebSocket(url, protocols, { perMessageDeflate: false, ...options });
    this.socket.on('message', (data, binary) => {
      assert.equal(binary, false, 'Collider sends text');
      const frame = JSON.parse(data.toString());
      // Only the bye of an operator has another one.
      const more = frame.msg === '{"type":"bye"}' && 'reason' in frame ? ['reason'] : [];
      assert.deepEqual(Object.keys(frame), ['msg', 'error', ...more], 'both keys are always there');
      assert.notEqual(frame.msg + frame.error, '', 'Android ends a call at an empty frame');
      this.frames.push(frame);
    });
    this.socket.on('error', () => {});
    this.gone = once(this.socket, 'close').then(([code]) => (this.closed = code));
  }

  static async open(...args) {
    const channel = new Channel(...args);
    await Promise.race([once(channel.socket, 'open'), channel.gone.then((code) => Promise.reject(new Error(`closed: ${code}`)))]);
    return channel;
  }

  say(command) {
    this.socket.send(typeof command === 'string' ? command : JSON.stringify(command));
  }

  register(roomid, clientid) {
    this.say({ cmd: 'register', roomid, clientid });
  }

  send(msg) {
    this.say({ cmd: 'send', msg });
  }

  // The next frame that no caller has taken yet.
  async next() {
    for (const end = Date.now() + TIMEOUT_MS; Date.now() < end; await sleep(5)) {
      if (this.frames.length) return this.frames.shift();
      if (this.closed !== null) throw new Error(`closed with ${this.closed}`);
    }
    throw new Error('nothing was heard');
  }

  async message() {
    const { msg, error } = await this.next();
    assert.equal(error, '');
    return msg;
  }

  // Expects an error and then the end of the connection.
  async refused(error, code = 1000) {
    const frame = await this.next();
    assert.deepEqual(frame, { msg: '', error });
    assert.equal(await this.end(), code);
  }

  async end() {
    return Promise.race([this.gone, sleep(TIMEOUT_MS, null, { ref: false }).then(() => Promise.reject(new Error('still open')))]);
  }

  // When this resolves, the server has handled all earlier messages.
  async settled() {
    this.say({ cmd: 'settled?' });
    assert.deepEqual(await this.next(), { msg: '', error: "Invalid message: unexpected 'cmd'" });
  }

  drop() {
    this.socket.terminate();
  }

  close() {
    this.socket.close();
  }
}

// A request without the headers that fetch adds: {status, headers, body}.
export function plain(url, { method = 'GET', headers = {}, body = '' } = {}) {
  return new Promise((resolve, reject) => {
    const asked = request(url, { method, headers: { ...(body ? { 'content-length': Buffer.byteLength(body) } : {}), ...headers } }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk) => (text += chunk));
      response.on('end', () => resolve({ status: response.statusCode, headers: response.headers, body: text }));
    });
    asked.on('error', reject).end(body);
  });
}

// Parses an ICE configuration as strictly as the strictest client.
export function checkIce(text) {
  const { iceServers } = JSON.parse(text);
  assert.ok(Array.isArray(iceServers), 'Android ends a call without iceServers');
  for (const server of iceServers) {
    assert.ok(Array.isArray(server.urls) && server.urls.length > 0, 'urls is a non-empty array');
    for (const url of server.urls) {
      assert.match(url, /^(stun|turns?):/);
      if (!url.startsWith('turn')) continue;
      assert.ok(server.username && server.credential, 'browsers throw at TURN without credentials');
    }
  }
  return iceServers;
}

class Peer {
  inbox = [];

  constructor(server) {
    this.server = server;
  }

  async post(path, body = '') {
    const answer = await plain(`${this.server}${path}`, { method: 'POST', body, headers: this.headers });
    assert.equal(answer.status, 200, `${path}: Android ends a call at any other status`);
    return answer.body;
  }

  took(joined) {
    const { result, params } = JSON.parse(joined);
    this.result = result;
    this.params = params;
    if (result !== 'SUCCESS') return false;
    assert.equal(typeof params.is_initiator, 'string');
    this.initiator = params.is_initiator === 'true';
    this.room = params.room_id;
    this.client = params.client_id;
    assert.ok(Array.isArray(params.messages) && params.messages.every((message) => typeof message === 'string'));
    this.inbox.push(...params.messages);
    return true;
  }

  get path() {
    return `/${this.room}/${this.client}`;
  }

  // The initiator sends everything through the room server, the callee through its WebSocket.
  async send(message) {
    const text = JSON.stringify(message);
    if (!this.initiator) return this.channel.send(text);
    assert.deepEqual(JSON.parse(await this.post(`/message${this.path}`, text)), { result: 'SUCCESS' });
  }

  async hear(type) {
    const message = JSON.parse(this.inbox.shift() ?? (await this.channel.message()));
    assert.equal(message.type, type);
    if (type === 'bye') this.initiator = true;
    return message;
  }

  // The app is force-closed.
  vanish() {
    this.channel.drop();
  }
}

export class Android extends Peer {
  // This client connects its WebSocket only after the HTTP answer.
  async join(room) {
    if (!this.took(await this.post(`/join/${room}`))) return false;
    const config = JSON.parse(this.params.pc_config);
    assert.deepEqual(config.iceServers, []);
    this.ice = await this.servers();
    const { hostname } = new URL(this.params.wss_url);
    const headers = { Host: hostname, Upgrade: 'WebSocket' };
    this.channel = await Channel.open(this.params.wss_url, { origin: 'https://www.google.com', headers });
    this.channel.register(room, this.client);
    return true;
  }

  async servers() {
    // Some versions send GET.
    const ice = await plain(this.params.ice_server_url, { headers: { referer: 'https://appr.tc' } });
    assert.equal(ice.status, 200);
    return checkIce(ice.body);
  }

  async hangUp() {
    await this.post(`/leave${this.path}`);
    this.channel.send(JSON.stringify({ type: 'bye' }));
    const gone = await plain(`${this.params.wss_post_url}${this.path}`, { method: 'DELETE' });
    assert.equal(gone.status, 200);
    await this.channel.end();
  }
}

// Parses the answer of `turn_url` like AppRTC's clients of 2014 to 2016.
export function checkTurn(text) {
  const { username, password, uris } = JSON.parse(text);
  assert.ok(typeof username === 'string' && typeof password === 'string', 'getString throws at anything else');
  assert.ok(Array.isArray(uris) && uris.length > 0 && uris.every((uri) => /^turns?:/.test(uri)), `${uris}`);
  return uris.map((urls) => ({ urls, username, credential: password }));
}

// AppRTCDemo of 2014 to 2016: it uses only this URL, with GET.
export class Android2015 extends Android {
  async servers() {
    assert.equal(typeof this.params.turn_url, 'string', 'No value for turn_url');
    // getString accepts only strings; older versions read these fields, too.
    for (const key of ['pc_constraints', 'media_constraints', 'is_initiator', 'wss_url', 'wss_post_url', 'room_id', 'client_id']) {
      assert.equal(typeof this.params[key], 'string', key);
    }
    const turn = await plain(this.params.turn_url, { headers: { 'user-agent': 'Dalvik/1.6.0 (Linux; U; Android 4.4.4; Nexus 5 Build/KTU84P)' } });
    assert.equal(turn.status, 200);
    return checkTurn(turn.body);
  }
}

export class Ios extends Peer {
  async join(room) {
    this.ice = await this.servers(JSON.parse((await plain(`${this.server}/params`)).body));
    if (!this.took(await this.post(`/join/${room}`))) return false;
    for (const message of this.inbox) {
      assert.match(JSON.parse(message).type, /^(offer|answer|candidate|remove-candidates|bye)$/);
    }
    this.channel = await Channel.open(this.params.wss_url);
    this.channel.register(room, this.client);
    return true;
  }

  async servers(params) {
    const ice = await plain(params.ice_server_url, { method: 'POST', headers: { referer: 'https://appr.tc' } });
    assert.equal(ice.status, 200);
    return checkIce(ice.body);
  }

  // Before its socket is registered, this client posts to Collider.
  async sendEarly(message) {
    const answer = await plain(`${this.params.wss_post_url}${this.path}`, { method: 'POST', body: JSON.stringify(message) });
    assert.deepEqual([answer.status, answer.body], [200, 'OK\n']);
  }

  async hangUp() {
    await this.post(`/leave${this.path}`);
    this.channel.send(JSON.stringify({ type: 'bye' }));
    await plain(`${this.params.wss_post_url}${this.path}`, { method: 'DELETE' });
    await this.channel.end();
  }
}

export class Ios2015 extends Ios {
  async servers(params) {
    const headers = { 'user-agent': 'Mozilla/5.0', origin: 'https://apprtc.appspot.com' };
    const turn = await plain(params.turn_url, { headers });
    assert.equal(turn.status, 200);
    return checkTurn(turn.body);
  }
}

export class Web extends Peer {
  constructor(server, origin = 'https://app.example') {
    super(server);
    this.headers = { origin };
    this.origin = origin;
  }

  // Requests the ICE servers first, and then opens the WebSocket and joins at the same time.
  async join(room) {
    const params = JSON.parse((await plain(`${this.server}/params?hd=true`)).body);
    const ice = await plain(params.ice_server_url, { method: 'POST', headers: this.headers });
    assert.equal(ice.status, 200);
    assert.ok(['*', this.origin].includes(ice.headers['access-control-allow-origin']));
    this.ice = checkIce(ice.body);
    const [channel, joined] = await Promise.all([Channel.open(params.wss_url, { origin: this.origin }), this.post(`/join/${room}?hd=true`)]);
    this.channel = channel;
    if (!this.took(joined)) {
      channel.drop();
      return false;
    }
    assert.equal(this.params.room_link, `${this.server}/r/${room}?hd=true`);
    channel.register(room, this.client);
    return true;
  }

  async hangUp() {
    await this.post(`/leave${this.path}`);
    this.channel.send(JSON.stringify({ type: 'bye' }));
    const url = `${this.params.wss_post_url}${this.path}`;
    const preflight = await plain(url, { method: 'OPTIONS', headers: { ...this.headers, 'access-control-request-method': 'DELETE' } });
    assert.equal(preflight.status, 200);
    assert.match(preflight.headers['access-control-allow-methods'], /\bDELETE\b/);
    assert.ok(['*', this.origin].includes(preflight.headers['access-control-allow-origin']));
    assert.equal((await plain(url, { method: 'DELETE', headers: this.headers })).status, 200);
    await this.channel.end();
  }
}
