// The descriptions of the APIs by tools of others: schemathesis asks the running server what its description says, and the official JSON schema
// reads that of the events. Both install what they need once.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { newKey } from '../interop/support/check.mjs';
import { withServer } from '../interop/support/server.mjs';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const wanted = here('requirements-openapi.txt');
const venv = here('../.venv-openapi');
const python = join(venv, 'bin/python');
// The newest one with AsyncAPI 3.0 that was tried.
const ASYNCAPI_SCHEMAS = '@asyncapi/specs@6.11.1';
const LIMIT_MS = 10 * 60_000;

// Not execFileSync: this process has to read the server's log meanwhile.
function attempt(command, args, options = {}) {
  return new Promise((resolve) => {
    execFile(command, args, { timeout: LIMIT_MS, maxBuffer: 64 * 1024 * 1024, ...options }, (error, stdout, stderr) => {
      resolve({ status: error ? (error.code ?? error.signal) : 0, output: `${stdout}${stderr}` });
    });
  });
}

async function run(command, args, options) {
  const { status, output } = await attempt(command, args, options);
  assert.equal(status, 0, `${command} ${args.join(' ')}:\n${output.slice(-8000)}`);
  return output;
}

// The list is complete, so pip resolves nothing; and it builds nothing.
async function prepare() {
  const installed = join(venv, 'installed');
  const stamp = (await run('python3', ['--version'])) + readFileSync(wanted, 'utf8');
  if (existsSync(installed) && readFileSync(installed, 'utf8') === stamp) return;
  await run('python3', ['-m', 'venv', '--clear', venv]);
  await run(python, ['-m', 'pip', 'install', '-q', '--disable-pip-version-check', '--no-deps', '--only-binary=:all:', '-r', wanted]);
  writeFileSync(installed, stamp);
}

let folder;
before(async () => {
  await prepare();
  folder = mkdtempSync(join(tmpdir(), 'castway-openapi-'));
});
after(() => {
  if (folder) rmSync(folder, { recursive: true });
});

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
  return attempt(join(venv, 'bin/schemathesis'), all, { cwd: folder });
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
        const { status, output } = await schemathesis(server, access === 'key', ...args);
        assert.equal(status, 0, output.slice(-12_000));
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
      const { status, output } = await attempt(join(venv, 'bin/schemathesis'), ['run', changed, '--url', server.url, '--include-path', '/api/info', '-n', '1', '--no-color'], { cwd: folder });
      assert.equal(status, 1, output.slice(-4000));
      assert.match(output, /version|schema/i);
    });
  });
});

test('the description of the events is AsyncAPI 3.0', async () => {
  await run('npm', ['install', '--prefix', folder, '--no-save', '--ignore-scripts', '--no-audit', '--no-fund', ASYNCAPI_SCHEMAS]);
  const schema = join(folder, 'node_modules/@asyncapi/specs/schemas/3.0.0.json');
  const check = [
    'import json, sys, jsonschema_rs',
    'schema, document = (json.load(open(path)) for path in sys.argv[1:])',
    'validator = jsonschema_rs.validator_for(schema)',
    'print(json.dumps([f"{error.instance_path}: {error.message[:300]}" for error in validator.iter_errors(document)]))',
    'del document["info"]["title"]',
    'print(validator.is_valid(document))',
  ].join('\n');
  const [errors, withoutTitle] = (await run(python, ['-c', check, schema, here('../../docs/api/asyncapi.json')])).trim().split('\n');
  assert.deepEqual(JSON.parse(errors), []);
  assert.equal(withoutTitle, 'False', 'the schema finds what is missing');
});
