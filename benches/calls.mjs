// Measures AppRTC rooms under load: ROOMS rooms (5,000) of two clients each. The clients join, register and send each other
// ROUNDS messages (20) each way. Prints how many messages were lost or out of order (both must be 0), the delay, and the memory of a room.
//
//   cargo build --release && npm ci --prefix tests/interop && node benches/calls.mjs
import { readFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import WebSocket from '../tests/interop/node_modules/ws/wrapper.mjs';
import { startServer } from '../tests/interop/support/server.mjs';

const ROOMS = Number(process.env.ROOMS ?? 5000);
const ROUNDS = Number(process.env.ROUNDS ?? 20);
// The shortest time from the start of one round of all clients to the start of the next, in ms.
const PACE = 1000;
const TOGETHER = 50;
const SDP = 'a=candidate:1 1 udp 2122260223 192.0.2.1 61764 typ host\r\n'.repeat(40);

// The server limits each address, and a pair of addresses has only so many ports.
const addresses = Array.from({ length: 50 }, (_, n) => `127.0.0.${n + 2}`);
const agents = addresses.map((localAddress) => new Agent({ keepAlive: true, maxSockets: 4, localAddress }));

const server = await startServer({ CASTWAY_CALL_RATE: '1000000', CASTWAY_CALL_SOCKETS: '100000', CASTWAY_MAX_CALLS: '100000' });
const memory = () => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${server.pid}/status`, 'utf8'))[1]);

function post(path, agent, body = '') {
  return new Promise((resolve, reject) => {
    const headers = { 'content-length': Buffer.byteLength(body) };
    const asked = request(`${server.url}${path}`, { method: 'POST', agent, headers }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk) => (text += chunk));
      response.on('end', () => (response.statusCode === 200 ? resolve(JSON.parse(text)) : reject(new Error(`${path}: ${response.statusCode}`))));
    });
    asked.on('error', reject).end(body);
  });
}

class Client {
  heard = 0;
  delays = [];

  constructor(room, at) {
    this.room = room;
    this.at = at % addresses.length;
  }

  async join() {
    const { result, params } = await post(`/join/load-${this.room}`, agents[this.at]);
    if (result !== 'SUCCESS') throw new Error(result);
    this.id = params.client_id;
    return params.messages;
  }

  register() {
    return new Promise((resolve, reject) => {
      const url = `${server.url.replace('http', 'ws')}/ws`;
      this.socket = new WebSocket(url, { localAddress: addresses[this.at], perMessageDeflate: false });
      this.socket.on('error', reject);
      this.socket.on('close', () => (this.gone = true));
      this.socket.on('open', () => {
        this.socket.send(JSON.stringify({ cmd: 'register', roomid: `load-${this.room}`, clientid: this.id }));
        resolve();
      });
      this.socket.on('message', (data) => {
        const { msg, error } = JSON.parse(data);
        const { n, sent } = error ? {} : JSON.parse(msg);
        if (n !== this.heard) throw new Error(`room ${this.room}: ${error || `${n} after ${this.heard}`}`);
        this.heard += 1;
        this.delays.push(performance.now() - sent);
      });
    });
  }

  send(n) {
    this.socket.send(JSON.stringify({ cmd: 'send', msg: JSON.stringify({ n, sent: performance.now(), sdp: SDP.slice(0, 400) }) }));
  }
}

async function all(items, work) {
  const queue = items[Symbol.iterator]();
  await Promise.all(Array.from({ length: TOGETHER }, async () => {
    for (const item of queue) await work(item);
  }));
}

try {
  const empty = memory();
  const rooms = Array.from({ length: ROOMS }, (_, n) => [new Client(n, 2 * n), new Client(n, 2 * n + 1)]);
  let began = performance.now();
  await all(rooms, async ([caller]) => {
    await caller.join();
    await post(`/message/load-${caller.room}/${caller.id}`, agents[caller.at], SDP);
  });
  const waiting = memory();
  await all(rooms, async ([caller, callee]) => {
    const messages = await callee.join();
    if (messages.length !== 1 || messages[0] !== SDP) throw new Error(`room ${callee.room}: the offer is not as it was`);
    await Promise.all([caller.register(), callee.register()]);
  });
  const seconds = (performance.now() - began) / 1000;
  await sleep(1000);
  const idle = memory();
  const clients = rooms.flat();
  began = performance.now();
  for (let n = 0; n < ROUNDS; n += 1) {
    const round = performance.now();
    for (const [at, client] of clients.entries()) {
      client.send(n);
      if (at % 200 === 199) await sleep(0);
    }
    await sleep(Math.max(0, PACE - (performance.now() - round)));
  }
  const rate = (clients.length * ROUNDS) / ((performance.now() - began) / 1000);
  for (const end = Date.now() + 30_000; Date.now() < end && clients.some(({ heard }) => heard < ROUNDS); ) await sleep(100);
  const heard = clients.reduce((sum, client) => sum + client.heard, 0);
  const delays = clients.flatMap((client) => client.delays).sort((a, b) => a - b);
  const quantile = (part) => delays[Math.floor(delays.length * part)]?.toFixed(1);
  console.log(`rooms           ${ROOMS} with ${clients.filter(({ gone }) => !gone).length} sockets, set up in ${seconds.toFixed(1)} s`);
  console.log(`messages        ${clients.length * ROUNDS} sent at ${rate.toFixed(0)}/s, ${clients.length * ROUNDS - heard} lost, none out of order`);
  console.log(`delay           ${quantile(0.5)} ms median, ${quantile(0.99)} ms for 99 of 100, with this script on the same cores`);
  console.log(`memory          ${empty} KiB empty, ${waiting} with offers that wait, ${idle} idle, ${memory()} under load`);
  console.log(`memory a room   ${((idle - empty) / ROOMS).toFixed(1)} KiB idle, ${((memory() - empty) / ROOMS).toFixed(1)} under load`);
  if (heard !== clients.length * ROUNDS) process.exitCode = 1;
  for (const { socket } of clients) socket.terminate();
  for (const agent of agents) agent.destroy();
} finally {
  await server.close();
}
