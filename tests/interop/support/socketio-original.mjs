// One of the original servers: npm socket.io-2 with its defaults, or socket.io-4 with support for clients of version 2 and for pages of any
// origin. It runs in a process of its own, and its first argument is the package. It forwards the parts of TV_INIT, JOIN_ROOM and
// CLIENT_OFFER_TO_SERVER that the cast flow needs, with the code that the TV requests, acks every CONFIG, tells all clients which client
// has gone and why, and refuses every client in /closed. Prints its port.
import { createServer } from 'node:http';
import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);
const library = require(process.argv[2]);
const http = createServer((_request, response) => response.writeHead(404).end());
const io = library.Server ? new library.Server(http, { allowEIO3: true, cors: { origin: true, credentials: true } }) : library(http);
for (const name of ['/', '/rtc']) {
  const namespace = io.of(name);
  namespace.on('connection', (socket) => {
    let room = 'TV';
    socket.on('TV_INIT', (code) => {
      if (typeof code === 'string') room = code;
      socket.join(room);
      socket.emit('TV_INIT_OK', room);
    });
    socket.on('JOIN_ROOM', (code) => {
      room = code;
      socket.emit('JOIN_ROOM_OK', code);
    });
    socket.on('CLIENT_OFFER_TO_SERVER', (offer) => namespace.to(room).emit('CLIENT_OFFER_TO_TV', offer));
    socket.on('CONFIG', (_, ack) => ack?.({}));
    socket.on('disconnect', (reason) => namespace.emit('gone', { id: socket.id, reason }));
  });
}
io.of('/closed').use((_, next) => next(new Error('closed "for" everybody')));
http.listen(0, '127.0.0.1', () => process.stdout.write(`port ${http.address().port}\n`));
