// Operators at /admin: requests with every header under the test's control, and event streams.
import { request as plainRequest } from 'node:http';
import { connect as connectHttp2 } from 'node:http2';
import { request } from 'node:https';
import { connect } from 'node:tls';
import { until, within } from './wait.mjs';

export const PASSWORD = 'correct horse battery';

// Adds an operator, and waits until the running server knows it.
export async function addOperator(server, name = 'anna', password = PASSWORD) {
  const known = server.knownUsers;
  const { code, stderr } = await server.cli(['user', 'add', name, '--operator', '--password-stdin'], `${password}\n`);
  if (code !== 0) throw new Error(`castway user add --operator ended with ${code}: ${stderr}`);
  await until('the server knows the operator', async () => (await ask(server, 'GET', 'state')).body?.why !== 'no_operator' && server.knownUsers >= known);
}

const options = (server, { plain, port, local, host }) => ({
  host: '127.0.0.1',
  port: port ?? (plain ? server.httpPort : server.httpsPort),
  localAddress: local,
  rejectUnauthorized: false,
  agent: false,
  ...(host && { setHost: false }),
});

// `path`: one of the API, or an absolute one. Resolves to {status, headers, body, text, cookie}; `cookie` is what the answer sets.
export function ask(server, method, path, { headers = {}, body, session, ...where } = {}) {
  const full = path.startsWith('/') ? path : `/admin/api/${path}`;
  const sent = { ...(where.host && { host: where.host }), ...own(session), ...(body !== undefined && { 'content-type': 'application/json' }), ...headers };
  const make = where.plain ? plainRequest : request;
  return new Promise((resolve, reject) => {
    const asked = make({ ...options(server, where), method, path: full, headers: sent }, async (response) => {
      try {
        let text = '';
        for await (const chunk of response.setEncoding('utf8')) text += chunk;
        const cookie = response.headers['set-cookie']?.[0];
        resolve({ status: response.statusCode, headers: response.headers, text, body: parsed(text), cookie });
      } catch (error) {
        reject(error);
      }
    });
    asked.on('error', reject);
    asked.end(body === undefined ? undefined : typeof body === 'string' ? body : JSON.stringify(body));
  });
}

// The headers of a session: {cookie: 'castway_admin=…', csrf}.
export const own = (session) => (session ? { cookie: session.cookie, ...(session.csrf && { 'x-castway-csrf': session.csrf }) } : {});

export async function signIn(server, { name = 'anna', password = PASSWORD, ...where } = {}) {
  const answer = await ask(server, 'POST', 'sign-in', { body: { name, password }, ...where });
  if (answer.status !== 200) throw new Error(`the sign-in was answered with ${answer.status}: ${answer.text}`);
  return { cookie: answer.cookie.split(';')[0], csrf: answer.body.csrf, whole: answer.cookie };
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

// Opens an event stream. Resolves, once it has answered, to {status, events, ended, close, next}; `events` are [name, data].
export function openEvents(server, session, view = 'now', where = {}) {
  const path = `/admin/api/events?view=${view}`;
  const make = where.plain ? plainRequest : request;
  return new Promise((resolve, reject) => {
    const asked = make({ ...options(server, where), path, headers: { ...own(session), ...where.headers } }, (response) => {
      const stream = { status: response.statusCode, headers: response.headers, events: [], ended: false, close: () => asked.destroy() };
      stream.next = (name) => until(`the event ${name}`, () => stream.events.find(([event]) => event === name));
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk) => {
        text += chunk;
        const parts = text.split('\n\n');
        text = parts.pop();
        for (const part of parts) {
          const [, name, data] = part.match(/^event: (.*)\ndata: (.*)$/) ?? [];
          if (name) stream.events.push([name, JSON.parse(data)]);
        }
      });
      const end = () => (stream.ended = true);
      response.on('end', end).on('close', end).on('error', end);
      resolve(stream);
    });
    asked.on('error', reject);
    asked.end();
  });
}

// The first events of a stream over HTTP/2, which browsers use: resolves to their text once it has `pattern`.
export async function eventsOverHttp2(server, session, view, pattern) {
  const connection = connectHttp2(`https://127.0.0.1:${server.httpsPort}`, { rejectUnauthorized: false });
  try {
    const stream = connection.request({ ':path': `/admin/api/events?view=${view}`, ...own(session) }).setEncoding('utf8');
    let text = '';
    stream.on('data', (chunk) => (text += chunk));
    await until(`${pattern} over HTTP/2`, () => pattern.test(text));
    return text;
  } finally {
    connection.destroy();
  }
}

// Sends a whole request, and closes the connection without waiting for the answer.
export async function leave(server, path, body, local) {
  const text = JSON.stringify(body);
  const head = ['Host: 127.0.0.1', 'Content-Type: application/json', `Content-Length: ${text.length}`].join('\r\n');
  const socket = connect({ ...options(server, { local }) });
  await within(new Promise((resolve, reject) => socket.once('secureConnect', resolve).once('error', reject)), 'handshake');
  const closed = new Promise((resolve) => socket.on('error', resolve).on('close', resolve));
  socket.resume().end(`POST /admin/api/${path} HTTP/1.1\r\n${head}\r\n\r\n${text}`);
  await within(closed, 'end of the connection');
}
