// One of the original servers, npm socket.io-2 as it is by default, or socket.io-4 with clients of version 2 and pages of any origin
// let in; started as a process of its own. Its first argument is the package. It passes what TV_INIT, JOIN_ROOM and
// CLIENT_OFFER_TO_SERVER need of the cast flow, with the code that the TV asks for, acks every CONFIG, tells everybody who is gone and why, and lets nobody into /closed. Prints its port.
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
