// One of the original servers, npm socket.io-2 or socket.io-4; started as a process of its own. Its first argument is the package. It
// acks every CONFIG, tells everybody who is gone and why, and lets nobody into /closed. Prints its port.
import { createServer } from 'node:http';
import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);
const library = require(process.argv[2]);
const http = createServer();
const io = library.Server ? new library.Server(http, { allowEIO3: true }) : library(http);
for (const name of ['/', '/rtc']) {
  const namespace = io.of(name);
  namespace.on('connection', (socket) => {
    socket.on('CONFIG', (_, ack) => ack?.({}));
    socket.on('disconnect', (reason) => namespace.emit('gone', { id: socket.id, reason }));
  });
}
io.of('/closed').use((_, next) => next(new Error('closed "for" everybody')));
http.listen(0, '127.0.0.1', () => process.stdout.write(`port ${http.address().port}\n`));
