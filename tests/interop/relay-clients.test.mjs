// Clients of other origins with our relay. Each one checks the data that comes back.
import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { freePort, onFreePorts, UNUSED_RELAY_PORTS } from './support/ports.mjs';
import { Program, run } from './support/process.mjs';
import { startServer } from './support/server.mjs';

const python = fileURLToPath(new URL('../.venv/bin/python', import.meta.url));
const aioice = fileURLToPath(new URL('aioice_client.py', import.meta.url));
const echo = fileURLToPath(new URL('support/echo.mjs', import.meta.url));
const [V4, V6] = ['127.0.0.1', '::1'];

// A user reaches plain peers; strangers reach each other.
const user = { username: 'alice', password: 'alice-password-1' };

let server;
let stranger;
// Plain peers that echo, as turnutils_uclient expects.
const peers = {};
before(async () => {
  server = await startServer(async () => ({
    CASTWAY_TURN_ADDR: `[::]:${await freePort('::')}`,
    CASTWAY_EXTERNAL_IP: `${V4},${V6}`,
    CASTWAY_RELAY_IP: `${V4},${V6}`,
    CASTWAY_ALLOWED_PEER_IP: `${V4},${V6}`,
    // The port for a RESERVATION-TOKEN is bound only when the token arrives, and answered with 508 if another client has taken the port.
    ...UNUSED_RELAY_PORTS,
    CASTWAY_NO_TCP_RELAY: 'false',
  }));
  await server.addUser(user.username, user.password);
  stranger = await (await fetch(`${server.url}/turn?username=alice`)).json();
  for (const host of [V4, V6]) {
    peers[host] = await onFreePorts(async () => {
      const port = await freePort(host);
      const program = new Program('turnutils_peer', ['-L', host, '-p', String(port)]);
      await program.ready(() => sendsBack(host, port));
      return { port, close: () => program.close() };
    });
  }
});
after(async () => {
  for (const peer of Object.values(peers)) await peer.close();
  await server?.close();
});

// Fails if no echo arrives within a second.
async function sendsBack(host, port) {
  const socket = createSocket(host === V4 ? 'udp4' : 'udp6');
  try {
    socket.send('hello', port, host);
    await once(socket, 'message', { signal: AbortSignal.timeout(1000) });
    return true;
  } finally {
    socket.close();
  }
}

const uclient = (args, { username, password }, host = V4) =>
  run('turnutils_uclient', [...args, '-n', '20', '-z', '10', '-l', '700', '-u', username, '-w', password, '-p', String(server.turnPort), host]);

function assertNothingLost({ code, output }, messages) {
  assert.equal(code, 0, output);
  assert.match(output, new RegExp(`tot_send_msgs=${messages}, tot_recv_msgs=${messages}\\n`), output);
}

describe("coturn's turnutils_uclient", { concurrency: 8 }, () => {
  const peer = (host) => ['-s', '-c', '-e', host, '-r', String(peers[host].port)];
  for (const [transport, flag] of [['UDP', []], ['TCP', ['-t']]]) {
    for (const who of ['strangers', 'users']) {
      const credentials = () => (who === 'users' ? user : stranger);
      // Without -c, each client makes a second allocation with EVEN-PORT and RESERVATION-TOKEN.
      test(`${transport}: ${who} to each other`, async () => assertNothingLost(await uclient([...flag, '-y', '-m', '2'], credentials()), 80));
      test(`${transport}: ${who} to each other, with the padding of pjnath`, async () => assertNothingLost(await uclient([...flag, '-y', '-c', '-D'], credentials()), 40));
      test(`${transport}: its negative tests between ${who}`, async () => assertNothingLost(await uclient([...flag, '-y', '-c', '-N', '-G'], credentials()), 40));
    }
    test(`${transport}: a plain peer`, async () => assertNothingLost(await uclient([...flag, ...peer(V4), '-m', '2'], user), 40));
    test(`${transport}: from IPv6 to IPv6`, async () => assertNothingLost(await uclient([...flag, '-x', ...peer(V6)], user, V6), 20));
    test(`${transport}: from IPv4 to IPv6`, async () => assertNothingLost(await uclient([...flag, '-x', ...peer(V6)], user), 20));
    test(`${transport}: from IPv6 to IPv4`, async () => assertNothingLost(await uclient([...flag, '-X', ...peer(V4)], user, V6), 20));
  }
  test('TCP: to each other over TCP (RFC 6062)', async () => assertNothingLost(await uclient(['-T', '-m', '2'], user), 40));
  test('UDP: with DONT-FRAGMENT', async () => assertNothingLost(await uclient(['-g', ...peer(V4)], user), 20));
});

describe("coturn's STUN clients", () => {
  for (const host of [V4, V6]) {
    test(`turnutils_stunclient at ${host} learns its address`, async () => {
      const { code, output } = await run('turnutils_stunclient', ['-p', String(server.turnPort), host]);
      assert.equal(code, 0, output);
      assert.match(output, host === V4 ? /UDP reflexive addr: 127\.0\.0\.1:\d+/ : /UDP reflexive addr: ::1:\d+/i, output);
    });
  }

  test('turnutils_natdiscovery learns its address', async () => {
    const { code, output } = await run('turnutils_natdiscovery', ['-m', '-f', '-p', String(server.turnPort), V4]);
    assert.equal(code, 0, output);
    assert.match(output, /UDP reflexive addr: 127\.0\.0\.1:\d+/, output);
  });
});

for (const transport of ['udp', 'tcp']) {
  for (const host of [V4, V6]) {
    test(`aioice over ${transport} at ${host}`, async () => {
      assert.ok(existsSync(python), `${python} is missing: tests/run interop makes it`);
      const { code, output } = await run(python, [aioice, host, String(server.turnPort), transport, stranger.username, stranger.password]);
      assert.equal(code, 0, output);
      assert.match(output, /^ok$/m);
    });
  }

  for (const library of ['werift', 'libwebrtc']) {
    test(`${library} over ${transport}`, async () => {
      const config = {
        iceServers: [{ urls: `turn:${V4}:${server.turnPort}?transport=${transport}`, username: stranger.username, credential: stranger.password }],
        iceTransportPolicy: 'relay',
        // werift uses this option and ignores the transport in the URL.
        forceTurnTCP: transport === 'tcp',
      };
      const { code, output } = await run(process.execPath, [echo, library, JSON.stringify(config)]);
      assert.equal(code, 0, output);
      const candidates = output.trim().split('\n');
      assert.ok(candidates.length >= 2 && candidates.every((candidate) => candidate.includes(' typ relay ')), output);
    });
  }
}
