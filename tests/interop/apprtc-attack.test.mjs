// AppRTC's room server and Collider under attack: attackers fill rooms and message queues beside honest calls.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { after, test } from 'node:test';
import { Android, Channel, Web } from './support/apprtc.mjs';
import { startServer } from './support/server.mjs';

const GENEROUS = { CASTWAY_CALL_RATE: '1000000', CASTWAY_ICE_RATE: '100000' };
const KIB = 1024;
const LARGE = 'x'.repeat(250 * KIB);
const OFFER = { type: 'offer', sdp: 'v=0\r\n'.repeat(1600) };
const candidate = (label) => ({ type: 'candidate', label, id: 'video', candidate: `candidate:${label} 1 udp 2122260223 192.0.2.1 54321 typ host` });
const CANDIDATES = Array.from({ length: 40 }, (_, label) => candidate(label));

const agents = [];
after(() => agents.forEach((agent) => agent.destroy()));

// Requests from an address of its own: {status, headers, body}. The server may close an idle connection while the next request is on its
// way, so connections are kept only if no pauses occur.
class From {
  constructor(server, address, { keepAlive = false, maxSockets = 4 } = {}) {
    this.server = server;
    this.address = address;
    this.rooms = 0;
    this.agent = new Agent({ keepAlive, localAddress: address, maxSockets });
    agents.push(this.agent);
  }

  ask(method, path, body = '', headers = {}) {
    return new Promise((resolve, reject) => {
      const options = { method, agent: this.agent, headers: { 'content-length': Buffer.byteLength(body), ...headers } };
      const asked = request(`${this.server.url}${path}`, options, (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (chunk) => (text += chunk));
        response.on('end', () => resolve({ status: response.statusCode, headers: response.headers, body: text }));
      });
      asked.on('error', reject).end(body);
    });
  }

  async join(room) {
    const { status, body } = await this.ask('POST', `/join/${room}`);
    return { status, ...JSON.parse(body) };
  }

  async say(room, client, message) {
    const { status, body } = await this.ask('POST', `/message/${room}/${client}`, message);
    assert.equal(status, 200, 'Android ends a call at any other status');
    return JSON.parse(body).result;
  }

  channel() {
    return Channel.open(`${this.server.url.replace('http', 'ws')}/ws`, { localAddress: this.address });
  }

  // Fills several rooms with several messages of 250 KiB each; resolves to how many rooms and messages were accepted.
  async fill(rooms, messages, { connected = false } = {}) {
    const filled = { rooms: 0, messages: 0, channels: [] };
    for (let count = 0; count < rooms; count += 1) {
      const room = `${this.address.replaceAll('.', '-')}-${(this.rooms += 1)}`;
      const joined = await this.join(room);
      if (joined.result !== 'SUCCESS') continue;
      filled.rooms += 1;
      const { client_id: client } = joined.params;
      if (connected) {
        const channel = await this.channel();
        channel.register(room, client);
        await channel.settled();
        filled.channels.push(channel);
      }
      for (let said = 0; said < messages; said += 1) filled.messages += (await this.say(room, client, LARGE)) === 'SUCCESS';
    }
    return filled;
  }
}

const addresses = (count) => Array.from({ length: count }, (_, host) => `127.1.${host >> 7}.${(host & 127) + 1}`);
const rss = (server) => Number(readFileSync(`/proc/${server.pid}/status`, 'utf8').match(/^VmRSS:\s+(\d+) kB/m)[1]) * KIB;

async function withServer(settings, work) {
  const server = await startServer(settings);
  try {
    await work(server);
  } finally {
    await server.close();
  }
}

// A whole call, with the messages in the order of the original apps.
async function call(server, room) {
  const [caller, callee] = [new Android(server.url), new Web(server.url)];
  assert.ok(await caller.join(room), `${room}: ${caller.result}`);
  assert.ok(caller.initiator);
  for (const message of [OFFER, ...CANDIDATES]) await caller.send(message);
  assert.ok(await callee.join(room), `${room}: ${callee.result}`);
  assert.deepEqual(await callee.hear('offer'), OFFER);
  for (const message of CANDIDATES) assert.deepEqual(await callee.hear('candidate'), message);
  await callee.send({ type: 'answer', sdp: 'v=0' });
  await caller.hear('answer');
  for (const message of CANDIDATES.slice(0, 3)) {
    await caller.send(message);
    assert.deepEqual(await callee.hear('candidate'), message);
  }
  await caller.hangUp();
  await callee.hear('bye');
  await callee.hangUp();
}

for (const connected of [false, true]) {
  test(`64 addresses fill rooms and messages, ${connected ? 'connected' : 'without a connection'}: a call from another one is made`, () =>
    withServer({ ...GENEROUS, CASTWAY_MAX_CALLS: '300' }, async (server) => {
      const attackers = addresses(64).map((address) => new From(server, address));
      const attack = async () => {
        for (let start = 0; start < 64; start += 16) await Promise.all(attackers.slice(start, start + 16).map((each) => each.fill(6, 1, { connected })));
      };
      await attack();
      assert.ok((await server.metric('castway_call_waiting_bytes')) > 8 * KIB * KIB, 'the attack fills what there is');
      // Honest calls before and during the rest of the attack.
      const calls = async () => {
        for (let count = 0; count < 5; count += 1) await call(server, `honest-${count}`);
      };
      await Promise.all([calls(), attack()]);
      await call(server, 'honest-after');
      assert.ok(rss(server) < 150 * KIB * KIB, `${rss(server)} bytes`);
      const metrics = await (await fetch(`${server.url}/metrics`)).text();
      assert.match(metrics, /^castway_call_refusals_total\{reason="message"\} [1-9]/m);
      assert.match(server.log, /calls: the server is at its bounds/);
      assert.equal(server.log.match(/calls: the server is at its bounds/g).length <= 3, true, 'once a minute at most');
    }));
}

test('one address at the default rate: its own messages are refused, and nobody else is', () =>
  withServer({ CASTWAY_ICE_RATE: '100000' }, async (server) => {
    const attacker = new From(server, '127.0.0.2');
    const filled = await attacker.fill(40, 4);
    assert.ok(filled.messages > 40, `${filled.messages}`);
    const { params } = await attacker.join('one-more');
    assert.equal(await attacker.say('one-more', params.client_id, LARGE), 'ERROR');
    for (let count = 0; count < 3; count += 1) await call(server, `honest-${count}`);
  }));

test('rooms that were joined once and that nobody is in, or one client alone: a new caller gets a room', () =>
  withServer({ ...GENEROUS, CASTWAY_MAX_CALLS: '40' }, async (server) => {
    const [attacker, connected] = [new From(server, '127.0.0.2'), new From(server, '127.0.0.3')];
    for (let count = 0; count < 40; count += 1) assert.equal((await attacker.join(`a-${count}`)).status, 200);
    const refused = await attacker.join('a-more');
    assert.deepEqual([refused.status, refused.result, refused.params], [503, 'ERROR', { messages: [] }]);
    await call(server, 'honest-1');
    const waiting = [];
    for (let count = 0; count < 20; count += 1) {
      const channel = await connected.channel();
      channel.register(`b-${count}`, '1');
      await channel.settled();
      waiting.push(channel);
    }
    await call(server, 'honest-2');
    await Promise.all(['honest-3', 'honest-4', 'honest-5'].map((room) => call(server, room)));
    assert.match(await (await fetch(`${server.url}/metrics`)).text(), /^castway_call_given_up_total\{kind="room"\} [1-9]/m);
  }));

// Many callers behind one address, with the default limits: each one joins, connects, offers, and is called back.
async function office(server, headers = {}) {
  const clerk = new From(server, '127.0.0.9', { keepAlive: true, maxSockets: 50 });
  const url = `${server.url.replace('http', 'ws')}/ws`;
  const post = async (path, body) => {
    const { status, body: text } = await clerk.ask('POST', path, body, headers);
    assert.equal(status, 200, `${path}: ${text}`);
    return text;
  };
  const open = () => Channel.open(url, { localAddress: clerk.address, headers });
  const one = async (count) => {
    const room = `office-${count}`;
    const caller = JSON.parse(await post(`/join/${room}`)).params;
    const channel = await open();
    channel.register(room, caller.client_id);
    await channel.settled();
    for (const message of [OFFER, ...CANDIDATES]) {
      assert.deepEqual(JSON.parse(await post(`/message/${room}/${caller.client_id}`, JSON.stringify(message))), { result: 'SUCCESS' });
    }
    return { room, caller, channel };
  };
  const callers = await Promise.all(Array.from({ length: 100 }, (_, count) => one(count)));
  await Promise.all(
    callers.map(async ({ room, caller, channel }) => {
      const callee = JSON.parse(await post(`/join/${room}`)).params;
      assert.deepEqual(callee.messages.map((message) => JSON.parse(message)), [OFFER, ...CANDIDATES]);
      const other = await open();
      other.register(room, callee.client_id);
      other.send('answer');
      assert.equal(await channel.message(), 'answer');
      for (const { client_id: client } of [caller, callee]) await post(`/leave/${room}/${client}`);
      for (const each of [channel, other]) each.close();
    }),
  );
}

test('an office of a hundred callers behind one address, all at once', () => withServer({}, (server) => office(server)));

test('the same behind a trusted proxy, while other clients of the proxy fill what there is', () =>
  withServer({ CASTWAY_TRUSTED_PROXIES: '127.0.0.9' }, async (server) => {
    const proxy = new From(server, '127.0.0.9', { maxSockets: 16 });
    const attack = async (client) => {
      const headers = { 'x-forwarded-for': client };
      for (let count = 0; count < 2; count += 1) {
        const room = `${client.replaceAll('.', '-')}-${count}`;
        const { params } = JSON.parse((await proxy.ask('POST', `/join/${room}`, '', headers)).body);
        for (let said = 0; said < 2; said += 1) await proxy.ask('POST', `/message/${room}/${params.client_id}`, LARGE, headers);
      }
    };
    await Promise.all(Array.from({ length: 64 }, (_, host) => attack(`203.0.113.${host + 1}`)));
    await office(server, { 'x-forwarded-for': '198.51.100.7' });
  }));

test('requests of one address that come too often get what clients understand', () =>
  withServer({ CASTWAY_CALL_RATE: '1' }, async (server) => {
    const [busy, other] = ['127.0.0.2', '127.0.0.3'].map((address) => new From(server, address, { keepAlive: true }));
    const { params } = await busy.join('r');
    // The rate limit allows one more request every two seconds.
    let said;
    for (let count = 0; count < 1000 && said !== 'ERROR'; count += 1) said = await busy.say('r', params.client_id, 'x');
    assert.equal(said, 'ERROR');
    const refused = async (accept, ...asked) => {
      for (let count = 0; count < 1000; count += 1) {
        const answer = await busy.ask(...asked);
        if (accept(answer)) return answer;
      }
      throw new Error(`never refused: ${asked}`);
    };
    for (const asked of [['POST', '/leave/other/1'], ['POST', '/bye/other/1'], ['DELETE', '/other/1']]) {
      const { headers } = await refused(({ status }) => status === 429, ...asked);
      assert.ok(Number(headers['retry-after']) > 0);
    }
    const { status } = await refused(({ body }) => body === 'Failed to send the message: Too many messages from this address\n', 'POST', '/r/2', 'x');
    assert.equal(status, 500);
    const joined = await other.join('r');
    assert.equal(joined.result, 'SUCCESS');
    assert.equal(await other.say('r', joined.params.client_id, 'x'), 'SUCCESS');
    assert.match(await (await fetch(`${server.url}/metrics`)).text(), /^castway_call_refusals_total\{reason="rate"\} [1-9]/m);
  }));
