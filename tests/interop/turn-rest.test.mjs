// GET and POST /turn: response formats, errors, access modes, and how passwords are derived.
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { closeAll, connect } from './support/clients.mjs';
import { startServer } from './support/server.mjs';
import { verify } from './support/turn.mjs';
import { until } from './support/wait.mjs';

const SECRET = 'north';
const sign = (secret, username) => createHmac('sha1', secret).update(username).digest('base64');
const turn = (server, query, init) => fetch(`${server.url}/turn${query}`, init);
const post = (server, fields) => turn(server, '', { method: 'POST', body: new URLSearchParams(fields) });

async function granted(response, server, { user = 'alice', ttl = 86_400, secret = SECRET } = {}) {
  assert.equal(response.status, 200);
  assert.match(response.headers.get('content-type'), /^application\/json/);
  assert.equal(response.headers.get('cache-control'), 'no-store');
  const body = await response.json();
  assert.deepEqual(Object.keys(body).filter((key) => ['username', 'password', 'ttl', 'uris'].includes(key)).length, 4);
  assert.match(body.username, new RegExp(`^\\d{10}:${user}$`));
  const ahead = Number(body.username.split(':')[0]) - Date.now() / 1000;
  assert.ok(ahead <= ttl + 1 && ahead > ttl - 60, `expires in ${ahead} s, ttl ${ttl}`);
  assert.equal(body.ttl, ttl);
  assert.equal(body.password, sign(secret, body.username));
  assert.ok(body.uris.length >= 1);
  for (const uri of body.uris) assert.match(uri, /^turns?:[^:]+:\d+\?transport=(udp|tcp)$/);
  assert.ok(body.uris.includes(`turn:127.0.0.1:${server.turnPort}?transport=udp`), body.uris.join(' '));
  return body;
}

async function refused(response, status) {
  assert.equal(response.status, status);
  assert.match(response.headers.get('content-type'), /^application\/json/);
  const body = await response.json();
  assert.equal(typeof body.error, 'string');
  assert.ok(body.message.length > 5);
  return body;
}

test('the vector of the draft: secret north', () => {
  assert.equal(sign(SECRET, '1266890800:mbzrxpgjys'), 'nbRcrnq5h6xXhyNhlwk+lDLvVVo=');
});

describe('access for users', () => {
  let server;
  before(async () => {
    server = await startServer({ CASTWAY_STATIC_AUTH_SECRET: `${SECRET},south` });
    await server.addUser('alice');
  });
  after(() => server?.close());

  test('an enabled user gets credentials signed with the first secret', async () => {
    await granted(await turn(server, '?username=alice'), server);
    await granted(await turn(server, '?service=turn&username=alice'), server);
  });

  test('by POST, with any order and with both api and key', async () => {
    await granted(await post(server, { service: 'turn', username: 'alice' }), server);
    await granted(await post(server, [['api', 'x'], ['username', 'alice'], ['key', 'x'], ['service', 'turn']]), server);
    await granted(await turn(server, '?api=a&key=b&username=alice&service=turn'), server);
    await granted(await turn(server, '?key=a&key=b&username=alice'), server);
    await granted(await turn(server, '?username=alice', { method: 'POST' }), server);
  });

  test('ttl is a wish and is clamped', async () => {
    await granted(await turn(server, '?username=alice&ttl=600'), server, { ttl: 600 });
    await granted(await turn(server, '?username=alice&ttl=99999999999'), server);
    const { ttl } = await (await turn(server, '?username=alice&ttl=0')).json();
    assert.ok(ttl > 0);
  });

  test('without a username: 400 in the words of the seeds', async () => {
    for (const query of ['', '?username=', '?service=turn']) {
      assert.deepEqual(await refused(await turn(server, query), 400), { error: 'AppError', message: 'Must provide username.' });
    }
  });

  test('another service: 400', async () => {
    await refused(await turn(server, '?service=stun&username=alice'), 400);
  });

  test('an unknown user is refused, and so is a hostile name', async () => {
    const unknown = await turn(server, '?username=mallory');
    assert.ok([401, 403].includes(unknown.status), `status ${unknown.status}`);
    await refused(unknown, unknown.status);
    for (const name of ['x'.repeat(5000), "alice' OR 1=1 --", 'alice\u0000', 'alice:1', '\u202ealice', '1:alice']) {
      const response = await turn(server, `?username=${encodeURIComponent(name)}`);
      assert.ok(response.status >= 400 && response.status < 500, `${name.slice(0, 20)}: ${response.status}`);
      await response.arrayBuffer();
    }
    const broken = await turn(server, '', { method: 'POST', body: '{"username":', headers: { 'content-type': 'application/json' } });
    assert.ok(broken.status >= 400 && broken.status < 500);
    await granted(await turn(server, '?username=alice'), server);
  });

  test('disable comes into effect, and so does enable', async () => {
    await server.addUser('bob');
    assert.equal((await turn(server, '?username=bob')).status, 200);
    assert.equal((await server.cli(['user', 'disable', 'bob'])).code, 0);
    const status = await until('bob is refused', async () => (await turn(server, '?username=bob')).status, (seen) => seen !== 200);
    assert.ok([401, 403].includes(status), String(status));
    assert.equal((await server.cli(['user', 'enable', 'bob'])).code, 0);
    await until('bob is let in', () => server.grants('bob'));
    assert.match((await server.cli(['user', 'list'])).stdout, /bob/);
    assert.equal((await server.cli(['user', 'remove', 'bob'])).code, 0);
    await until('bob is gone', async () => !(await server.grants('bob')));
  });

  test('castway credentials gives the same kind of credentials', async () => {
    const { code, stdout, stderr } = await server.cli(['credentials', 'alice']);
    assert.equal(code, 0, stderr);
    const username = stdout.match(/\d{10}:alice/)?.[0];
    assert.ok(username, stdout);
    assert.ok(stdout.includes(sign(SECRET, username)), stdout);
    assert.notEqual((await server.cli(['credentials', 'nobody'])).code, 0);
  });

  test('the command line says what is wrong', async () => {
    for (const args of [['user', 'add', 'alice', '--password-stdin'], ['user', 'disable', 'nobody'], ['user', 'add', '17:alice', '--password-stdin']]) {
      const { code, stderr } = await server.cli(args, 'long-enough-password\n');
      assert.notEqual(code, 0, args.join(' '));
      assert.ok(stderr.trim().length > 10, args.join(' '));
      assert.doesNotMatch(stderr, /panicked/);
    }
  });
});

describe('access with a key', () => {
  let server;
  before(async () => {
    server = await startServer({ CASTWAY_STATIC_AUTH_SECRET: SECRET, CASTWAY_TURN_ACCESS: 'key', CASTWAY_API_KEYS: 'key-one, key-two' });
    await server.addUser('alice');
  });
  after(() => server?.close());

  test('an enabled user with one of the keys, under key or api', async () => {
    await granted(await turn(server, '?username=alice&key=key-one'), server);
    await granted(await turn(server, '?username=alice&api=key-two&key=key-two&service=turn'), server);
    await granted(await post(server, { username: 'alice', key: 'key-two' }), server);
  });

  test('not without a key, with a wrong one, or for an unknown user', async () => {
    for (const query of ['?username=alice', '?username=alice&key=', '?username=alice&key=wrong', '?username=alice&key=key-on', '?username=mallory&key=key-one']) {
      const { status } = await turn(server, query);
      assert.ok([401, 403].includes(status), `${query}: ${status}`);
    }
  });
});

describe('open access', () => {
  let server;
  before(async () => {
    server = await startServer({ CASTWAY_STATIC_AUTH_SECRET: SECRET, CASTWAY_TURN_ACCESS: 'open', CASTWAY_TTL: '3600' });
  });
  after(() => server?.close());

  test('any username, with the configured ttl', async () => {
    await granted(await turn(server, '?username=anybody'), server, { user: 'anybody', ttl: 3600 });
  });

  test('still not without one', async () => {
    await refused(await turn(server, ''), 400);
  });
});

test('requests are limited per address: 429 with Retry-After', async () => {
  const server = await startServer({ CASTWAY_TURN_ACCESS: 'open', CASTWAY_CREDENTIALS_RATE: '5' });
  try {
    let given = 0;
    // The rate limit allows one more request every 12 s.
    const last = await until('more than the rate', () => turn(server, '?username=x'), ({ status }) => status !== 200 || (given += 1) > 20);
    assert.ok(given >= 5, `${given} were answered`);
    assert.ok(Number(last.headers.get('retry-after')) > 0);
    await refused(last, 429);
  } finally {
    await server.close();
  }
});

test('castway secret rotate: credentials of before and of after are both accepted', async () => {
  const server = await startServer({ CASTWAY_TURN_ACCESS: 'open' });
  try {
    const tv = await connect(server, { label: 'TV' });
    await tv.ask('TV_INIT');
    await tv.next('CONFIG_FEEDBACK');
    const first = await (await turn(server, '?username=x&ttl=3600')).json();
    const { code, stderr } = await server.cli(['secret', 'rotate']);
    assert.equal(code, 0, stderr);
    // Clients that have a seat receive credentials signed with the new secret.
    await tv.next('CONFIG_FEEDBACK');
    const second = await (await turn(server, '?username=x&ttl=3600')).json();
    for (const { username, password } of [first, second]) {
      assert.equal(await verify({ port: server.turnPort, username, password }), 'allocated');
    }
  } finally {
    closeAll();
    await server.close();
  }
});
