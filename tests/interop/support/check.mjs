// Keys for `/check` from the server's control socket, and requests to its API.
import { request } from 'node:http';
import { createConnection } from 'node:net';
import { join } from 'node:path';

// Asks the server through the socket in its data folder: one JSON object a line each way.
export function ask(server, question) {
  return new Promise((resolve, reject) => {
    const socket = createConnection(join(server.dataDir, 'castway.sock'));
    let text = '';
    socket.on('error', reject);
    socket.on('data', (chunk) => {
      text += chunk;
      if (!text.includes('\n')) return;
      socket.end();
      resolve(JSON.parse(text));
    });
    socket.on('close', () => reject(new Error(`the control socket closed after ${text.slice(0, 200)}`)));
    socket.write(`${JSON.stringify(question)}\n`);
  });
}

export const newKey = async (server) => (await ask(server, { ask: 'check_key' })).key;

// POSTs to `/check/ACTION` from the address `local`: {status, headers, body}.
export function post(server, action, body, { local = '127.0.0.1', method = 'POST', path = `/check/${action}` } = {}) {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  const headers = { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(text) };
  return new Promise((resolve, reject) => {
    const sent = request(`${server.url}${path}`, { method, headers, localAddress: local }, (response) => {
      let answer = '';
      response.setEncoding('utf8');
      response.on('data', (chunk) => (answer += chunk));
      response.on('end', () => {
        const isJson = /json/.test(response.headers['content-type'] ?? '');
        resolve({ status: response.statusCode, headers: response.headers, body: isJson ? JSON.parse(answer) : answer });
      });
    });
    sent.on('error', reject);
    sent.end(text);
  });
}
