// Connects and closes Socket.IO clients of any version.
import { TIMEOUT_MS } from './wait.mjs';

const open = new Set();

// What an error of a connection says, with the cause that Engine.IO keeps in `description`.
export function causeOf(error) {
  const cause = error?.description?.error?.message ?? error?.description?.message ?? error?.description;
  return `${error?.message ?? error}${cause === undefined ? '' : `: ${cause}`}`;
}

// Resolves when `socket` is connected; `closeAll` closes it.
export async function connected(socket, label) {
  open.add(socket);
  await new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`${label} did not connect`)), TIMEOUT_MS);
    const fail = (error) => {
      clearTimeout(timer);
      reject(new Error(`${label} could not connect: ${causeOf(error)}`));
    };
    socket.once('connect', () => {
      clearTimeout(timer);
      resolve();
    });
    socket.once('connect_error', fail);
    socket.once('error', fail);
  });
  socket.on('error', () => {});
}

function close(sockets) {
  for (const socket of sockets) {
    open.delete(socket);
    socket.removeAllListeners?.('connect_error');
    socket.disconnect();
    socket.io.engine?.close();
  }
}

export const closeAll = () => close([...open]);

// Closes the sockets that are connected to one of `ports` of this machine. Other sockets may belong to tests that run beside this one.
export const closeOf = (ports) => close([...open].filter(({ io: { uri } }) => uri !== undefined && ports.includes(Number(new URL(uri).port))));
