// Socket.IO on Bun's own HTTP and WebSocket server, over TLS if it has a certificate. Usage: bun bun.mjs PORT [CERTIFICATE KEY]
import { Server as Engine } from '@socket.io/bun-engine';
import { Server } from 'socket.io';
import { serve } from './cast_flow.mjs';

const [port, cert, key] = process.argv.slice(2);
const io = new Server();
const engine = new Engine({ path: '/socket.io/' });
io.bind(engine);
serve(io);
const tls = cert && { cert: Bun.file(cert), key: Bun.file(key) };
Bun.serve({ ...engine.handler(), port: Number(port), hostname: '127.0.0.1', tls });
