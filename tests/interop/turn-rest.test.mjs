// GET and POST /turn: response formats, errors, access modes, and how passwords are derived.
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { closeAll, connect } from './support/clients.mjs';
import { startServer } from './support/server.mjs';
import { TurnClient, verify } from './support/turn.mjs';
import { until } from './support/wait.mjs';

const SECRET = 'north';
// The key of each scope: anyone's is the secret itself, so that other servers accept the credentials; clients' is derived from it.
const KEYS = {
  anyone: (secret) => secret,
  clients: (secret) => createHmac('sha256', secret).update('castway/scope/clients/1').digest(),
};
const sign = (secret, username, scope = 'anyone') => createHmac('sha1', KEYS[scope](secret)).update(username).digest('base64');
const turn = (server, query, init) => fetch(`${server.url}/turn${query}`, init);
const post = (server, fields) => turn(server, '', { method: 'POST', body: new URLSearchParams(fields) });
const basic = (user, password) => ({ headers: { authorization: `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}` } });
const passwordOf = (user) => `${user}-password-1`;

async function addDisabledUser(server, name, key) {
  await server.addUser(name);
  assert.equal((await server.cli(['user', 'disable', name])).code, 0);
  await until(`${name} is refused`, async () => (await turn(server, `?username=${name}&key=${key}`)).status, (status) => status === 403);
}

async function granted(response, server, { user = 'alice', ttl = 86_400, secret = SECRET, scope = 'anyone' } = {}) {
  assert.equal(response.status, 200);
  assert.match(response.headers.get('content-type'), /^application\/json/);
  assert.equal(response.headers.get('cache-control'), 'no-store');
  const body = await response.json();
  assert.deepEqual(Object.keys(body).filter((key) => ['username', 'password', 'ttl', 'uris'].includes(key)).length, 4);
  assert.match(body.username, new RegExp(`^\\d{10}:${user}$`));
  const ahead = Number(body.username.split(':')[0]) - Date.now() / 1000;
  assert.ok(ahead <= ttl + 1 && ahead > ttl - 60, `expires in ${ahead} s, ttl ${ttl}`);
  assert.equal(body.ttl, ttl);
  assert.equal(body.password, sign(secret, body.username, scope));
  assert.ok(body.uris.length >= 1);
  for (const uri of body.uris) assert.match(uri, /^turns?:[^:]+:\d+\?transport=(udp|tcp)$/);
  assert.ok(body.uris.includes(`turn:127.0.0.1:${server.turnPort}?transport=udp`), body.uris.join(' '));
  return body;
}

async function refused(response, status) {
  assert.equal(response.status, status);
  assert.match(response.headers.get('content-type'), /^application\/problem\+json$/);
  const body = await response.json();
  assert.equal(typeof body.error, 'string');
  assert.ok(body.message.length > 5);
  return body;
}

test('the vector of the draft: secret north', () => {
  assert.equal(sign(SECRET, '1266890800:mbzrxpgjys'), 'nbRcrnq5h6xXhyNhlwk+lDLvVVo=');
});

test('the key of scope clients: secret north', () => {
  assert.equal(sign(SECRET, '1266890800:mbzrxpgjys', 'clients'), 'yieejYgWxgxp6jEWrKK7m6y8ZTc=');
});

// What a stranger could compare: all but the credentials and the time.
async function look(response) {
  const headers = Object.fromEntries(response.headers);
  delete headers.date;
  const body = await response.json();
  for (const field of ['username', 'password', 'ttl']) if (body[field] !== undefined) body[field] = typeof body[field];
  delete headers['content-length'];
  return { status: response.status, headers, body };
}

describe('access of everybody, with a static secret', () => {
  let server;
  const stranger = { scope: 'clients' };
  before(async () => {
    server = await startServer({ CASTWAY_STATIC_AUTH_SECRET: `${SECRET},south`, CASTWAY_API_KEYS: 'key-one' });
    await server.addUser('alice');
    await addDisabledUser(server, 'mallory', 'key-one');
  });
  after(() => server?.close());

  test('a stranger gets scope clients, with the first secret and whatever key', async () => {
    for (const query of ['?username=alice', '?service=turn&username=alice', '?username=alice&key=4080218913', '?api=a&key=b&username=alice']) {
      await granted(await turn(server, query), server, stranger);
    }
    await granted(await post(server, [['api', 'x'], ['username', 'alice'], ['key', 'x'], ['service', 'turn']]), server, stranger);
    await granted(await turn(server, '?username=alice', { method: 'POST' }), server, stranger);
  });

  test('a stranger learns nothing about a name', async () => {
    const first = await look(await turn(server, '?username=nobody'));
    for (const name of ['alice', 'mallory', 'kiosk', '1900000000', 'x@y']) {
      assert.deepEqual(await look(await turn(server, `?username=${encodeURIComponent(name)}`)), first, name);
      assert.deepEqual(await look(await turn(server, '', basic(name, 'wrong'))), first, name);
    }
  });

  test('a known key or a right password gives scope anyone', async () => {
    await granted(await turn(server, '?username=alice&key=4080218913&key=key-one'), server);
    await granted(await turn(server, '', basic('alice', passwordOf('alice'))), server);
    await granted(await post(server, { username: 'alice', password: passwordOf('alice') }), server);
    await granted(await turn(server, '', basic('mallory', passwordOf('mallory'))), server, { user: 'mallory', ...stranger });
  });

  test('the relay accepts both scopes, and a name of digits is no expiry', async () => {
    for (const query of ['?username=alice', '?username=alice&key=key-one', '?username=1900000000']) {
      const { username, password } = await (await turn(server, query)).json();
      assert.equal(await verify({ port: server.turnPort, username, password }), 'allocated', query);
      const [, name] = username.split(':');
      for (const other of [name, `${name}:x`, `${name}:${name}`, `x:${name}`]) {
        assert.notEqual(await verify({ port: server.turnPort, username: other, password }), 'allocated', other);
      }
    }
  });

  test('seats and the ICE service give scope clients', async () => {
    try {
      const tv = await connect(server, { label: 'TV' });
      await tv.ask('TV_INIT');
      const { config } = await tv.next('CONFIG_FEEDBACK');
      const { iceServers } = await (await fetch(`${server.url}/v1alpha/iceconfig`)).json();
      for (const { username, credential } of [...config.iceServers, ...iceServers].filter((entry) => entry.username)) {
        assert.equal(credential, sign(SECRET, username, 'clients'));
        assert.match(username, /^\d{10}:(call-[0-9a-f]{16}|cast-.*[0-9a-f]{16})$/, 'a name that nobody guesses');
        assert.ok(Number(username.split(':')[0]) - Date.now() / 1000 > 86_000, username);
      }
    } finally {
      closeAll();
    }
  });

  test('ttl is a wish and is clamped', async () => {
    await granted(await turn(server, '?username=alice&ttl=600'), server, { ttl: 600, ...stranger });
    await granted(await turn(server, '?username=alice&ttl=99999999999'), server, stranger);
    const { ttl } = await (await turn(server, '?username=alice&ttl=0')).json();
    assert.ok(ttl > 0);
  });

  test('without a username: 400 in the words of the seeds', async () => {
    for (const query of ['', '?username=', '?service=turn']) {
      const answer = await turn(server, query);
      assert.deepEqual([answer.status, answer.headers.get('content-type'), answer.headers.get('cache-control')], [400, 'application/json', 'no-store']);
      assert.deepEqual(await answer.json(), { error: 'AppError', message: 'Must provide username.' });
    }
  });

  test('another service, and a password in the query: 400', async () => {
    await refused(await turn(server, '?service=stun&username=alice'), 400);
    const { message } = await refused(await turn(server, `?username=alice&password=${passwordOf('alice')}`), 400);
    assert.ok(!message.includes(passwordOf('alice')));
  });

  test('a hostile name does no harm', async () => {
    for (const name of ['x'.repeat(5000), 'alice\u0000']) await refused(await turn(server, `?username=${encodeURIComponent(name)}`), name.length > 200 ? 413 : 400);
    for (const name of ["alice' OR 1=1 --", 'alice:1', '\u202ealice', '1:alice']) {
      assert.equal((await turn(server, `?username=${encodeURIComponent(name)}`)).status, 200, name);
    }
    const broken = await turn(server, '', { method: 'POST', body: '{"username":', headers: { 'content-type': 'application/json' } });
    await refused(broken, 400);
    await granted(await turn(server, '?username=alice'), server, stranger);
  });

  test('castway credentials gives the same kind of credentials, of either scope', async () => {
    for (const [args, scope] of [[[], 'anyone'], [['--scope', 'clients'], 'clients'], [['--scope', 'anyone'], 'anyone']]) {
      const { code, stdout, stderr } = await server.cli(['credentials', 'alice', ...args]);
      assert.equal(code, 0, stderr);
      const { username, password } = JSON.parse(stdout);
      assert.equal(password, sign(SECRET, username, scope));
    }
    assert.notEqual((await server.cli(['credentials', 'mallory'])).code, 0);
  });

  test('the command line says what is wrong', async () => {
    for (const args of [['user', 'add', 'alice', '--password-stdin'], ['user', 'disable', 'nobody'], ['user', 'add', '17:alice', '--password-stdin'], ['user', 'scope', 'alice', 'x']]) {
      const { code, stderr } = await server.cli(args, 'long-enough-password\n');
      assert.notEqual(code, 0, args.join(' '));
      assert.ok(stderr.trim().length > 10, args.join(' '));
      assert.doesNotMatch(stderr, /panicked/);
    }
  });
});

describe('access for users', () => {
  let server;
  const signIn = (user, query = '') => turn(server, query, basic(user, passwordOf(user)));
  before(async () => {
    server = await startServer({ CASTWAY_STATIC_AUTH_SECRET: SECRET, CASTWAY_TURN_ACCESS: 'users' });
    await server.addUser('alice');
  });
  after(() => server?.close());

  test('a user signs in with a password, by HTTP Basic, a form or JSON', async () => {
    await granted(await signIn('alice'), server);
    await granted(await signIn('alice', '?username=alice&service=turn'), server);
    const fields = { username: 'alice', password: passwordOf('alice') };
    await granted(await post(server, fields), server);
    const json = { method: 'POST', body: JSON.stringify(fields), headers: { 'content-type': 'application/json' } };
    await granted(await turn(server, '', json), server);
    await refused(await signIn('alice', '?username=bob'), 400);
  });

  test('who is not signed in gets one answer for every name', async () => {
    const first = await look(await turn(server, '?username=nobody'));
    assert.equal(first.status, 401);
    assert.equal(first.headers['www-authenticate'], 'Basic realm="castway", charset="UTF-8", Bearer');
    for (const answer of [turn(server, '?username=alice'), turn(server, '', basic('alice', 'wrong')), signIn('nobody'), turn(server, '?username=alice&key=x')]) {
      assert.deepEqual(await look(await answer), first);
    }
  });

  test('disable comes into effect, and so does enable', async () => {
    await server.addUser('bob');
    assert.equal((await signIn('bob')).status, 200);
    assert.equal((await server.cli(['user', 'disable', 'bob'])).code, 0);
    await until('bob is refused', async () => (await signIn('bob')).status, (status) => status === 401, { pause: 250 });
    assert.equal((await server.cli(['user', 'enable', 'bob'])).code, 0);
    await until('bob is let in', async () => (await signIn('bob')).status, (status) => status === 200, { pause: 250 });
    assert.match((await server.cli(['user', 'list'])).stdout, /bob/);
    assert.equal((await server.cli(['user', 'remove', 'bob'])).code, 0);
    await until('bob is gone', async () => (await signIn('bob')).status, (status) => status === 401, { pause: 250 });
    assert.notEqual((await server.cli(['credentials', 'nobody'])).code, 0);
  });

  test('another scope comes into effect, and ends what the former one has', async () => {
    await server.addUser('kiosk');
    await granted(await signIn('kiosk'), server, { user: 'kiosk' });
    const live = new TurnClient({ port: server.turnPort, username: 'kiosk', password: passwordOf('kiosk') });
    try {
      assert.ok(!(await live.allocate()));
      assert.ok(!(await live.permit(live.relayed)));
      assert.equal((await server.cli(['user', 'scope', 'kiosk', 'clients'])).code, 0);
      await until('its allocation ends', () => live.permit(live.relayed), (code) => code === 437, { pause: 250 });
      await granted(await signIn('kiosk'), server, { user: 'kiosk', scope: 'clients' });
      assert.equal(await verify({ port: server.turnPort, username: 'kiosk', password: passwordOf('kiosk') }), 'allocated');
    } finally {
      live.abandon();
    }
  });

  test('wrong passwords are limited: 429 with Retry-After', async () => {
    // Other tests may have used up some of the 20.
    const last = await until('more than the limit', () => turn(server, '', basic('alice', 'wrong')), ({ status }) => status !== 401, { pause: 0 });
    assert.ok(Number(last.headers.get('retry-after')) > 0);
    await refused(last, 429);
    await refused(await signIn('alice'), 429);
  });
});

describe('access with a key', () => {
  let server;
  before(async () => {
    server = await startServer({ CASTWAY_STATIC_AUTH_SECRET: SECRET, CASTWAY_TURN_ACCESS: 'key', CASTWAY_API_KEYS: 'key-one, key-two' });
    await server.addUser('alice');
    await addDisabledUser(server, 'mallory', 'key-one');
  });
  after(() => server?.close());

  test('any name with one of the keys, under key or api', async () => {
    await granted(await turn(server, '?username=alice&key=key-one'), server);
    await granted(await turn(server, '?username=alice&api=key-two&key=key-two&service=turn'), server);
    await granted(await post(server, { username: 'alice', key: 'key-two' }), server);
    // Janus sends the number of its session.
    await granted(await turn(server, '?username=7391653&api=key-one&key=key-one'), server, { user: '7391653' });
  });

  test('not without a key, with a wrong one, or for a disabled user', async () => {
    for (const query of ['?username=alice', '?username=alice&key=', '?username=alice&key=wrong', '?username=alice&key=key-on']) {
      await refused(await turn(server, query), 401);
    }
    await refused(await turn(server, '', basic('alice', passwordOf('alice'))), 401);
    await refused(await turn(server, '?username=mallory&key=key-one'), 403);
  });
});

describe('open access with a static secret, both set by name', () => {
  let server;
  before(async () => {
    server = await startServer({ CASTWAY_STATIC_AUTH_SECRET: SECRET, CASTWAY_TURN_ACCESS: 'open', CASTWAY_TTL: '3600' });
  });
  after(() => server?.close());

  test('any username gets scope anyone, with the configured ttl, and the start warns', async () => {
    await granted(await turn(server, '?username=anybody'), server, { user: 'anybody', ttl: 3600 });
    assert.match(server.log, /let strangers relay data to anyone/);
  });

  test('still not without one', async () => {
    assert.equal((await turn(server, '')).status, 400);
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
