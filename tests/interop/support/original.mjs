// Socket.IO's original servers, with the casts' namespace and nothing else of ours: 2.5.1, and 4.8.4 as README asks for old clients.
// Run as a program with a version it is that server, in a process of its own, and prints its port.
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { Program } from './process.mjs';

const require = createRequire(import.meta.url);
const file = fileURLToPath(import.meta.url);

const makers = {
  2: (http) => require('socket.io-2')(http),
  4: (http) => new (require('socket.io-4').Server)(http, { allowEIO3: true, cors: { origin: true, credentials: true } }),
};

function serve(version) {
  const http = createServer((_, answer) => answer.end());
  const io = makers[version](http);
  for (const namespace of ['/', '/rtc']) {
    const clients = io.of(namespace);
    clients.on('connection', (socket) => {
      socket.on('echo', (value, answer) => answer?.(value));
      socket.on('listen', (room, heard) => {
        socket.join(room);
        heard();
      });
      socket.on('say', (room, value) => clients.to(room).emit('said', value));
    });
  }
  http.listen(0, '127.0.0.1', () => process.stdout.write(`port ${http.address().port}\n`));
}

// Resolves to {url, close}. `version` is 2 or 4.
export async function startOriginal(version) {
  const program = new Program(process.execPath, [file, String(version)]);
  const port = await program.ready(async () => program.output.match(/^port (\d+)$/m)?.[1]);
  return { url: `http://127.0.0.1:${port}`, httpAddr: `127.0.0.1:${port}`, close: () => program.close() };
}

if (process.argv[1] === file) serve(process.argv[2]);
