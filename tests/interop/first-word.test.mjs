// The server must receive an event that a client sends immediately after connecting. Front ends without acks would wait for ever.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import WebSocket from 'ws';
import { startServer } from './support/server.mjs';
import { TIMEOUT_MS } from './support/wait.mjs';

const CLIENTS = 1500;
const CONNECTIONS_AT_A_TIME = 20;

test(`the first event of ${CLIENTS} clients is answered`, async () => {
  const server = await startServer();
  // A bare WebSocket, since the client libraries are too slow to find a server that is not ready yet.
  const first = (namespace) =>
    new Promise((resolve) => {
      const socket = new WebSocket(`${server.url.replace('http', 'ws')}/socket.io/?EIO=4&transport=websocket`);
      const end = (result) => {
        clearTimeout(timer);
        socket.terminate();
        resolve(result);
      };
      const timer = setTimeout(() => end('no answer'), TIMEOUT_MS);
      const prefix = namespace === '/' ? '' : `${namespace},`;
      socket.on('error', (error) => end(error.message));
      socket.on('message', (data) => {
        const text = String(data);
        if (text.startsWith('0')) socket.send(`40${prefix}`);
        else if (text.startsWith('40')) socket.send(`42${prefix}7["CONFIG",{}]`);
        else if (text.startsWith(`43${prefix}7`)) end('answered');
      });
    });
  try {
    const results = {};
    let started = 0;
    const worker = async () => {
      while (started < CLIENTS) {
        started += 1;
        const result = await first(started % 2 ? '/' : '/rtc');
        results[result] = (results[result] ?? 0) + 1;
      }
    };
    await Promise.all(Array.from({ length: CONNECTIONS_AT_A_TIME }, worker));
    assert.deepEqual(results, { answered: CLIENTS });
  } finally {
    await server.close();
  }
});
