// HTTP and WebSocket byte by byte. Node's fetch would set Host, decode bodies and drop some headers.
import { once } from 'node:events';
import { request } from 'node:http';
import { connect as connectTcp } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { within } from './wait.mjs';

// {status, headers, body}; the body has the received bytes. `host` in the URL is where to connect; the Host header is in `headers`.
export async function rawGet(url, headers = {}, method = 'GET') {
  const asked = request(url, { method, headers, agent: false }).end();
  const [response] = await once(asked, 'response');
  const chunks = [];
  for await (const chunk of response) chunks.push(chunk);
  return { status: response.statusCode, headers: response.headers, body: Buffer.concat(chunks) };
}

// The certificate that a server shows to a client that knows it by `servername`, or only by its address.
export async function shown(port, { host = '127.0.0.1', servername = '' } = {}) {
  const socket = connectTls({ host, port, servername, rejectUnauthorized: false, checkServerIdentity: () => undefined });
  await once(socket, 'secureConnect');
  const certificate = socket.getPeerCertificate();
  socket.destroy();
  return { names: certificate.subjectaltname.split(', ').map((name) => name.replace(/^(DNS|IP Address):/, '')), fingerprint: certificate.fingerprint256, subject: certificate.subject.CN };
}

// A TCP connection from `local` that keeps everything it receives; `gone` resolves when the connection has ended.
export class Raw {
  heard = Buffer.alloc(0);
  #waiting = [];

  constructor(server, local = '127.0.0.1') {
    const [host, port] = server.httpAddr.split(':');
    this.host = server.httpAddr;
    this.socket = connectTcp({ host, port: Number(port), localAddress: local });
    this.socket.on('error', () => {});
    this.socket.on('data', (chunk) => {
      this.heard = Buffer.concat([this.heard, chunk]);
      this.#waiting = this.#waiting.filter((look) => !look());
    });
    this.closed = false;
    this.gone = new Promise((resolve) => this.socket.once('close', () => resolve((this.closed = true))));
  }

  send(bytes) {
    return new Promise((resolve) => this.socket.write(bytes, resolve));
  }

  // Sends the head of a request, and the beginning of its body.
  request(method, path, headers = {}, body = '') {
    const lines = Object.entries({ Host: this.host, ...headers }).map(([name, value]) => `${name}: ${value}\r\n`);
    return this.send(`${method} ${path} HTTP/1.1\r\n${lines.join('')}\r\n${body}`);
  }

  until(pattern) {
    const found = new Promise((resolve) => {
      const look = () => {
        const match = this.heard.toString('latin1').match(pattern);
        if (match) resolve(match);
        return Boolean(match);
      };
      if (!look()) this.#waiting.push(look);
    });
    return within(Promise.race([found, this.gone.then(() => Promise.reject(new Error(`closed after ${this.heard.toString('latin1').slice(0, 500)}`)))]), `${pattern}`);
  }

  // Waits until the server has ended the connection.
  end() {
    return within(this.gone, 'end of a connection');
  }

  drop() {
    this.socket.destroy();
    return this.gone;
  }
}

export async function rawWebSocket(server, path, local) {
  const raw = new Raw(server, local);
  await raw.request('GET', path, {
    Connection: 'Upgrade', Upgrade: 'websocket', 'Sec-WebSocket-Version': 13, 'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
  });
  await raw.until(/^HTTP\/1\.1 101 /);
  return raw;
}

// The head of a masked frame; the mask is zeros, so the payload stays unchanged.
export function frameHead(length, { opcode = 1, fin = true } = {}) {
  const first = (fin ? 0x80 : 0) | opcode;
  if (length < 126) return Buffer.from([first, 0x80 | length, 0, 0, 0, 0]);
  const head = Buffer.alloc(14);
  head[0] = first;
  head[1] = 0x80 | 127;
  head.writeBigUInt64BE(BigInt(length), 2);
  return head;
}

export const frame = (text, options) => Buffer.concat([frameHead(Buffer.byteLength(text), options), Buffer.from(text)]);
