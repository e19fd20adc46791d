// python-socketio, a client of other descent, in both dialects.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { run } from './support/process.mjs';
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
        const { code, output } = await run(python, [script, server.url, dialect, transport, kind]);
        assert.equal(code, 0, output);
        assert.match(output, /^ok$/m);
      });
    }
  }
}
