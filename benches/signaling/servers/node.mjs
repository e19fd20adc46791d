// Node's Socket.IO server with its fastest engine, ws, over TLS if it has a certificate. Usage: node node.mjs PORT [CERTIFICATE KEY]
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { Server } from 'socket.io';
import { serve } from './cast_flow.mjs';

const [port, cert, key] = process.argv.slice(2);
const http = cert ? createTlsServer({ cert: readFileSync(cert), key: readFileSync(key) }) : createServer();
serve(new Server(http, { serveClient: false }));
http.listen({ port: Number(port), host: '127.0.0.1', backlog: 4096 });
