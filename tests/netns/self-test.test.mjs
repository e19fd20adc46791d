// A firewall on the server's own machine that keeps its test of itself from the relay's ports: the report, the log and /readyz name the port,
// until it is open.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { after, before, describe, test } from 'node:test';
import { until } from '../interop/support/wait.mjs';
import { build, demolish, serve, SERVER } from './networks.mjs';

const run = (command) => execFileSync('sh', ['-euc', command], { stdio: ['ignore', 'pipe', 'inherit'], encoding: 'utf8' });
const drop = (port) => run(`nft 'add table inet own; add chain inet own input { type filter hook input priority 0; }; add rule inet own input ${port} drop'`);
const open = () => run('nft delete table inet own');

async function readiness(server) {
  const response = await fetch(`${server.url}/readyz`);
  return { status: response.status, ...(await response.json()) };
}
const ready = (server) => until('it is ready', () => readiness(server), ({ status }) => status === 200);

before(build);
after(demolish);

describe('a server whose firewall drops', () => {
  for (const { dropped, protocol, port } of [
    { dropped: 'udp dport 3478', protocol: 'UDP', port: 3478 },
    { dropped: 'tcp dport 3478', protocol: 'TCP', port: 3478 },
    { dropped: 'tcp dport 5349', protocol: 'TLS', port: 5349 },
  ]) {
    test(`${dropped} names it`, async () => {
      drop(dropped);
      let server;
      let closed = true;
      try {
        server = await serve({ TEST_READY_PATH: '/healthz', CASTWAY_HTTPS_ADDR: `${SERVER}:443`, CASTWAY_TURNS_ADDR: `${SERVER}:5349` });
        const { status, not_ready, reasons } = await until('the test has ended', () => readiness(server), ({ status }) => status !== 200);
        assert.deepEqual([status, not_ready], [503, ['listeners']]);
        const sentence = `TURN over ${protocol} does not work at ${SERVER}:${port}, as this machine's own test found: nothing was answered. Does a firewall of this machine drop ${protocol === 'UDP' ? 'UDP' : 'TCP'} ${port}?`;
        assert.equal(reasons.listeners, sentence, 'nothing else is blamed');
        await until('the log says it', () => server.log, (log) => log.includes(sentence));
        assert.equal(server.log.includes(`! ${sentence}`), protocol !== 'TLS', 'the report comes before TLS is served');
        open();
        closed = false;
        await ready(server);
        await until('the log says that it works', () => server.log, (log) => log.includes('listeners work again'));
      } finally {
        if (closed) open();
        await server?.close();
      }
    });
  }

  test('nothing starts quickly and is ready', async () => {
    const server = await serve({ CASTWAY_HTTPS_ADDR: `${SERVER}:443` });
    try {
      assert.deepEqual((await readiness(server)).not_ready, []);
      assert.doesNotMatch(server.log, /own test/);
    } finally {
      await server.close();
    }
  });
});
