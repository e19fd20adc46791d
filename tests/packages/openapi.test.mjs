// The descriptions of the APIs by tools of others: schemathesis asks the running server what its description says, and the official JSON schema
// reads that of the events. tests/run installs both.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { newKey } from '../interop/support/check.mjs';
import { run } from '../interop/support/process.mjs';
import { withServer } from '../interop/support/server.mjs';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const programs = here('../.venv-openapi/bin');
const LIMIT_MS = 10 * 60_000;

const folder = mkdtempSync(join(tmpdir(), 'castway-openapi-'));
after(() => rmSync(folder, { recursive: true }));

const KEY = 'a-key-of-sixteen-or-more';
const SETTINGS = {
  CASTWAY_API_DOCS: 'true', CASTWAY_API_KEYS: KEY, CASTWAY_PROVIDER_APIS: 'cloudflare,twilio,metered,xirsys', CASTWAY_CAST_ACCESS: 'users',
  // So that most requests are answered, and few refused because there were too many.
  CASTWAY_CREDENTIALS_RATE: '1000000', CASTWAY_ICE_RATE: '1000000', CASTWAY_CALL_RATE: '1000000',
};

const WITH_PASSWORD = ['/2010-04-01/Accounts/{sid}/Tokens.json', '/_turn/{channel}'];

// With the keys in the query that Metered's API has there.
function schemathesis(server, keyInQuery, ...args) {
  const config = join(folder, 'schemathesis.toml');
  const keys = keyInQuery ? `[parameters]\nsecretKey = "${KEY}"\napiKey = "${KEY}"\n\n` : '';
  writeFileSync(config, keys + readFileSync(here('schemathesis.toml'), 'utf8'));
  const all = [
    '--config-file', config, 'run', `${server.url}/api/docs/openapi.json`, '--phases', 'examples,coverage,fuzzing',
    '--continue-on-failure', '--seed', '1', '--no-color', ...args,
  ];
  return run(join(programs, 'schemathesis'), all, { cwd: folder, limit: LIMIT_MS });
}

describe('schemathesis', () => {
  for (const [what, access, args] of [
    // A poll takes 20 seconds.
    ['a stranger', 'open', ['-n', '40', '--exclude-path', '/check/poll']],
    ['somebody with an API key', 'key', ['-n', '15', '--exclude-path', '/check/poll', '--exclude-tag', 'providers', '-H', `Authorization: Bearer ${KEY}`]],
    ['an application with an API key as a token and in the query', 'key', ['-n', '15', '--include-tag', 'providers', ...WITH_PASSWORD.flatMap((path) => ['--exclude-path', path]), '-H', `Authorization: Bearer ${KEY}`]],
    ['an application with an API key as its password', 'key', ['-n', '15', ...WITH_PASSWORD.flatMap((path) => ['--include-path', path]), '--auth', `anything:${KEY}`]],
    // HTTP Basic names the user, too, so that a request without a username is right, and one with another name is wrong: no schema can say so.
    ['a user', 'users', ['-n', '15', '--include-tag', 'credentials', '--auth', 'alice:alice-password-1', '--exclude-checks', 'positive_data_acceptance,negative_data_rejection']],
  ]) {
    test(`${what} finds nothing that differs from the description`, async () => {
      await withServer({ ...SETTINGS, CASTWAY_TURN_ACCESS: access, CASTWAY_ICE_ACCESS: access === 'key' ? 'key' : 'open' }, async (server) => {
        await server.addUser('alice');
        assert.ok(await newKey(server));
        const { code, output } = await schemathesis(server, access === 'key', ...args);
        assert.equal(code, 0, output);
        assert.match(output, /No issues found|passed/);
      });
    });
  }

  test('notices an answer that differs', async () => {
    await withServer({ ...SETTINGS, CASTWAY_TURN_ACCESS: 'open' }, async (server) => {
      const document = JSON.parse(readFileSync(here('../../docs/api/openapi.json'), 'utf8'));
      document.components.schemas.Info.properties.version = { type: 'integer' };
      const changed = join(folder, 'changed.json');
      writeFileSync(changed, JSON.stringify(document));
      const args = ['run', changed, '--url', server.url, '--include-path', '/api/info', '-n', '1', '--no-color'];
      const { code, output } = await run(join(programs, 'schemathesis'), args, { cwd: folder });
      assert.equal(code, 1, output);
      assert.match(output, /version|schema/i);
    });
  });
});

test('the description of the events is AsyncAPI 3.0', async () => {
  const schema = here('../interop/node_modules/@asyncapi/specs/schemas/3.0.0.json');
  const check = [
    'import json, sys, jsonschema_rs',
    'schema, document = (json.load(open(path)) for path in sys.argv[1:])',
    'validator = jsonschema_rs.validator_for(schema)',
    'print(json.dumps([f"{error.instance_path}: {error.message[:300]}" for error in validator.iter_errors(document)]))',
    'del document["info"]["title"]',
    'print(validator.is_valid(document))',
  ].join('\n');
  const { code, stdout, stderr } = await run(join(programs, 'python'), ['-c', check, schema, here('../../docs/api/asyncapi.json')]);
  assert.equal(code, 0, stderr);
  const [errors, withoutTitle] = stdout.trim().split('\n');
  assert.deepEqual(JSON.parse(errors), []);
  assert.equal(withoutTitle, 'False', 'the schema finds what is missing');
});
