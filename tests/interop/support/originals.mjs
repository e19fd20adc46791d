// The original servers that pages came from, in this process: socket.io 2.5.1 as it is by default, and 4.8.4 with clients of version 2
// and pages of any origin let in. Both pass what TV_INIT and CLIENT_OFFER_TO_SERVER need of the cast flow.
import { once } from 'node:events';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);

const attach = {
  2: (http) => require('socket.io-2')(http),
  4: (http) => new (require('socket.io-4').Server)(http, { allowEIO3: true, cors: { origin: true, credentials: true } }),
};

export async function startOriginal(version) {
  const http = createServer((_request, response) => response.writeHead(404).end());
  const io = attach[version](http);
  io.on('connection', (socket) => {
    socket.on('TV_INIT', () => {
      socket.join('TV');
      socket.emit('TV_INIT_OK', 'TV');
    });
    socket.on('JOIN_ROOM', (code) => socket.emit('JOIN_ROOM_OK', code));
    socket.on('CLIENT_OFFER_TO_SERVER', (offer) => io.to('TV').emit('CLIENT_OFFER_TO_TV', offer));
  });
  http.listen(0, '127.0.0.1');
  await once(http, 'listening');
  return {
    url: `http://127.0.0.1:${http.address().port}`,
    close() {
      io.close();
      http.closeAllConnections();
    },
  };
}
