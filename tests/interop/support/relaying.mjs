// Other implementations of clients that relay data and check what comes back.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { run } from './process.mjs';

const python = fileURLToPath(new URL('../../.venv/bin/python', import.meta.url));

// Runs one of our scripts, which trusts only the authorities in the file `ca`, and resolves every .test name to this machine.
function runScript(name, args, ca) {
  assert.ok(existsSync(python), `${python} is missing: tests/run makes it`);
  return run('env', [`SSL_CERT_FILE=${ca}`, python, fileURLToPath(new URL(`../${name}`, import.meta.url)), ...args.map(String)]);
}

// Two agents with a relay between them.
export const aioice = (host, port, transport, { username, password }, ca) => runScript('aioice_client.py', [host, port, transport, username, password], ca);

// Two peers that can reach each other only by TURN over TLS: they exchange bytes and a picture.
export const aiortc = (host, port, { username, password }, ca) => runScript('aiortc_client.py', [host, port, username, password], ca);

// coturn's client: its two clients send to each other, and each message has to arrive. It draws channel numbers from the whole range of
// RFC 5766. With Send indications, what one of them sends before the other has sent would be dropped, since a client receives only from
// relayed addresses that it has named itself. `within` is a command that runs it.
export async function assertUclient(port, ways, { username, password }, { host = '127.0.0.1', within = [] } = {}) {
  const args = [...ways, '-y', '-c', '-m', '2', '-n', '20', '-z', '10', '-u', username, '-w', password, '-p', String(port), host];
  const [command, ...rest] = [...within, 'turnutils_uclient', ...args];
  const { code, output } = await run(command, rest);
  assert.equal(code, 0, output);
  assert.match(output, /tot_send_msgs=40, tot_recv_msgs=40\n/, output);
}
