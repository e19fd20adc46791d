// What a reference client of TURN finds from its network: probe.mjs ORIGIN [CREDENTIALS]. It asks the server at ORIGIN for its URLs and for
// credentials, unless they are given as JSON, and allocates over each URL. Prints {URL: outcome} as JSON; an outcome is "allocated", the
// code of an error response, "no answer", or what TLS or TCP said. NODE_EXTRA_CA_CERTS names the authorities that it trusts.
import { lookup } from 'node:dns/promises';
import { connect as connectTls } from 'node:tls';
import { TurnClient } from '../interop/support/turn.mjs';
import { within } from '../interop/support/wait.mjs';

const NO_ANSWER_MS = 3000;

const [origin, given] = process.argv.slice(2);
const { uris, username, password } = given ? JSON.parse(given) : await (await fetch(`${origin}/turn?username=alice`)).json();

// Why TLS failed, or null.
const tlsFailure = (host, port) =>
  new Promise((resolve) => {
    const socket = connectTls({ host, port, servername: host, timeout: NO_ANSWER_MS }, () => resolve(null));
    socket.on('error', ({ code }) => resolve(code));
    socket.on('timeout', () => resolve('no answer'));
  });

async function outcome(uri) {
  const [, scheme, host, port, under] = uri.match(/^(turns?):(.+):(\d+)\?transport=(\w+)$/);
  const transport = scheme === 'turns' ? 'tls' : under;
  const name = host.replace(/^\[|\]$/g, '');
  if (transport === 'tls') {
    const failure = await tlsFailure(name, Number(port));
    if (failure) return failure;
  }
  const { address } = await lookup(name);
  const any = address.includes(':') ? '::' : '0.0.0.0';
  const client = new TurnClient({ host: address, port: Number(port), transport, local: any, tls: { servername: name }, username, password });
  try {
    await within(client.challenge(NO_ANSWER_MS), 'answer', NO_ANSWER_MS);
    return (await client.allocate(NO_ANSWER_MS)) || 'allocated';
  } catch (error) {
    return /^no answer/.test(error.message) ? 'no answer' : (error.code ?? error.message);
  } finally {
    client.abandon();
  }
}

const found = await Promise.all(uris.map(async (uri) => [uri, await outcome(uri)]));
console.log(JSON.stringify(Object.fromEntries(found)));
process.exit(0);
