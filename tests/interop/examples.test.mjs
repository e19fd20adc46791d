// The example of clients/examples that needs no browser, and what the others say they need.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { run } from './support/process.mjs';
import { startServer } from './support/server.mjs';

const folder = fileURLToPath(new URL('../../clients/examples/', import.meta.url));
const credentials = (server, { key = '', username = 'alice' } = {}) => run('env', [`CASTWAY_KEY=${key}`, `${folder}curl/credentials.sh`, server.url, username]);

const KEY = 'a key for scripts';
let open;
let keyed;
before(async () => {
  [open, keyed] = await Promise.all([startServer({}), startServer({ CASTWAY_TURN_ACCESS: 'key', CASTWAY_API_KEYS: KEY })]);
});
after(() => Promise.all([open?.close(), keyed?.close()]));

test('curl fetches credentials, and its own address and packets between two relayed addresses come back', async () => {
  const { code, output } = await credentials(open, { username: 'alice & bob' });
  assert.equal(code, 0, output);
  assert.match(JSON.parse(output.split('\n')[0]).username, /^\d+:alice & bob$/);
  assert.match(output, /UDP reflexive addr: 127\.0\.0\.1:\d+/);
  assert.match(output, /tot_send_msgs=20, tot_recv_msgs=20\n/);
});

test('curl says why it gets no credentials without a key, and gets them with one', async () => {
  const refused = await credentials(keyed);
  assert.equal(refused.code, 1, refused.output);
  assert.match(refused.output, /gives no credentials: .*"error"/s);
  const { code, output } = await credentials(keyed, { key: KEY });
  assert.equal(code, 0, output);
  assert.match(output, /^\{.*"uris"/);
});

test('the packages of the Python example are those that the tests run it with', () => {
  const lines = (path) => readFileSync(path, 'utf8').trim().split('\n');
  const tested = lines(fileURLToPath(new URL('requirements.txt', import.meta.url)));
  for (const line of lines(`${folder}python/requirements.txt`)) assert.ok(tested.includes(line), line);
});
