// Lets programs of other network namespaces reach a port of 127.0.0.1 in this one: forward.mjs SOCKET PORT passes the connections of a Unix
// socket on. It ends with its standard input.
import { connect, createServer } from 'node:net';

const [path, port] = process.argv.slice(2);
createServer((near) => {
  const far = connect(Number(port), '127.0.0.1');
  for (const socket of [near, far]) socket.on('error', () => {});
  near.pipe(far).pipe(near);
}).listen(path, () => console.log('ready'));
process.stdin.resume().on('end', () => process.exit(0));
