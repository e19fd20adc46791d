// Runs one flow between clients of one kind over one transport.
import assert from 'node:assert/strict';
import { causeOf } from './sockets.mjs';
import { TIMEOUT_MS, until, within } from './wait.mjs';

const name = (socket) => socket.io.engine.transport?.name;

// Rejects if a socket ends without being closed here, because it then receives nothing more.
function ends(socket, label) {
  return new Promise((_, reject) => {
    socket.on('disconnect', (reason) => reason !== 'io client disconnect' && reject(new Error(`${label} was disconnected: ${reason}`)));
  });
}

// Connects a socket to `url`, and resolves to the result of `wrap`, which gets the socket before it receives anything.
async function connect(io, url, options, label, wrap, opened) {
  const socket = io(url, { ...options, forceNew: true, timeout: TIMEOUT_MS });
  opened.push(socket);
  const wrapped = wrap(socket);
  const connection = new Promise((resolve, reject) => {
    socket.once('connect', resolve);
    if (options.reconnection) return;
    for (const event of ['connect_error', 'error']) socket.once(event, (error) => reject(new Error(`${label} could not connect: ${causeOf(error)}`)));
  });
  await within(connection, `connection of ${label}`);
  socket.on('error', () => {});
  return wrapped;
}

// Plays `flow`. `kind` has the `options` of socket.io-client, the transport that it `ends` with, and `begins` if it begins with another
// one.
export async function play(io, { options, ends: last, remembers = false, begins = null, prepare = () => {} }, { url }, flow) {
  const opened = [];
  const settled = (socket) => until(`the transport is ${last}`, () => name(socket), (seen) => seen === last);
  let fail;
  const failed = new Promise((_, reject) => (fail = reject));
  failed.catch(() => {});
  const open = async (label, rest, wrap) => {
    const wrapped = await connect(io, `${url}${rest}`, { reconnection: false, ...options }, label, (socket) => (prepare(socket), wrap(socket)), opened);
    const socket = opened.at(-1);
    ends(socket, label).catch(fail);
    // A client that remembers upgrades must first complete one.
    if (remembers && opened.length === 1) await settled(socket);
    else if (!begins) assert.equal(name(socket), last, `${label} begins with it`);
    return wrapped;
  };
  try {
    await Promise.race([flow(open), failed]);
    // This socket is still connected.
    await settled(opened[0]);
  } finally {
    for (const socket of opened) {
      socket.disconnect();
      socket.io.engine?.close();
    }
  }
}
