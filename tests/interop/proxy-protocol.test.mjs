// HAProxy forwards TCP with PROXY protocol version 2, with the settings of docs/deploy.md, in front of the main port (TURN and HTTPS) and of TURN's
// own port.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect as connectTcp } from 'node:net';
import { after, afterEach, before, describe, test } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { ownAuthority } from './support/authority.mjs';
import { closeAll, connect, NAME } from './support/clients.mjs';
import { wholeFlow } from './support/dialects.mjs';
import { getFrom, haproxy, deployBlocks, startProxy } from './support/proxy.mjs';
import { startServer } from './support/server.mjs';
import { relayBothWays, TurnClient } from './support/turn.mjs';
import { within } from './support/wait.mjs';

const PROXY = '127.0.0.1';
// An address that is not a trusted proxy.
const STRANGER = '127.0.0.66';
const VICTIM = { address: '192.0.2.9', port: 40_000 };

const headers = {
  'version 1': Buffer.from(`PROXY TCP4 ${VICTIM.address} 192.0.2.1 ${VICTIM.port} 443\r\n`),
  'version 2': Buffer.concat([
    Buffer.from('\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c', 'latin1'),
    Buffer.from([192, 0, 2, 9, 192, 0, 2, 1, VICTIM.port >> 8, VICTIM.port & 0xff, 443 >> 8, 443 & 0xff]),
  ]),
};

// A Binding request: a STUN message that needs no credentials.
const BINDING = Buffer.from('000100002112a442000102030405060708090a0b', 'hex');

function settings(port, to) {
  const block = deployBlocks('haproxy').find((text) => text.includes('send-proxy-v2'));
  assert.ok(block, 'docs/deploy.md has no send-proxy-v2');
  return haproxy.config(block.replace('bind :443', `bind 127.0.0.1:${port}`).replace('127.0.0.1:8443', `127.0.0.1:${to}`));
}

let server;
let authority;
let front;
let ca;
let credentials;
before(async () => {
  authority = ownAuthority([`DNS:${NAME}`]);
  ca = readFileSync(authority.ca);
  server = await startServer({
    ...authority.settings,
    CASTWAY_TRUSTED_PROXIES: PROXY,
    CASTWAY_TURN_ACCESS: 'open',
    CASTWAY_CREDENTIALS_RATE: '3',
  });
  front = await startProxy('haproxy', haproxy.args, async ({ port }) => ({
    url: `https://${NAME}:${port}`,
    ca,
    name: NAME,
    text: settings(port, server.httpsPort),
    ready: async () => (await getFrom({ port, ca, name: NAME }, '/healthz')).status === 200,
  }));
  credentials = JSON.parse((await getFrom(front, '/turn?username=alice', { from: '127.0.0.10' })).body);
});
afterEach(closeAll);
after(async () => {
  await front?.close();
  await server?.close();
  authority?.close();
});

// Options of a TurnClient, which connects through the proxy unless a port is given.
const turn = (transport, more) => ({ port: front.port, username: credentials.username, password: credentials.password, transport, tls: { ca, servername: NAME }, ...more });

// Asserts that the server sees the client's own address and port.
async function assertItself(options) {
  const client = new TurnClient(options);
  try {
    assert.equal(await client.allocate(), 0);
    assert.equal(client.address.address, options.local);
    assert.deepEqual(client.mapped, { address: options.local, port: client.address.port });
  } finally {
    await client.close();
  }
}

describe("behind HAProxy with send-proxy-v2 at TURN's own port", () => {
  let own;
  before(async () => {
    own = await startProxy('haproxy', haproxy.args, async ({ port }) => ({
      text: settings(port, server.turnPort),
      ready: async () => {
        await new TurnClient({ port, transport: 'tcp' }).ready();
        return true;
      },
    }));
  });
  after(() => own?.close());

  for (const [transport, local] of [['tcp', '127.0.0.43'], ['tls', '127.0.0.44']]) {
    test(`an allocation over ${transport} is the client's, by its own address and port`, () => assertItself(turn(transport, { port: own.port, local })));

    test(`data is relayed both ways over ${transport}`, async () => assert.equal(await relayBothWays(turn(transport, { port: own.port, local })), 'relayed'));
  }
});

describe('behind HAProxy with send-proxy-v2', () => {
  for (const [transport, local] of [['tcp', '127.0.0.41'], ['tls', '127.0.0.42']]) {
    test(`an allocation over ${transport} is the client's, by its own address and port`, () => assertItself(turn(transport, { local })));

    test(`data is relayed both ways over ${transport}`, async () => assert.equal(await relayBothWays(turn(transport, { local })), 'relayed'));
  }

  test('over HTTPS that ends at the server the limits see each client, whatever it writes itself', async () => {
    const asked = (from, more) => getFrom(front, '/turn?username=x', { from, headers: more });
    const spoofs = [{ 'x-forwarded-for': '203.0.113.1' }, { forwarded: 'for=203.0.113.2' }, { 'x-real-ip': '203.0.113.3' }];
    for (const spoof of spoofs) assert.equal((await asked('127.0.0.51', spoof)).status, 200);
    for (const spoof of [...spoofs, {}]) assert.equal((await asked('127.0.0.51', spoof)).status, 429);
    assert.equal((await asked('127.0.0.52')).status, 200);
  });

  test('a cast over WSS', async () => {
    const tv = await connect(front, { from: '127.0.0.61', ca, label: 'TV' });
    const caster = await connect(front, { from: '127.0.0.62', ca, label: 'caster' });
    await wholeFlow(tv, 'A', caster, 'A');
    assert.deepEqual([...tv.heard('CAST_ERROR'), ...caster.heard('CAST_ERROR')], []);
  });
});

// Everything that arrives until the other side closes the connection.
async function answer(socket, said) {
  let heard = Buffer.alloc(0);
  socket.on('data', (chunk) => (heard = Buffer.concat([heard, chunk])));
  socket.on('error', () => {});
  socket.write(said);
  try {
    await within(once(socket, 'close'), 'end of the connection');
  } finally {
    socket.destroy();
  }
  return heard;
}

const dial = async (port, localAddress) => {
  const socket = connectTcp({ host: '127.0.0.1', port, localAddress });
  await once(socket, 'connect');
  // A refused client may be reset while it is still sending.
  socket.on('error', () => {});
  return socket;
};

describe('a PROXY header of a stranger', () => {
  for (const [name, port] of [['the one port', () => server.httpsPort], ["TURN's own", () => server.turnPort]]) {
    test(`is needed by nobody: without one the stranger is itself at ${name}`, () => assertItself(turn('tcp', { port: port(), local: STRANGER })));
  }

  // Shows that the tests below are meaningful: from a proxy's address the same bytes do name the client.
  for (const [version, header] of Object.entries(headers)) {
    test(`${version}: is believed from a proxy's address alone`, async () => {
      const socket = await dial(server.httpsPort, PROXY);
      socket.write(Buffer.concat([header, BINDING]));
      const [heard] = await within(once(socket, 'data'), 'answer').finally(() => socket.destroy());
      assert.equal(heard.readUInt16BE(0), 0x0101, 'a Binding success');
      const mapped = Buffer.from([0, 0x01, (VICTIM.port >> 8) ^ 0x21, (VICTIM.port & 0xff) ^ 0x12, 192 ^ 0x21, 0 ^ 0x12, 2 ^ 0xa4, 9 ^ 0x42]);
      assert.ok(heard.includes(mapped), heard.toString('hex'));
    });

    for (const [way, port, from] of [['sent to the server itself', () => server.httpsPort, STRANGER], ['sent through the proxy', () => front.port, '127.0.0.9']]) {
      test(`${version}, ${way}: TURN behind it gets no answer`, async () => {
        const heard = await answer(await dial(port(), from), Buffer.concat([header, BINDING]));
        assert.doesNotMatch(heard.toString('latin1'), /^\x01\x01/, heard.toString('hex'));
        assert.ok(heard.length === 0 || heard.toString().startsWith('HTTP/1.1 400 '), heard.toString());
      });

      test(`${version}, ${way}: neither does HTTP`, async () => {
        const heard = await answer(await dial(port(), from), Buffer.concat([header, Buffer.from('GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')]));
        assert.ok(heard.length === 0 || heard.toString().startsWith('HTTP/1.1 400 '), heard.toString());
      });

      test(`${version}, ${way}: nor TLS`, async () => {
        const tcp = await dial(port(), from);
        tcp.write(header);
        const socket = connectTls({ socket: tcp, ca, servername: NAME });
        try {
          await within(assert.rejects(once(socket, 'secureConnect')), 'failure of the handshake');
        } finally {
          socket.destroy();
        }
      });
    }
  }

  test('harms nobody else', async () => assert.equal((await getFrom(front, '/healthz')).status, 200));
});
