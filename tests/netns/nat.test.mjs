// Casts between homes that can't reach each other, and a relay whose host has no default route.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { TurnClient } from '../interop/support/turn.mjs';
import { cast, PAYLOADS, relayed } from './casts.mjs';
import { blockUdp, build, demolish, serve, SERVER, translate, unblock } from './networks.mjs';

let server;
before(async () => {
  build();
  server = await serve();
});
after(async () => {
  await server?.close();
  demolish();
});

describe('two homes behind symmetric NAT', () => {
  test('without a relay they do not connect', async () => {
    const { failed } = await cast(server.url, ['stun', 'soon']);
    assert.ok(['new', 'checking', 'disconnected', 'failed'].includes(failed), `ICE is ${failed}`);
  });

  // Shows that the NAT, and not the network, prevents the connection in the test above.
  test('without a relay, but behind NAT that keeps ports, they connect', async () => {
    translate(false);
    try {
      const { pair } = await cast(server.url, ['stun']);
      assert.ok(pair, 'a selected pair');
    } finally {
      translate();
    }
  });

  test('over the relay data flows', async () => {
    const before = await relayed(server);
    const { pair } = await cast(server.url);
    assert.ok(pair, 'a selected pair');
    assert.ok([pair.local.type, pair.remote.type].includes('relay'), JSON.stringify(pair));
    const { udp } = await relayed(server);
    assert.ok(udp - before.udp > 2 * PAYLOADS, `${udp - before.udp} bytes were relayed over UDP`);
  });

  test('where UDP to the server is blocked it flows over TCP', async () => {
    const before = await relayed(server);
    blockUdp();
    try {
      const { pair } = await cast(server.url);
      assert.equal(pair?.local.type, 'relay', JSON.stringify(pair));
      assert.equal(pair.local.relayProtocol, 'tcp', JSON.stringify(pair));
    } finally {
      unblock();
    }
    const now = await relayed(server);
    assert.ok(now.tcp - before.tcp > 2 * PAYLOADS, `${now.tcp - before.tcp} bytes were relayed over TCP`);
    assert.equal(now.udp, before.udp);
  });
});

describe('a peer that the host has no route to', () => {
  const PACKETS_A_BURST = 50;

  // A stream between two allocations, before and after one of them sends to an unroutable peer. Resolves to how many packets of each half
  // arrived.
  async function stream(options) {
    const [a, b] = [new TurnClient({ ...options, local: SERVER }), new TurnClient({ ...options, local: SERVER })];
    const burst = async () => {
      for (let i = 0; i < PACKETS_A_BURST; i += 1) {
        a.send(b.relayed, Buffer.alloc(500, i));
        await sleep(5);
      }
      let count = 0;
      while (count < PACKETS_A_BURST && (await b.receive(20_000).catch(() => null))) count += 1;
      return count;
    };
    try {
      assert.equal((await a.allocate()) || (await b.allocate()) || (await a.permit(b.relayed)) || (await b.bind(0x4000, a.relayed)), 0);
      const first = await burst();
      const unroutable = { address: '8.8.8.8', port: 9 };
      await a.permit(unroutable).catch(() => {});
      for (let i = 0; i < 5; i += 1) a.send(unroutable, Buffer.from('into the void'));
      const second = await burst();
      return { first, second };
    } finally {
      a.abandon();
      b.abandon();
    }
  }

  test('the allocation lives on with us', async () => {
    const [username, password] = ['alice', 'alice-password-1'];
    await server.addUser(username, password);
    assert.deepEqual(await stream({ host: SERVER, port: server.turnPort, username, password }), { first: PACKETS_A_BURST, second: PACKETS_A_BURST });
    const text = await (await fetch(`${server.url}/metrics`)).text();
    const unreachable = Number(text.match(/^castway_relay_drops_total\{reason="unsent_unreachable"\} (\S+)$/m)[1]);
    assert.ok(unreachable >= 5, `${unreachable} packets were unsent as unreachable`);
  });

  const version = execFileSync('sh', ['-c', 'turnserver --version 2>&1 | tail -1'], { encoding: 'utf8' }).match(/\d+\.\d+\.\d+/)?.[0];
  test("and freezes with Debian's coturn 4.6.1", { skip: version !== '4.6.1' && `this is coturn ${version}` }, async () => {
    const folder = mkdtempSync(join(tmpdir(), 'castway-coturn-'));
    const args = [
      '-n', '-a', '--user=alice:secret', '--realm=coturn.example', `--listening-ip=${SERVER}`, `--relay-ip=${SERVER}`, '--listening-port=3479',
      '--no-tls', '--no-dtls', '--no-cli', '--no-rfc5780', '--log-file=stdout', '--simple-log', `--pidfile=${join(folder, 'pid')}`, `--userdb=${join(folder, 'turndb')}`,
    ];
    const coturn = spawn('turnserver', args, { cwd: folder, stdio: 'ignore' });
    try {
      const options = { host: SERVER, port: 3479, username: 'alice', password: 'secret' };
      await new TurnClient({ ...options, local: SERVER }).ready();
      assert.deepEqual(await stream(options), { first: PACKETS_A_BURST, second: 0 });
    } finally {
      coturn.kill('SIGKILL');
      if (coturn.exitCode === null && coturn.signalCode === null) await once(coturn, 'exit');
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
