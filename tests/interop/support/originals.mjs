// The original Socket.IO servers for comparison with ours, every version of the clients, and requests byte by byte.
import { createRequire } from 'node:module';
import { connect } from 'node:net';
import { fileURLToPath } from 'node:url';
import { Program } from './process.mjs';
import { startServer } from './server.mjs';
import { TIMEOUT_MS } from './wait.mjs';

const require = createRequire(import.meta.url);

// Versions with Engine.IO 3, and versions with Engine.IO 4.
export const old = ['1.4', '1.7', '2.0', '2.1', '2.2', '2.3', '2.4', '2'];
export const recent = ['3.0', '3', '4.0', '4.1', '4.4', '4.6', '4.7', '4'];
export const client = (version) => {
  const library = require(`socket.io-client-${version}`);
  return library.io ?? library;
};

// 'socket.io-2' (2.5.1) or 'socket.io-4' (4.8.4). Resolves to {url, port, close}.
export async function startOriginal(name) {
  const program = new Program(process.execPath, [fileURLToPath(new URL('./socketio-original.mjs', import.meta.url)), name]);
  const port = Number(await program.ready(async () => program.output.match(/^port (\d+)$/m)?.[1]));
  return { url: `http://127.0.0.1:${port}`, port, close: () => program.close() };
}

// Starts Castway as `ours` and both originals, each under its package's name; `closeServers` ends them.
export async function startBeside(settings) {
  return {
    ours: await startServer(settings),
    'socket.io-2': await startOriginal('socket.io-2'),
    'socket.io-4': await startOriginal('socket.io-4'),
  };
}

export const closeServers = (servers) => Promise.all(Object.values(servers).map((server) => server.close()));

// Sends `text` on a connection of its own, and resolves to the head of the answer, {status, headers}.
export function head(port, text) {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(text));
    const timer = setTimeout(() => socket.destroy(new Error(`no answer to ${text}`)), TIMEOUT_MS);
    let answer = '';
    const end = (error) => {
      clearTimeout(timer);
      socket.destroy();
      const [start, ...lines] = answer.split('\r\n\r\n')[0].split('\r\n');
      const headers = Object.fromEntries(lines.map((line) => [line.split(':')[0].toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]));
      if (answer.includes('\r\n\r\n')) resolve({ status: Number(start.split(' ')[1]), headers });
      else reject(error ?? new Error(`the connection ended after ${JSON.stringify(answer)}`));
    };
    socket.on('data', (chunk) => {
      answer += chunk.toString('latin1');
      if (answer.includes('\r\n\r\n')) end();
    });
    socket.on('error', end);
    socket.on('close', () => end());
  });
}
