// python-socketio, a client of other descent, in both dialects.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { startServer } from './support/server.mjs';

const python = fileURLToPath(new URL('../.venv/bin/python', import.meta.url));
const script = fileURLToPath(new URL('python_client.py', import.meta.url));

let server;
before(async () => {
  assert.ok(existsSync(python), `${python} is missing: tests/run interop makes it`);
  // This client closes its transport before its goodbye is surely out: then the grace period has to end first.
  server = await startServer({ CASTWAY_GRACE: '1' });
});
after(() => server?.close());

for (const kind of ['sync', 'async']) {
  for (const dialect of ['A', 'B']) {
    for (const transport of ['polling', 'websocket', 'upgrade']) {
      test(`${kind} client, dialect ${dialect}, ${transport}`, async () => {
        const child = spawn(python, [script, server.url, dialect, transport, kind], { stdio: ['ignore', 'pipe', 'pipe'] });
        let output = '';
        child.stdout.on('data', (chunk) => (output += chunk));
        child.stderr.on('data', (chunk) => (output += chunk));
        const timer = setTimeout(() => child.kill('SIGKILL'), 60_000);
        const [code] = await once(child, 'close');
        clearTimeout(timer);
        assert.equal(code, 0, output);
        assert.match(output, /^ok$/m);
      });
    }
  }
}
