// Homes that can reach only port 443/TCP of the server: pages, signaling and media use that one port.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { ownAuthority } from '../interop/support/authority.mjs';
import { run } from '../interop/support/process.mjs';
import { cast, PAYLOADS, relayed } from './casts.mjs';
import { build, demolish, only443, serve, SERVER } from './networks.mjs';

let server;
let authority;
const origin = `https://${SERVER}`;
before(async () => {
  build();
  authority = ownAuthority([`IP:${SERVER}`]);
  server = await serve({ ...authority.settings, CASTWAY_HTTPS_ADDR: `${SERVER}:443`, CASTWAY_TURNS_ADDR: `${SERVER}:5349` });
});
after(async () => {
  await server?.close();
  authority?.close();
  demolish();
});

const curl = (home, url) => run('ip', ['netns', 'exec', home, 'curl', '-sS', '--max-time', '60', '--cacert', authority.ca, '-w', ' %{http_code}', url]);

// Whether a TCP connection is established within `seconds`, with any protocol.
async function reaches(home, port, seconds) {
  const limits = ['--connect-timeout', String(seconds), '--max-time', String(seconds)];
  const { output } = await run('ip', ['netns', 'exec', home, 'curl', '-s', ...limits, '-o', '/dev/null', '-w', '%{time_connect}', `http://${SERVER}:${port}/`]);
  return Number(output) > 0;
}

// The server's other ports.
const OTHERS = [8080, 5349, 3478];

describe('where only 443/TCP is open', () => {
  // Proves that only the firewall blocks these ports in the tests below.
  test('before that, every port of the server is reached', async () => {
    for (const port of OTHERS) assert.ok(await reaches('home1', port, 20), String(port));
    only443();
  });

  test('no other port is reached', async () => {
    for (const home of ['home1', 'home2']) {
      for (const port of OTHERS) assert.ok(!(await reaches(home, port, 2)), `${port} from ${home}`);
    }
  });

  test('HTTPS answers, and names TURN over TLS on 443', async () => {
    assert.match((await curl('home1', `${origin}/healthz`)).output, / 200$/);
    const { output } = await curl('home2', `${origin}/turn?username=alice`);
    const { uris } = JSON.parse(output.replace(/ 200$/, ''));
    assert.ok(uris.includes(`turns:${SERVER}:443?transport=tcp`), uris.join(' '));
  });

  test('without TURN over TLS a cast does not connect', async () => {
    const { failed } = await cast(origin, ['turn', 'soon'], authority.ca);
    assert.ok(['new', 'checking', 'disconnected', 'failed'].includes(failed), `ICE is ${failed}`);
  });

  test('over it a cast does, relayed on both sides', async () => {
    const before = await relayed(server);
    const { pair } = await cast(origin, ['turns'], authority.ca);
    assert.deepEqual([pair?.local.type, pair?.remote.type], ['relay', 'relay'], JSON.stringify(pair));
    const now = await relayed(server);
    assert.ok(now.tls - before.tls > 2 * PAYLOADS, `${now.tls - before.tls} bytes were relayed over TLS`);
    assert.deepEqual([now.udp, now.tcp], [before.udp, before.tcp]);
  });

  test('with a certificate of somebody unknown nothing does', async () => {
    const stranger = ownAuthority([`IP:${SERVER}`]);
    try {
      await assert.rejects(cast(origin, ['turns'], stranger.ca), /unable to verify|self-signed certificate/);
    } finally {
      stranger.close();
    }
  });
});
