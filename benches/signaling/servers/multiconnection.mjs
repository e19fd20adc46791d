// RTCMultiConnection's own server, as its server.js runs it, on Node's Socket.IO server. Usage: node multiconnection.mjs PORT
import { createServer } from 'node:http';
import multiconnection from 'rtcmulticonnection-server';
import { Server } from 'socket.io';

const http = createServer();
const io = new Server(http, { serveClient: false });
io.on('connection', (socket) => multiconnection.addSocket(socket, {}));
http.listen({ port: Number(process.argv[2]), host: '127.0.0.1', backlog: 4096 });
