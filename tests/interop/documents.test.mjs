// What README and docs/ say beside their commands: answers of the server, lines for front ends, and commands within sentences.
// tests/netns/documents.test.mjs types the blocks of commands.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { blocks, documents, prose, root } from '../documents/documents.mjs';
import { run } from './support/process.mjs';
import { binary, startServer } from './support/server.mjs';

let server;
before(async () => {
  server = await startServer({});
});
after(() => server?.close());

const block = (path, part) => blocks(path).find(({ text }) => text.includes(part)) ?? assert.fail(`${path} has no block with ${part}`);
const here = (text) => text.replaceAll('https://cast.example.org', server.url);

test('docs/front-ends.md shows the answer of /turn as it is', async () => {
  const shown = JSON.parse(block('docs/front-ends.md', '"uris"').text);
  const answer = await (await fetch(`${server.url}/turn?username=alice`)).json();
  assert.deepEqual(Object.keys(shown), Object.keys(answer));
  assert.equal(shown.ttl, answer.ttl);
  assert.match(answer.username, /^\d+:alice$/);
  const ways = (uris) => uris.map((uri) => uri.replace(/:[^:]+:\d+/, ''));
  assert.deepEqual(ways(shown.uris), ways(answer.uris));
});

test('the line of docs/front-ends.md gives RTCMultiConnection ICE servers with the relay', async () => {
  const connection = {};
  const AsyncFunction = (async () => {}).constructor;
  await new AsyncFunction('connection', here(block('docs/front-ends.md', 'connection.iceServers').text))(connection);
  assert.ok(connection.iceServers.some(({ urls, credential }) => credential && [urls].flat().some((url) => url.startsWith('turn:'))), JSON.stringify(connection));
});

test('the command of clients/examples/README.md prints what /turn answers', async () => {
  const { code, output } = await run('sh', ['-euc', `cd ${root}clients/examples; ${here(block('clients/examples/README.md', 'credentials.sh').text)}`]);
  assert.equal(code, 0, output);
  assert.match(output, /^\{.*"uris"/);
});

// The long help of a command, by its words; nothing for words that are no command.
const helps = new Map();
async function help(words) {
  const key = words.join(' ');
  if (!helps.has(key)) helps.set(key, promisify(execFile)(binary, [...words, '--help']).then(({ stdout }) => stdout, () => null));
  return helps.get(key);
}

// What is wrong with a command within a sentence, such as `castway user add NAME --generate`.
async function problem(command) {
  // What follows -- are arguments of another program.
  const words = command.split(' -- ')[0].split(/\s+/).slice(1);
  const path = [];
  while (/^[a-z][a-z-]*$/.test(words[path.length] ?? '') && (await help([...path, words[path.length]])) !== null) path.push(words[path.length]);
  const text = await help(path);
  if (path.length === 0 && /^[a-z]/.test(words[0] ?? '')) return 'there is no such command';
  if (/^Commands:$/m.test(text) && /^[a-z][a-z-]*$/.test(words[path.length] ?? '')) return `there is no ${words[path.length]}`;
  // Every command takes the settings, which the program's own help lists.
  const all = text + (await help([]));
  const missing = words.filter((word) => /^--[a-z]/.test(word)).map((word) => word.split('=')[0]).filter((flag) => !new RegExp(`${flag}[ \\n[]`).test(all));
  return missing.length > 0 ? `it has no ${missing}` : null;
}

describe('commands within sentences', () => {
  for (const path of documents()) {
    const lines = [...blocks(path).filter(({ language }) => language === 'sh').flatMap(({ text }) => text.split('\n')), ...[...prose(path).matchAll(/`([^`\n]+)`/g)].map(([, code]) => code)];
    const commands = [...new Set(lines.map((line) => line.replace(/\s+#.*$/, '').replace(/^sudo /, '').trim()).filter((line) => /^castway [a-z-]/.test(line)))];
    if (commands.length === 0) continue;
    test(`${path} names commands and flags that exist`, async () => {
      const found = [];
      for (const command of commands) {
        const what = await problem(command);
        if (what) found.push(`${command}: ${what}`);
      }
      assert.deepEqual(found, []);
    });
  }
});
