// The clients of docs/clients.md, the transports over which each one can connect, and the flows that it should support.
import { createRequire } from 'node:module';
import { speakers, transcript } from './transcript.mjs';

const require = createRequire(import.meta.url);

// The transport that a client requests: its options of socket.io-client, and the transport that it must use in the end.
export const TRANSPORTS = {
  polling: { title: 'polling', options: { transports: ['polling'] }, ends: 'polling' },
  websocket: { title: 'WebSocket only', options: { transports: ['websocket'] }, ends: 'websocket' },
  upgrade: { title: 'upgrade', options: { transports: ['polling', 'websocket'] }, ends: 'websocket', begins: 'polling' },
  first: { title: 'WebSocket first', options: { transports: ['websocket', 'polling'], tryAllTransports: true }, ends: 'websocket' },
  remembered: { title: 'remembered upgrade', options: { transports: ['polling', 'websocket'], rememberUpgrade: true }, ends: 'websocket', remembers: true },
};

export const FLOWS = {
  castA: 'cast A',
  castB: 'cast B',
  query: 'cast B at `/rtc?token=…`',
  multi: 'RTCMultiConnection',
};

const CASTS = ['castA', 'castB', 'query'];
const all = Object.keys(TRANSPORTS);

function installed(line) {
  const name = `socket.io-client${line}`;
  const module = require(name);
  const { version } = require(`${name}/package.json`);
  // Some versions share an installed engine.io-client.
  const engine = createRequire(require.resolve(name)).resolve('engine.io-client');
  return { client: 'socket.io-client', line, version, engine, io: module.io ?? module, transports: all, flows: [...CASTS, 'multi'] };
}

const said = (client, version, name, transports) => ({ client, version, io: transcript(name), transports, flows: CASTS, transcript: true, protocol: speakers[name].protocol });
const every = ['polling', 'websocket', 'upgrade'];

// Clients for which no package is available here.
export const TRANSCRIPTS = [
  said('socket.io-client-java (Android)', '1.0.2', 'Java 1.0', every),
  said('socket.io-client-java (Android)', '2.1.2', 'Java 2', every),
  said('socket.io-client-swift (iOS)', '15.2.0', 'Swift 15', every),
  said('socket.io-client-swift (iOS)', '16.1.1', 'Swift 16', every),
  said('socket.io-client-swift (iOS)', '16.1.1 with `.version(.two)`', 'Swift 16, two', every),
  said('socket_io_client (Flutter, Dart)', '1.0.2', 'Dart 1', ['websocket']),
  said('socket_io_client (Flutter, Dart)', '3.1.6', 'Dart 3', ['websocket']),
  said('socket.io-client-cpp', '2.1.0', 'C++ 2', ['websocket']),
  said('socket.io-client-cpp', '3.1.0', 'C++ 3', ['websocket']),
  said('rust_socketio', '0.6.0', 'Rust 0.6', every),
];

const published = ['-1.4', '-1.7', '-2.0', '-2.1', '-2.2', '-2.3', '-2.4', '-2', '-3.0', '-3', '-4.0', '-4.1', '-4.4', '-4.6', '-4.7', '-4'];
export const CLIENTS = published.map(installed);

// Two lines of python-socketio, with the folder of each.
export const PYTHON = [
  { line: 4, path: '../.venv/socketio4' },
  { line: 5, path: '' },
];

const apprtc = { file: 'interop/apprtc.test.mjs', title: 'from ${Caller.name} to ${Callee.name}, hung up, and taken by another one' };
const ofApps = { version: 'the last', transports: 'HTTP and `/ws`', flows: 'a call' };

// The libraries that the pages of tests/e2e use.
const { dependencies } = require('../../e2e/package.json');
const libraries = Object.entries(dependencies).filter(([name]) => /^rtcmulticonnection(-\d[\d.]*)?$/.test(name));
const pages = libraries.map(([, wanted]) => wanted.split('@').at(-1)).sort().join(', ');

// Clients that other tests cover, in browsers or as transcripts; each entry names such a test.
export const ELSEWHERE = [
  {
    client: 'RTCMultiConnection in Chromium',
    version: pages,
    transports: 'upgrade',
    flows: 'one-way and mutual calls',
    tests: [{ file: 'e2e/multi.test.mjs', title: 'a call of three, behind a password, which outlives the one who opened it' }],
  },
  { client: 'AppRTC, Android (a transcript)', ...ofApps, tests: [apprtc] },
  { client: 'AppRTC, iOS (a transcript)', ...ofApps, tests: [apprtc] },
  { client: 'AppRTC, web (a transcript)', ...ofApps, tests: [apprtc] },
  {
    client: 'AppRTC, apps of 2014 to 2016 (a transcript)',
    ...ofApps,
    version: '2014–2016',
    flows: 'TURN servers from `turn_url`',
    tests: [{ file: 'interop/apprtc.test.mjs', title: 'TURN servers for the clients of 2014 to 2016, by GET and by POST' }],
  },
  {
    client: 'the call page, `/r`, in Chromium',
    version: 'this one',
    transports: 'HTTP and `/ws`',
    flows: 'a call',
    tests: [{ file: 'e2e/call.test.mjs', title: 'two people see each other over the relay alone' }],
  },
];

// The client that package.json calls `socket.io-client${line}`.
export const ofLine = (wanted) => CLIENTS.find(({ line }) => line === wanted);
