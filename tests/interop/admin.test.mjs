// /admin: who gets in, what ends a session, and what a stranger, a page of another origin and a thief of cookies can't do.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { PASSWORD, addOperator, ask, eventsOverHttp2, leave, openEvents, own, signIn } from './support/admin.mjs';
import { freePort } from './support/ports.mjs';
import { startServer, withServer } from './support/server.mjs';
import { until } from './support/wait.mjs';

const BROWSER = { accept: 'text/html,*/*;q=0.8' };
const code = (answer) => `${answer.status} ${answer.body?.error?.code ?? ''}`;
const CORS = /^access-control-/;
const corsHeaders = (answer) => Object.keys(answer.headers).filter((name) => CORS.test(name));

test('it is off until there is an operator, and says so', () =>
  withServer({}, async (server) => {
    const state = (await ask(server, 'GET', 'state')).body;
    assert.deepEqual([state.available, state.why, state.operator, state.csrf], [false, 'no_operator', null, null]);
    assert.equal((await ask(server, 'GET', '/admin', { headers: BROWSER })).status, 200, 'the page tells how to turn it on');
    for (const [method, path] of [['GET', 'now'], ['GET', 'log'], ['GET', 'events?view=now'], ['POST', 'end'], ['POST', 'sign-in']]) {
      const body = method === 'POST' ? { name: 'anna', password: PASSWORD } : undefined;
      assert.equal(code(await ask(server, method, path, { body })), '404 off', path);
    }
    await addOperator(server);
    const { available, why, version, secureUrl } = (await ask(server, 'GET', 'state')).body;
    assert.deepEqual([available, why, typeof version], [true, null, 'string']);
    assert.equal(secureUrl, `https://127.0.0.1:${server.httpsPort}/admin`);
    await server.cli(['user', 'disable', 'anna']);
    await until('it is off again', async () => (await ask(server, 'GET', 'state')).body.why === 'no_operator');
  }));

describe('with an operator', () => {
  let server;
  before(async () => {
    server = await startServer({ CASTWAY_PLAIN_API: '0.0.0.0/0,::/0', CASTWAY_FRAME_ANCESTORS: 'self,https://portal.example.org' });
    await addOperator(server);
  });
  after(() => server?.close());

  test('an operator signs in, looks, acts and signs out', async () => {
    const answer = await ask(server, 'POST', 'sign-in', { body: { name: 'anna', password: PASSWORD } });
    assert.equal(answer.status, 200);
    assert.match(answer.cookie, /^castway_admin=[\w-]{43}; Path=\/admin; Max-Age=43200; HttpOnly; Secure; SameSite=Strict$/);
    const session = { cookie: answer.cookie.split(';')[0], csrf: answer.body.csrf };
    assert.equal(answer.body.operator, 'anna');
    await until('the log says so', () => server.logged(/INFO operator signed in operator="anna" address=127\.0\.0\.1$/).length);

    const state = (await ask(server, 'GET', 'state', { session })).body;
    assert.deepEqual([state.operator, state.csrf], ['anna', session.csrf]);
    const now = (await ask(server, 'GET', 'now', { session })).body;
    for (const field of ['tvs', 'casts', 'calls', 'rooms', 'allocations', 'kbpsRelayed', 'uptime']) assert.equal(typeof now[field], 'number', field);
    assert.ok(Array.isArray(now.history) && Array.isArray(now.warnings));
    assert.deepEqual([now.certificate.trusted, now.certificate.daysLeft > 0], [false, true]);
    for (const list of ['casts', 'calls', 'rooms', 'allocations', 'users?search=a&limit=5', 'usage?months=1', 'bans', 'throttled', 'checks', 'settings']) {
      const { status, body, headers } = await ask(server, 'GET', list, { session });
      assert.ok(status === 200 && Array.isArray(body.rows), `${list}: ${status}`);
      assert.deepEqual([headers['cache-control'], headers['x-content-type-options']], ['no-store', 'nosniff'], list);
    }
    const { lines } = (await ask(server, 'GET', 'log', { session })).body;
    assert.ok(lines.some(({ level, text }) => level === 'info' && text === 'operator signed in operator="anna" address=127.0.0.1'), JSON.stringify(lines));
    const last = lines.at(-1).n;
    assert.deepEqual((await ask(server, 'GET', `log?after=${last}`, { session })).body, { lines: [] });

    assert.equal(code(await ask(server, 'POST', 'end', { session, body: { id: 'cast-999' } })), '404 not_found');
    // One more than the database keeps.
    const quota = '{"scope": "anyone", "name": "tenant", "bytes": 9223372036854775808}';
    assert.equal(code(await ask(server, 'POST', 'users/quota', { session, body: quota })), '409 refused');
    const { key, url, qr, expires } = (await ask(server, 'POST', 'checks/key', { session, body: {} })).body;
    assert.ok(url.endsWith(`/check?k=${key}`) && qr.startsWith('<svg ') && expires > Date.now() / 1000, url);

    const out = await ask(server, 'POST', 'sign-out', { session, body: {} });
    assert.deepEqual([out.status, /^castway_admin=; Path=\/admin; Max-Age=0;/.test(out.cookie)], [200, true]);
    assert.equal(code(await ask(server, 'GET', 'now', { session })), '401 signed_out', 'a replay after the sign-out');
    assert.equal(code(await ask(server, 'POST', 'end', { session, body: { id: 'cast-1' } })), '401 signed_out');
  });

  test('no secret is among the settings', async () => {
    const secret = 'an-api-key-of-some-length';
    await withServer({ CASTWAY_API_KEYS: secret }, async (other) => {
      await addOperator(other);
      const { text, body } = await ask(other, 'GET', 'settings', { session: await signIn(other) });
      assert.ok(!text.includes(secret));
      assert.deepEqual(body.rows.find(({ name }) => name === 'CASTWAY_API_KEYS'), { name: 'CASTWAY_API_KEYS', value: 'set', default: null, secret: true });
    });
  });

  test('a sign-in always makes a new token, and ends the session that it came with', async () => {
    const planted = { cookie: `castway_admin=${'A'.repeat(43)}` };
    const first = await signIn(server, { session: planted });
    assert.notEqual(first.cookie, planted.cookie);
    assert.equal(code(await ask(server, 'GET', 'now', { session: planted })), '401 signed_out');
    const second = await signIn(server, { session: { cookie: first.cookie } });
    assert.notEqual(second.cookie, first.cookie);
    assert.notEqual(second.csrf, first.csrf);
    assert.equal(code(await ask(server, 'GET', 'now', { session: first })), '401 signed_out');
    // Another host of the domain may have set a cookie of the same name.
    const both = { cookie: `${planted.cookie}; ${second.cookie}`, csrf: second.csrf };
    assert.equal((await ask(server, 'GET', 'now', { session: both })).status, 200);
  });

  test('nothing is served over plain HTTP, whatever the client says of itself', async () => {
    const session = await signIn(server);
    for (const headers of [{}, { 'x-forwarded-proto': 'https' }, { forwarded: 'proto=https' }, { host: `localhost:${server.httpPort}` }]) {
      const state = (await ask(server, 'GET', 'state', { plain: true, headers, session })).body;
      assert.deepEqual([state.available, state.why, state.operator, state.csrf], [false, 'not_secure', null, null], JSON.stringify(headers));
      for (const path of ['now', 'settings', 'events?view=now']) assert.equal(code(await ask(server, 'GET', path, { plain: true, headers, session })), '404 off');
      const body = { name: 'anna', password: PASSWORD };
      const answer = await ask(server, 'POST', 'sign-in', { plain: true, headers, body });
      assert.deepEqual([code(answer), answer.cookie], ['404 off', undefined]);
    }
    assert.equal((await ask(server, 'GET', '/admin', { plain: true, headers: BROWSER })).status, 200, 'the page says what to do');
  });

  test('a page of another origin can do nothing', async () => {
    const session = await signIn(server);
    const act = (headers, body = { id: 'cast-1' }) => ask(server, 'POST', 'end', { session, headers, body });
    assert.equal(code(await act({})), '404 not_found', 'a program without an Origin, with the token');
    assert.equal(code(await act({ origin: `https://127.0.0.1:${server.httpsPort}`, 'sec-fetch-site': 'same-origin' })), '404 not_found');
    const form = { 'content-type': 'application/x-www-form-urlencoded' };
    for (const [what, headers] of [
      ['a form', { ...form, origin: 'https://evil.example', 'sec-fetch-site': 'cross-site' }],
      ['a form of an old browser', form],
      ['text that looks like JSON', { 'content-type': 'text/plain' }],
      ['fetch of another origin', { origin: 'https://evil.example' }],
      ['fetch of another port', { origin: `https://127.0.0.1:${server.httpPort}` }],
      ['the same host without TLS', { origin: `http://127.0.0.1:${server.httpsPort}` }],
      ['a sandboxed frame', { origin: 'null' }],
      ['another host of the site', { 'sec-fetch-site': 'same-site' }],
      ['a typed address', { 'sec-fetch-site': 'none' }],
      ['no token', { 'x-castway-csrf': '' }],
      ['a wrong token', { 'x-castway-csrf': 'A'.repeat(43) }],
    ]) {
      assert.equal(code(await act(headers)), '403 csrf', what);
    }
    const foreign = (await signIn(server)).csrf;
    assert.equal(code(await act({ 'x-castway-csrf': foreign })), '403 csrf', 'the token of another session');
    for (const path of ['sign-out', 'block', 'users/password', 'checks/key']) {
      assert.equal(code(await ask(server, 'POST', path, { session: { cookie: session.cookie }, body: {} })), '403 csrf', path);
    }
    const signing = { body: { name: 'anna', password: PASSWORD } };
    for (const headers of [{ origin: 'https://evil.example' }, { 'sec-fetch-site': 'cross-site' }, form]) {
      assert.equal(code(await ask(server, 'POST', 'sign-in', { ...signing, headers })), '403 csrf');
    }
    for (const site of ['cross-site', 'same-site']) {
      assert.equal(code(await ask(server, 'GET', 'now', { session, headers: { 'sec-fetch-site': site } })), '403 csrf');
      assert.equal((await ask(server, 'GET', 'state', { session, headers: { 'sec-fetch-site': site } })).body.csrf, null);
    }
    for (const path of ['now', 'state', 'end', 'sign-in', 'nothing']) {
      const asked = { origin: 'https://evil.example', 'access-control-request-method': 'POST', 'access-control-request-headers': 'content-type,x-castway-csrf' };
      for (const method of ['OPTIONS', 'GET']) {
        const answer = await ask(server, method, path, { session, headers: asked });
        assert.deepEqual(corsHeaders(answer), [], `${method} ${path}`);
      }
    }
  });

  test('no answer is kept, and no page is framed', async () => {
    const session = await signIn(server);
    for (const path of ['/admin', '/admin/', '//admin', '/admin/casts', 'state', 'now', 'log', 'nothing']) {
      const { headers } = await ask(server, 'GET', path, { session, headers: BROWSER });
      assert.deepEqual(
        ['cache-control', 'x-frame-options', 'referrer-policy', 'cross-origin-opener-policy', 'x-content-type-options'].map((name) => headers[name]),
        ['no-store', 'DENY', 'no-referrer', 'same-origin', 'nosniff'],
        path,
      );
      assert.match(headers['content-security-policy'], /frame-ancestors 'none'$/, path);
      assert.doesNotMatch(headers['content-security-policy'], /ws:|unsafe|\*/, path);
    }
    for (const path of ['/check', '/check/', '/check.html']) {
      const { status, headers } = await ask(server, 'GET', path, { headers: BROWSER });
      assert.deepEqual([status, headers['x-frame-options']], [200, 'DENY'], path);
      assert.match(headers['content-security-policy'], /frame-ancestors 'none'$/, path);
    }
    const tv = await ask(server, 'GET', '/tv', { headers: BROWSER });
    assert.match(tv.headers['content-security-policy'], /frame-ancestors 'self' https:\/\/portal\.example\.org$/, 'other pages may be');
    assert.equal(tv.headers['x-frame-options'], undefined);
  });

  test('its paths are its own, and no cookie is set elsewhere', async () => {
    const moved = await ask(server, 'GET', '/ADMIN?x=1', { headers: BROWSER });
    assert.deepEqual([moved.status, moved.headers.location], [308, '/admin?x=1']);
    for (const path of ['/adminx', '/admin.html', '/x/admin']) assert.equal((await ask(server, 'GET', path, { headers: BROWSER })).status, 404, path);
    for (const path of ['//admin//api//state/', '/admin/api/state/']) assert.equal((await ask(server, 'GET', path)).body.available, true, path);
    const session = await signIn(server);
    for (const path of ['/', '/tv', '/socket.io/?EIO=4&transport=polling', '/turn?username=u', '/api/info']) {
      assert.equal((await ask(server, 'GET', path, { session })).cookie, undefined, path);
    }
    assert.equal((await ask(server, 'POST', '/admin/somebody', { body: 'hello' })).status, 200, "Collider's room of that name");
  });

  test('texts of strangers come as data', async () => {
    const session = await signIn(server);
    const evil = '</script><img src=x onerror=alert(1)>\u202e';
    const { headers, body } = await ask(server, 'POST', 'end', { session, body: { id: evil } });
    assert.ok(body.error.message.includes('img src=x'), body.error.message);
    assert.equal(headers['content-type'], 'application/problem+json');
    assert.match(headers['content-security-policy'], /default-src 'none'/);
    const search = await ask(server, 'GET', `users?search=${encodeURIComponent(evil)}`, { session });
    assert.deepEqual([search.status, search.headers['content-type']], [200, 'application/json']);
    assert.equal(code(await ask(server, 'GET', `users?search=${'x'.repeat(1000)}`, { session })), '400 bad_request');
  });

  test('bodies are bounded and have a form', async () => {
    const session = await signIn(server);
    assert.equal(code(await ask(server, 'POST', 'end', { session, body: { id: 'x'.repeat(20_000) } })), '413 too_large');
    assert.equal(code(await ask(server, 'POST', 'sign-in', { body: { name: 'anna', password: 'x'.repeat(20_000) } })), '413 too_large');
    const wrong = await ask(server, 'POST', 'sign-in', { body: `{"name":"anna","password":"${PASSWORD}",` });
    assert.equal(code(wrong), '400 bad_request');
    assert.ok(!wrong.text.includes(PASSWORD));
    assert.equal(code(await ask(server, 'POST', 'end', { session, body: { id: 5 } })), '400 bad_request');
    assert.equal(code(await ask(server, 'GET', 'nothing', { session })), '404 not_found');
    assert.equal((await ask(server, 'GET', 'end', { session })).status, 405);
  });

  test('the ninth session of an operator ends the first', async () => {
    const sessions = [];
    for (let n = 0; n < 9; n += 1) sessions.push(await signIn(server));
    const found = await Promise.all(sessions.map((session) => ask(server, 'GET', 'now', { session })));
    assert.deepEqual(found.map(({ status }) => status), [401, ...Array(8).fill(200)]);
  });
});

describe('events', () => {
  let server;
  before(async () => {
    server = await startServer();
    await addOperator(server);
  });
  after(() => server?.close());

  test('a stream shows what happens now, and ends with its session', async () => {
    const session = await signIn(server);
    const [casts, lines] = [await openEvents(server, session, 'casts'), await openEvents(server, session, 'log')];
    assert.deepEqual([casts.status, casts.headers['content-type'], casts.headers['cache-control']], [200, 'text/event-stream', 'no-store']);
    const [, now] = await casts.next('now');
    assert.equal(now.tvs, 0);
    assert.ok(Array.isArray((await casts.next('casts'))[1].rows));
    assert.ok((await lines.next('log'))[1].lines.some(({ text }) => text.startsWith('operator signed in')));
    const other = await signIn(server);
    await until('the line of another sign-in', () => {
      const all = lines.events.filter(([name]) => name === 'log').flatMap(([, data]) => data.lines);
      assert.deepEqual(all.map(({ n }) => n), all.map(({ n }, index) => all[0].n + index), 'each line once');
      return all.filter(({ text }) => text.startsWith('operator signed in')).length >= 2;
    });
    await ask(server, 'POST', 'sign-out', { session, body: {} });
    for (const stream of [casts, lines]) {
      await stream.next('signed-out');
      await until('the stream ends', () => stream.ended);
    }
    assert.equal((await ask(server, 'GET', 'now', { session: other })).status, 200);
  });

  test('a stream goes over HTTP/2, too', async () => {
    const text = await eventsOverHttp2(server, await signIn(server), 'casts', /(event: now\n[^]*){3}/);
    assert.match(text, /^event: casts\ndata: \{"rows":\[\],"total":0\}$/m);
  });

  test('four streams of a session and sixteen of all', async () => {
    const sessions = [];
    for (let n = 0; n < 5; n += 1) sessions.push(await signIn(server));
    const streams = [];
    for (const session of sessions.slice(0, 4)) {
      for (let n = 0; n < 4; n += 1) streams.push(await openEvents(server, session));
    }
    assert.ok(streams.every(({ status }) => status === 200));
    for (const session of [sessions[0], sessions[4]]) assert.equal((await openEvents(server, session)).status, 503, 'the fifth, and the 17th');
    assert.equal((await ask(server, 'GET', 'now', { session: sessions[0] })).status, 200);
    streams.forEach((stream) => stream.close());
    await until('there is room again', async () => {
      const stream = await openEvents(server, sessions[4]);
      stream.close();
      return stream.status === 200;
    });
    assert.equal((await openEvents(server, null)).status, 401);
    assert.equal((await openEvents(server, sessions[0], 'nothing')).status, 400);
  });

  test('a new password, disabling and removal end sessions and their streams', async () => {
    for (const [n, args] of [['user', 'passwd', '--password-stdin'], ['user', 'disable'], ['user', 'remove']].entries()) {
      const name = `operator${n}`;
      await addOperator(server, name);
      await until('the operator may sign in', async () => (await ask(server, 'POST', 'sign-in', { body: { name, password: PASSWORD } })).status === 200);
      const session = await signIn(server, { name });
      const stream = await openEvents(server, session);
      const { code: exit, stderr } = await server.cli([args[0], args[1], name, ...args.slice(2)], 'a new password of anna\n');
      assert.equal(exit, 0, stderr);
      await stream.next('signed-out');
      assert.equal(code(await ask(server, 'GET', 'now', { session })), '401 signed_out', `a stolen cookie after ${args[1]}`);
      assert.equal((await ask(server, 'GET', 'state', { session })).body.operator, null);
    }
  });

  test('streams end at once when the server stops', () =>
    withServer({}, async (stopping) => {
      await addOperator(stopping);
      const stream = await openEvents(stopping, await signIn(stopping));
      await stream.next('now');
      const { code: exit } = await stopping.stop();
      assert.deepEqual([exit, stream.ended], [0, true]);
    }));
});

describe('wrong passwords', () => {
  let server;
  before(async () => {
    server = await startServer();
    await addOperator(server);
  });
  after(() => server?.close());
  const attempt = (name, password, local) => ask(server, 'POST', 'sign-in', { body: { name, password }, local });

  test('of 200 at most ten a minute are checked, one after the other and together', async () => {
    const start = Date.now();
    const seen = [];
    for (let n = 0; n < 50; n += 1) seen.push(await attempt('anna', `a wrong password ${n}`, '127.0.0.9'));
    seen.push(...(await Promise.all(Array.from({ length: 150 }, (_, n) => attempt(n % 2 ? 'anna' : `nobody${n}`, `wrong again ${n}`, '127.0.0.9')))));
    const checked = seen.filter((answer) => code(answer) === '401 wrong_password').length;
    const most = 10 * (1 + Math.floor((Date.now() - start) / 60_000));
    assert.ok(checked >= 5 && checked <= most, `${checked} of at most ${most}`);
    for (const answer of seen.filter(({ status }) => status !== 401)) {
      assert.equal(code(answer), '429 too_many_attempts');
      const wait = Number(answer.headers['retry-after']);
      assert.ok(wait >= 1 && wait <= 60 && answer.body.error.retryAfter === wait, `${wait}`);
    }
    assert.equal(code(await attempt('anna', PASSWORD, '127.0.0.9')), '429 too_many_attempts', 'even the right one');
    await until('the log names the address', () => server.logged(/INFO wrong operator_password address=127\.0\.0\.9 failures=5$/).length);
    assert.deepEqual(server.logged(/wrong password|wrong again/), [], 'no password is logged');
    assert.ok((await server.metric('castway_wrong_total{kind="operator_password"}')) >= 5);
    assert.equal((await attempt('anna', PASSWORD, '127.0.0.1')).status, 200, 'the operator elsewhere');
  });

  test('an unknown name is refused like a wrong password', async () => {
    const [unknown, known] = [await attempt('nobody', 'x'.repeat(12), '127.0.0.7'), await attempt('anna', 'x'.repeat(12), '127.0.0.7')];
    assert.deepEqual([unknown.status, unknown.text], [known.status, known.text]);
    assert.equal(code(unknown), '401 wrong_password');
    await server.addUser('alice', 'a password of alice');
    assert.equal(code(await attempt('alice', 'a password of alice', '127.0.0.7')), '401 wrong_password', 'a user is no operator');
  });

  test('a client that leaves before the answer has used up its attempts', async () => {
    const wrong = () => server.metric('castway_wrong_total{kind="operator_password"}');
    const before = await wrong();
    let attempts = 0;
    // The server may notice that a client has left before it has read the request.
    await until('ten attempts count', async () => {
      await leave(server, 'sign-in', { name: 'anna', password: `a password of a client that leaves ${(attempts += 1)}` }, '127.0.0.6');
      return (await wrong()) >= before + 10;
    });
    assert.equal(code(await attempt('anna', PASSWORD, '127.0.0.6')), '429 too_many_attempts');
  });
});

test('only the networks of CASTWAY_ADMIN_ALLOW find it', () =>
  withServer({ CASTWAY_ADMIN_ALLOW: '::ffff:127.0.0.2, 10.1.0.0/16' }, async (server) => {
    const inside = { local: '127.0.0.2' };
    await until('the server is there', async () => (await ask(server, 'GET', 'state', inside)).body?.why === 'no_operator');
    const added = await server.cli(['user', 'add', 'anna', '--operator', '--password-stdin'], `${PASSWORD}\n`);
    assert.equal(added.code, 0);
    await until('it is on', async () => (await ask(server, 'GET', 'state', inside)).body.available);
    const session = await signIn(server, inside);
    assert.equal((await ask(server, 'GET', 'now', { session, ...inside })).status, 200);
    for (const headers of [{}, { 'x-forwarded-for': '10.1.2.3' }]) {
      for (const [method, path] of [['GET', '/admin'], ['GET', '/admin/api/state'], ['GET', '/admin/api/now'], ['POST', '/admin/api/sign-in']]) {
        const asked = { session, headers: { ...headers, ...BROWSER }, ...(method === 'POST' && { body: { name: 'anna', password: PASSWORD } }) };
        const [admin, nowhere] = [await ask(server, method, path, asked), await ask(server, method, path.replace('admin', 'nowhere'), asked)];
        assert.deepEqual([admin.status, admin.text], [404, nowhere.text], `${method} ${path}`);
      }
    }
    assert.equal((await ask(server, 'GET', 'state', { local: '127.0.0.2', headers: { 'x-forwarded-for': '10.1.2.3' } })).status, 404, 'a proxy that nobody trusts');
  }));

test('behind a trusted proxy its word counts, about HTTPS and the address', () =>
  withServer({ CASTWAY_TRUSTED_PROXIES: '127.0.0.1', CASTWAY_ADMIN_ALLOW: '10.1.0.0/16', CASTWAY_NO_TLS: 'true', CASTWAY_PUBLIC_URL: 'https://cast.example.org' }, async (server) => {
    const proxied = (address, proto = 'https') => ({ plain: true, headers: { 'x-forwarded-for': address, 'x-forwarded-proto': proto } });
    await server.cli(['user', 'add', 'anna', '--operator', '--password-stdin'], `${PASSWORD}\n`);
    const state = async (how) => ask(server, 'GET', 'state', how);
    await until('it is on', async () => (await state(proxied('10.1.2.3'))).body.available);
    assert.equal((await state(proxied('10.2.0.1'))).status, 404);
    assert.equal((await state(proxied('10.1.2.3, 203.0.113.9'))).status, 404, 'the client wrote the first one');
    assert.equal((await state(proxied('10.1.2.3', 'http'))).body.why, 'not_secure');
    assert.equal((await state(proxied('10.1.2.3'))).body.secureUrl, 'https://cast.example.org/admin');
    assert.equal((await state({ ...proxied('10.1.2.3'), local: '127.0.0.5' })).status, 404, 'no proxy of the setting');
    const { headers } = proxied('10.1.2.3');
    const session = await signIn(server, { plain: true, headers: { ...headers, origin: 'https://cast.example.org' } });
    assert.equal((await ask(server, 'GET', 'now', { session, ...proxied('10.1.2.3') })).status, 200);

    // The connection is the proxy's, and stays.
    const [banned, other] = [await openEvents(server, session, 'now', proxied('10.1.2.3')), await openEvents(server, session, 'now', proxied('10.1.2.4'))];
    for (const stream of [banned, other]) await stream.next('now');
    assert.equal((await server.cli(['block', '10.1.2.3'])).code, 0);
    await until('the stream of a banned address ends', () => banned.ended);
    assert.deepEqual([(await ask(server, 'GET', 'now', { session, ...proxied('10.1.2.3') })).status, other.ended], [403, false]);
    other.close();
  }));

test('under a path it is off until a setting allows it', async () => {
  const url = { CASTWAY_PUBLIC_URL: 'https://example.org/castway/' };
  await withServer(url, async (server) => {
    await server.cli(['user', 'add', 'anna', '--operator', '--password-stdin'], `${PASSWORD}\n`);
    assert.equal((await ask(server, 'GET', '/castway/admin/api/state')).body.why, 'under_path');
    assert.equal(code(await ask(server, 'POST', '/castway/admin/api/sign-in', { body: { name: 'anna', password: PASSWORD } })), '404 off');
    const page = await ask(server, 'GET', '/castway/admin', { headers: BROWSER });
    assert.match(page.headers['content-security-policy'], /frame-ancestors 'none'$/);
    assert.match(page.text, /src="\/castway\/assets\//);
  });
  await withServer({ ...url, CASTWAY_ADMIN_UNDER_PATH: 'true' }, async (server) => {
    await addOperator(server);
    const answer = await ask(server, 'POST', '/castway/admin/api/sign-in', { body: { name: 'anna', password: PASSWORD } });
    assert.match(answer.cookie, /; Path=\/castway\/admin; /);
    const session = { cookie: answer.cookie.split(';')[0] };
    assert.equal((await ask(server, 'GET', '/castway/admin/api/now', { session })).status, 200);
    assert.equal((await ask(server, 'GET', '/castway/ADMIN', { headers: BROWSER })).headers.location, '/castway/admin');
  });
});

test('the ports of TURN serve it, too', async () => {
  const more = await freePort();
  await withServer({ CASTWAY_TURN_HTTP: 'true', CASTWAY_ALT_LISTENING_PORT: String(more) }, async (server) => {
    await addOperator(server);
    for (const port of [server.turnPort, more, server.httpPort]) {
      const session = await signIn(server, { port });
      const answer = await ask(server, 'GET', 'now', { port, session });
      assert.deepEqual([answer.status, corsHeaders(answer)], [200, []], `${port}`);
      assert.equal((await ask(server, 'GET', '/admin', { port, headers: { ...BROWSER, ...own(session) } })).headers['x-frame-options'], 'DENY');
    }
  });
});
