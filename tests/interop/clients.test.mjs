// The clients of docs/clients.md: each one over each transport in each flow. The document must contain the results of these tests.
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { bytesByPolling } from './support/bytes.mjs';
import { CLIENTS, ELSEWHERE, FLOWS, PYTHON, TRANSPORTS, TRANSCRIPTS } from './support/clients-table.mjs';
import { assertMade, grouped, merged, table } from './support/document.mjs';
import { flows } from './support/flows.mjs';
import { LIMITS } from './support/limits.mjs';
import { startOriginal } from './support/originals.mjs';
import { play } from './support/play.mjs';
import { run } from './support/process.mjs';
import { startServer } from './support/server.mjs';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const python = here('../.venv/bin/python');

let server;
let originals;
before(async () => {
  // python-socketio may close its transport before its goodbye is sent; then the server waits for the end of the grace period.
  server = await startServer({ CASTWAY_GRACE: '1' });
  originals = { 2: await startOriginal('socket.io-2'), 4: await startOriginal('socket.io-4') };
});
after(async () => {
  await server?.close();
  for (const original of Object.values(originals ?? {})) await original.close();
});

const rows = new Map();
// Notes a result: `flow` works for the client over `transport`.
function found(client, transport, flow) {
  const key = `${client.client} ${client.version}`;
  const row = rows.get(key) ?? { client, results: [] };
  rows.set(key, row);
  row.results.push({ transport, flow });
}

// The known limits of a client line, as tests: [name, body].
const limits = (wanted) =>
  LIMITS.filter(({ line }) => line === wanted).flatMap(({ client, what, outcomes, run: look }) =>
    Object.entries(outcomes).map(([which, outcome]) => [
      `${client}, ${what}: ${outcome} at ${which === 'ours' ? 'Castway' : `Socket.IO's server ${which}`}`,
      async () => assert.equal(await look(originals[which] ?? server), outcome),
    ]),
  );

// The last test of each version of engine.io-client.
const running = new Map();
// Versions of socket.io-client that share an engine.io-client also share what it remembers about WebSockets, so their tests run in
// sequence.
function oneAtATime(engine, body) {
  if (!engine) return body;
  return async (t) => {
    const before = running.get(engine);
    const own = (async () => {
      await before;
      await body(t);
    })();
    running.set(engine, own.catch(() => {}));
    await own;
  };
}

describe('a client', { concurrency: 8 }, () => {
  // These tests come first, since one of them takes 45 s beside the others.
  for (const [name, body] of limits(undefined)) test(name, body);

  for (const client of [...CLIENTS, ...TRANSCRIPTS]) {
    test(`${client.client} ${client.version}`, oneAtATime(client.engine, async (t) => {
      for (const [name, body] of client.line ? limits(client.line) : []) await t.test(name, body);
      for (const transport of client.transports) {
        for (const flow of client.flows) {
          await t.test(`${TRANSPORTS[transport].title}: ${FLOWS[flow]}`, async () => {
            await play(client.io, TRANSPORTS[transport], server, flows[flow]);
            found(client, transport, flow);
          });
        }
      }
    }));
  }

  // The transcript is correct if the original servers understand it as well.
  for (const client of TRANSCRIPTS) {
    test(`the transcript of ${client.client} ${client.version} is understood by Socket.IO's own servers`, async () => {
      for (const version of client.protocol === 3 ? [2, 4] : [4]) {
        for (const transport of client.transports) {
          for (const rest of ['/', '/rtc', '/rtc?token=t-1']) {
            await play(client.io, TRANSPORTS[transport], originals[version], async (open) => {
              const socket = await open('client', rest, (made) => made);
              assert.deepEqual(await new Promise((resolve) => socket.emit('CONFIG', {}, resolve)), {});
            });
          }
        }
      }
    });
  }

  // Either a 1 for binary, the length with the type, 255, the type 4 and the bytes; or `b`, the type, and base64.
  for (const [query, expected] of [['', '\x01\x04\xff\x04v=0'], ['&b64=1', '6:b4dj0w']]) {
    test(`of Engine.IO 3 hears bytes by polling${query && ` with ${query.slice(1)}`} as from Socket.IO's own servers`, async () => {
      for (const { url } of [server, originals[2], originals[4]]) {
        const heard = await bytesByPolling({ url }, query);
        assert.equal(heard.slice(0, expected.length), expected, heard);
      }
    });
  }

  for (const { line, path } of PYTHON) {
    for (const kind of ['sync', 'async']) {
      test(`python-socketio ${line}, ${kind}`, async () => {
        assert.ok(existsSync(python), `${python} is missing: tests/run interop makes it`);
        const { code, output } = await run('env', [`PYTHONPATH=${here(path)}`, python, here('python_client.py'), server.url, kind]);
        assert.equal(code, 0, output);
        const [, version] = output.match(/^python-socketio (\S+)$/m);
        assert.ok(version.startsWith(`${line}.`), version);
        for (const [, dialect, transport] of output.matchAll(/^ok (A|B) (\w+)$/gm)) {
          found({ client: `python-socketio (${kind})`, version }, transport, `cast${dialect}`);
        }
      });
    }
  }
});

// One row for all transports that support the same flows.
function summary({ client, results }) {
  const flowsOf = (wanted) => results.filter(({ transport }) => transport === wanted).map(({ flow }) => FLOWS[flow]).join(', ');
  const transports = [...new Set(results.map(({ transport }) => transport))];
  return [...grouped(transports, flowsOf)].map(([names, those]) => {
    const titles = those.map((transport) => TRANSPORTS[transport].title).join(', ');
    return [client.client, client.version, titles, names, 'yes', client.transcript ? 'a transcript' : 'the client itself'];
  });
}

const order = [...CLIENTS, ...TRANSCRIPTS].map(({ client, version }) => `${client} ${version}`);
const rank = (key) => (order.indexOf(key) + 1 || order.length + 1);

test('docs/clients.md says what was found', () => {
  const keys = [...rows.keys()].sort((one, other) => rank(one) - rank(other) || one.localeCompare(other));
  const made = merged(keys.flatMap((key) => summary(rows.get(key))));
  for (const { file, title } of ELSEWHERE.flatMap(({ tests }) => tests)) {
    assert.ok(readFileSync(here(`../${file}`), 'utf8').includes(title), `${file} has no test "${title}"`);
  }
  const elsewhere = ELSEWHERE.map(({ client, version, transports, flows: names, tests }) => {
    const files = [...new Set(tests.map(({ file }) => `\`tests/${file}\``))].join(', ');
    return [client, version, transports, names, 'yes', files];
  });
  assertMade('clients.test.mjs', table(['Client', 'Version', 'Transports', 'Flows', 'Works', 'Shown by'], [...made, ...elsewhere]));
});

test('docs/clients.md says what does not work, and what Socket.IO does there', () => {
  const cells = LIMITS.map(({ client, what, outcomes, instead }) => [client, what, outcomes.ours, outcomes[4], outcomes[2], instead]);
  assertMade('clients.test.mjs: limits', table(['Client', 'What', 'Castway', 'Socket.IO 4.8.4', 'Socket.IO 2.5.1', 'Do'], cells));
});
