// The original server (npm rtcmulticonnection-server) as its own server.js runs it, over the named Socket.IO server. It runs in a process
// of its own, since invalid input makes it crash. Prints its port.
import { createServer } from 'node:http';
import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);
const name = process.argv[2] ?? 'socket.io-4';
const socketIo = require(name);
const { addSocket } = require('rtcmulticonnection-server');

const http = createServer();
const io = name === 'socket.io-2' ? socketIo(http) : new socketIo.Server(http, { allowEIO3: true, cors: { origin: true, credentials: true } });
const config = { enableAdmin: true, adminUserName: 'root', adminPassword: 'root-password-1' };
io.on('connection', (socket) => {
  addSocket(socket, config);
  const { query } = socket.handshake;
  query.socketCustomEvent ||= 'custom-message';
  socket.on(query.socketCustomEvent, (message) => socket.broadcast.emit(query.socketCustomEvent, message));
});
http.listen(0, '127.0.0.1', () => process.stdout.write(`port ${http.address().port}\n`));
