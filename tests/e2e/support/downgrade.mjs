// A reverse proxy as many tutorials configure it: it drops the Upgrade header until a test changes that.
import { once } from 'node:events';
import { createServer, request } from 'node:http';
import { connect } from 'node:net';

class Proxy {
  // The number of WebSocket handshakes that were forwarded without their Upgrade header.
  downgraded = 0;
  passesUpgrades = false;
  #server;
  #sockets = new Set();

  constructor(target) {
    const { hostname, port } = new URL(target);
    this.target = { host: hostname, port };
    this.#server = createServer((asked, answer) => this.#forward(asked, answer));
    // Without this listener Node treats an upgrade as an ordinary request.
    this.#server.on('upgrade', (asked, socket, head) => this.#upgrade(asked, socket, head));
    this.#server.on('connection', (socket) => this.#keep(socket));
  }

  async listen() {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    this.url = `http://127.0.0.1:${this.#server.address().port}`;
    return this;
  }

  async close() {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
  }

  #keep(socket) {
    this.#sockets.add(socket);
    socket.on('close', () => this.#sockets.delete(socket));
    socket.on('error', () => socket.destroy());
  }

  #forward(asked, answer) {
    const { method, url, headers } = asked;
    const further = request({ ...this.target, method, path: url, headers });
    further.on('response', (reply) => {
      answer.writeHead(reply.statusCode, reply.headers);
      reply.pipe(answer);
    });
    further.on('error', () => answer.writeHead(502).end());
    asked.pipe(further);
  }

  #upgrade(asked, socket, head) {
    const { method, url, headers, rawHeaders } = asked;
    if (this.passesUpgrades) {
      const lines = [];
      for (let i = 0; i < rawHeaders.length; i += 2) lines.push(`${rawHeaders[i]}: ${rawHeaders[i + 1]}\r\n`);
      const further = connect(this.target, () => further.write(`${method} ${url} HTTP/1.1\r\n${lines.join('')}\r\n`) && further.write(head));
      this.#keep(further);
      for (const [from, to] of [[socket, further], [further, socket]]) {
        from.pipe(to);
        from.on('close', () => to.destroy());
      }
      return;
    }
    this.downgraded += 1;
    const { upgrade: _, ...rest } = headers;
    const further = request({ ...this.target, method, path: url, headers: { ...rest, connection: 'close' } });
    further.on('response', (reply) => {
      reply.resume();
      socket.end(`HTTP/1.1 ${reply.statusCode} ${reply.statusMessage}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n`);
    });
    further.on('error', () => socket.end('HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\nconnection: close\r\n\r\n'));
    further.end();
  }
}

export const startDowngradingProxy = (target) => new Proxy(target).listen();
