// The APIs of other providers of TURN servers: the library of Twilio, and calls like those of the samples of the others, which have no library
// for them. Each ends with bytes that the relay has carried. Then: what is refused, in the words of the provider.
import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { request } from 'node:https';
import { after, before, describe, test } from 'node:test';
import twilio from 'twilio';
import { blocks } from '../documents/documents.mjs';
import { ownAuthority } from './support/authority.mjs';
import { NAME } from './support/clients.mjs';
import { run } from './support/process.mjs';
import { rawGet } from './support/raw.mjs';
import { startServer, withServer } from './support/server.mjs';
import { TurnClient } from './support/turn.mjs';
import { until } from './support/wait.mjs';

const KEY = 'a-key-of-a-customer-0123456789';
const ALL = 'cloudflare,twilio,metered,xirsys';
const LONGEST = 7200;
const SID = 'AC0123456789abcdef0123456789abcdef';

const basic = (user, password) => `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;
const json = { 'content-type': 'application/json' };

let authority;
let ca;
let server;
let peer;
before(async () => {
  authority = ownAuthority([`DNS:${NAME}`, 'DNS:localhost', 'IP:127.0.0.1']);
  ca = readFileSync(authority.ca);
  server = await startServer({
    ...authority.settings, CASTWAY_PROVIDER_APIS: ALL, CASTWAY_API_KEYS: `another-key-of-sixteen-or-more,${KEY}`, CASTWAY_TURN_ACCESS: 'key',
    CASTWAY_TTL: String(LONGEST), CASTWAY_ALLOWED_PEER_IP: '127.0.0.0/8', CASTWAY_LOG: 'debug,castway=trace',
  });
  // A peer that is no client of the relay.
  peer = createSocket('udp4', (bytes, from) => peer.send(bytes, from.port, from.address));
  peer.bind(0, '127.0.0.1');
  await once(peer, 'listening');
});
after(async () => {
  peer?.close();
  await server?.close();
  authority?.close();
});

// What a page does with the answer: it connects to each TURN URL, and its bytes come back from the peer.
async function assertRelays(iceServers, { name, ttl = LONGEST }) {
  const urls = iceServers.flatMap(({ urls, username, credential }) => [urls].flat().map((url) => ({ url, username, credential })));
  const turn = urls.filter(({ url }) => url.startsWith('turn'));
  assert.ok(urls.some(({ url }) => url === `stun:127.0.0.1:${server.turnPort}`), JSON.stringify(urls));
  assert.deepEqual(turn.map(({ url }) => url), [
    `turn:127.0.0.1:${server.turnPort}?transport=udp`, `turn:127.0.0.1:${server.turnPort}?transport=tcp`, `turns:${NAME}:${server.httpsPort}?transport=tcp`,
  ]);
  for (const { url, username, credential } of turn) {
    const [, scheme, port, ip] = /^(turns?):[^:]+:(\d+)\?transport=(udp|tcp)$/.exec(url);
    const [expiry, user] = username.split(/:(.*)/s);
    assert.equal(user, name);
    const left = Number(expiry) - Date.now() / 1000;
    assert.ok(left <= ttl + 1 && left > ttl - 60, `${left} s are left of ${ttl}`);
    const transport = scheme === 'turns' ? 'tls' : ip;
    const client = new TurnClient({ port: Number(port), username, password: credential, transport, tls: { ca, servername: NAME } });
    try {
      assert.equal(await client.allocate(), 0, url);
      assert.equal(await client.permit(peer.address()), 0, url);
      client.send(peer.address(), Buffer.from(url));
      assert.equal((await client.receive()).data.toString(), url);
    } finally {
      await client.close();
    }
  }
}

// A refusal of `status` whose body has no key and may not be cached.
async function refused(response, status) {
  assert.equal(response.status, status);
  assert.match(response.headers.get('content-type'), /^application\/json/);
  assert.equal(response.headers.get('cache-control'), 'no-store');
  const text = await response.text();
  assert.ok(!text.includes(KEY));
  return JSON.parse(text);
}

const cloudflare = (from, { id = 'key-1', call = 'generate-ice-servers', key = KEY, ...init } = {}) =>
  fetch(`${from.url}/v1/turn/keys/${id}/credentials/${call}`, {
    method: 'POST', headers: { ...json, ...(key !== null && { authorization: `Bearer ${key}` }) }, body: JSON.stringify({ ttl: 600 }), ...init,
  });
const tokens = (from, { sid = SID, key = KEY, body = '', ...init } = {}) =>
  fetch(`${from.url}/2010-04-01/Accounts/${sid}/Tokens.json`, {
    method: 'POST',
    headers: { 'content-type': 'application/x-www-form-urlencoded', ...(key !== null && { authorization: basic(sid, key) }) },
    body, ...init,
  });
const create = (from, { query = `?secretKey=${KEY}`, ...init } = {}) =>
  fetch(`${from.url}/api/v1/turn/credential${query}`, { method: 'POST', headers: json, body: JSON.stringify({ expiryInSeconds: 600 }), ...init });
const list = (from, query, init) => fetch(`${from.url}/api/v1/turn/credentials${query}`, init);
const xirsys = (from, { channel = 'MyFirstApp', key = KEY, ...init } = {}) =>
  fetch(`${from.url}/_turn/${channel}`, { method: 'PUT', headers: key === null ? {} : { authorization: basic('ident', key) }, ...init });
const CALLS = [cloudflare, (from, init) => cloudflare(from, { call: 'generate', ...init }), tokens, create, (from, init) => list(from, `?apiKey=${KEY}`, init), xirsys];

describe('Cloudflare', () => {
  test('the list of servers is what RTCPeerConnection takes', async () => {
    const response = await cloudflare(server, { id: '82a58d0aeabfa8f4a4e0c4a9efc9cda5' });
    assert.deepEqual([response.status, response.headers.get('cache-control')], [201, 'no-store']);
    const { iceServers } = await response.json();
    assert.equal(iceServers.length, 2);
    await assertRelays(iceServers, { name: '82a58d0aeabfa8f4a4e0c4a9efc9cda5', ttl: 600 });
  });

  test('the older call has one server', async () => {
    const { iceServers } = await (await cloudflare(server, { call: 'generate', body: JSON.stringify({ ttl: '600', customIdentifier: 'user4523958' }) })).json();
    await assertRelays([iceServers], { name: 'user4523958', ttl: 600 });
  });

  test('a ttl that is missing or huge is the longest', async () => {
    for (const body of ['', '{}', JSON.stringify({ ttl: 172_800 }), '{"ttl":99999999999999999999999}']) {
      const { iceServers } = await (await cloudflare(server, { body })).json();
      const left = Number(iceServers[1].username.split(':')[0]) - Date.now() / 1000;
      assert.ok(left <= LONGEST + 1 && left > LONGEST - 60, `${left} after ${body}`);
    }
  });

  test('refusals have a code and a description', async () => {
    for (const [init, status, code] of [
      [{ key: null }, 401, 'unauthorized'], [{ key: 'wrong' }, 401, 'unauthorized'], [{ body: '{"ttl":0}' }, 400, 'invalid_ttl'],
      [{ body: '{"ttl":"x"}' }, 400, 'invalid_ttl'], [{ body: '[]' }, 400, 'invalid_request'], [{ body: '{"customIdentifier":1}' }, 400, 'invalid_request'],
      [{ id: 'x'.repeat(129) }, 400, 'invalid_request'], [{ id: '%0A' }, 400, 'invalid_request'], [{ id: '%FF' }, 400, 'invalid_request'],
      [{ body: JSON.stringify({ ttl: 1, pad: 'x'.repeat(9000) }) }, 413, 'invalid_request'],
    ]) {
      const body = await refused(await cloudflare(server, init), status);
      assert.equal(body.errorCode, code, JSON.stringify(init).slice(0, 100));
      assert.ok(body.errorDescription.length > 5);
    }
    assert.equal((await cloudflare(server, { key: null })).headers.get('www-authenticate'), 'Bearer');
    // The id has to be a name even where another one replaces it.
    await refused(await cloudflare(server, { id: 'x'.repeat(129), body: JSON.stringify({ customIdentifier: 'user-1' }) }), 400);
  });

  test('a revocation is refused, and not answered like one of credentials that are gone', async () => {
    const { iceServers } = await (await cloudflare(server)).json();
    await refused(await cloudflare(server, { call: `${iceServers[1].username}/revoke` }), 501);
  });
});

describe("Twilio's library", () => {
  // The line that an application changes is that of the address.
  const client = (key = KEY) => {
    const made = twilio(SID, key, { ca });
    made.api.baseUrl = `https://127.0.0.1:${server.httpsPort}`;
    return made;
  };

  test('gets a token, whose servers relay', async () => {
    const token = await client().tokens.create({ ttl: 600 });
    assert.deepEqual([token.accountSid, token.ttl], [SID, '600']);
    assert.ok(Math.abs(token.dateCreated - Date.now()) < 600_000 && token.dateUpdated.getTime() === token.dateCreated.getTime());
    assert.ok(token.iceServers.every(({ url, urls }) => url === urls));
    assert.ok(token.iceServers.every(({ username = token.username, credential = token.password }) => username === token.username && credential === token.password));
    await assertRelays(token.iceServers, { name: SID, ttl: 600 });
  });

  test('gets the longest ttl where it asks for none or a longer one', async () => {
    for (const options of [undefined, { ttl: 86_400 }]) assert.equal((await client().tokens.create(options)).ttl, String(LONGEST));
  });

  test('uses the sid of a key with its secret', async () => {
    const made = twilio('SK0123456789abcdef0123456789abcdef', KEY, { ca, accountSid: SID });
    made.api.baseUrl = `https://127.0.0.1:${server.httpsPort}`;
    assert.equal((await made.tokens.create()).accountSid, SID);
  });

  test('reports refusals with their numbers', async () => {
    await assert.rejects(client('wrong').tokens.create(), { status: 401, code: 20003, moreInfo: 'https://www.twilio.com/docs/errors/20003' });
    for (const ttl of [0, -1, 'x', 1.5]) await assert.rejects(client().tokens.create({ ttl }), { status: 400, code: 30012 }, String(ttl));
  });

  test('other refusals have the same form', async () => {
    for (const [init, status, code] of [[{ key: null }, 401, 20003], [{ sid: 'x'.repeat(129) }, 400, 20400], [{ body: `Ttl=1&pad=${'x'.repeat(9000)}` }, 413, 20413]]) {
      const body = await refused(await tokens(server, init), status);
      assert.deepEqual([body.code, body.status, typeof body.message], [code, status, 'string']);
    }
    assert.match((await tokens(server, { key: null })).headers.get('www-authenticate'), /^Basic realm=/);
  });
});

describe('Metered', () => {
  test('a server creates credentials, and a page gets the servers with their key', async () => {
    const response = await create(server, { body: JSON.stringify({ expiryInSeconds: 600, label: 'kiosk-7' }) });
    assert.deepEqual([response.status, response.headers.get('cache-control')], [200, 'no-store']);
    const made = await response.json();
    assert.deepEqual([made.expiryInSeconds, made.label], [600, 'kiosk-7']);
    assert.ok(!JSON.stringify(made).includes(KEY) && !Buffer.from(made.apiKey, 'base64url').toString().includes(KEY), 'a page sees no key of the server');
    // Applications put it into the URL as it is.
    const listed = await list(server, `?apiKey=${made.apiKey}`, { headers: { origin: 'https://front.example.org' } });
    assert.deepEqual([listed.status, listed.headers.get('access-control-allow-origin')], [200, 'https://front.example.org']);
    const iceServers = await listed.json();
    assert.ok(iceServers.slice(1).every(({ username, credential }) => username === made.username && credential === made.password));
    await assertRelays(iceServers, { name: 'kiosk-7', ttl: 600 });
  });

  test('an API key gives the list new credentials', async () => {
    await assertRelays(await (await list(server, `?apiKey=${KEY}&region=europe`)).json(), { name: 'metered' });
  });

  test('without a body, or with an expiry of 0, credentials have the longest life', async () => {
    for (const init of [{ body: undefined, headers: {} }, { body: '{"expiryInSeconds":0}' }, { body: '{"expiryInSeconds":99999999}' }]) {
      const made = await (await create(server, init)).json();
      assert.equal(made.expiryInSeconds, LONGEST);
      assert.ok(!('label' in made));
    }
  });

  test('refusals have the documented texts and statuses', async () => {
    assert.deepEqual(await refused(await list(server, ''), 400), { error: 'Please specify API Key' });
    assert.deepEqual(await refused(await list(server, '?apiKey=wrong'), 401), { error: 'Invalid API Key' });
    assert.deepEqual(await refused(await create(server, { query: '' }), 400), { message: 'Please specify secret key' });
    assert.deepEqual(await refused(await create(server, { query: '?secretKey=wrong' }), 401), { message: 'Invalid secret key' });
    const expiry = { message: 'please enter a positive integer value for expiryInSeconds' };
    for (const value of [-1, 'x', 1.5, true]) assert.deepEqual(await refused(await create(server, { body: JSON.stringify({ expiryInSeconds: value }) }), 400), expiry);
    await refused(await create(server, { body: 'label=x' }), 400);
    await refused(await list(server, `?apiKey=${'x'.repeat(5000)}`), 413);
    await refused(await create(server, { query: `?secretKey=${KEY}&pad=${'x'.repeat(5000)}` }), 413);
    await refused(await create(server, { body: JSON.stringify({ label: 'x'.repeat(129) }) }), 400);
  });

  test('a key of credentials that is changed in any part is unknown', async () => {
    const { apiKey } = await (await create(server)).json();
    const [username, password] = Buffer.from(apiKey, 'base64url').toString().split('\n');
    const [expiry, name] = username.split(':');
    for (const [user, secret] of [[`${Number(expiry) + 60}:${name}`, password], [`${expiry}:alice`, password], [username, `${password.slice(1)}A`], ['1:metered', password]]) {
      const other = Buffer.from(`${user}\n${secret}`).toString('base64url');
      assert.deepEqual(await refused(await list(server, `?apiKey=${other}`), 401), { error: 'Invalid API Key' });
    }
  });

  test('keys of credentials are guesses only where the secret that signs them can be guessed', async () => {
    const signed = Buffer.from('4000000000:metered\nAAAAAAAAAAAAAAAAAAAAAAAAAAA=').toString('base64url');
    const settings = { CASTWAY_API_KEYS: KEY, CASTWAY_PROVIDER_APIS: 'metered' };
    for (const [more, guesses, right] of [[{}, 0, 200], [{ CASTWAY_STATIC_AUTH_SECRET: 'north' }, 20, 429]]) {
      await withServer({ ...settings, ...more }, async (other) => {
        const { apiKey } = await (await create(other)).json();
        for (let i = 0; i < 20; i += 1) await refused(await list(other, `?apiKey=${signed}`), 401);
        assert.equal(await other.metric('castway_wrong_total{kind="api_key"}'), guesses);
        assert.equal((await list(other, `?apiKey=${apiKey}`)).status, right);
      });
    }
  });

  test('credentials are neither deleted nor disabled', async () => {
    await refused(await create(server, { method: 'DELETE' }), 501);
    const disable = await fetch(`${server.url}/api/v1/turn/credential/disable?secretKey=${KEY}`, { method: 'POST', headers: json, body: '{"username":"x"}' });
    assert.match((await refused(disable, 501)).message, /can't be revoked/);
  });
});

describe('Xirsys', () => {
  test('the sample of its dashboard', async () => {
    const body = JSON.stringify({ format: 'urls', expire: '600' });
    const call = request({
      host: '127.0.0.1', port: server.httpsPort, path: '/_turn/MyFirstApp', method: 'PUT', ca,
      headers: { authorization: basic('ident', KEY), ...json, 'content-length': body.length },
    });
    call.end(body);
    const [response] = await once(call, 'response');
    const reply = JSON.parse(Buffer.concat(await response.toArray()).toString());
    assert.deepEqual([response.statusCode, response.headers['cache-control'], reply.s], [200, 'no-store', 'ok']);
    assert.deepEqual(Object.keys(reply.v.iceServers).sort(), ['credential', 'urls', 'username']);
    await assertRelays([reply.v.iceServers], { name: 'MyFirstApp', ttl: 600 });
  });

  test('without a format the servers are a list, for old and for new browsers', async () => {
    const reply = await (await xirsys(server, { channel: 'my/own/path?webrtc=1&expire=600' })).json();
    assert.equal(reply.s, 'ok');
    assert.ok(reply.v.iceServers.every(({ url, urls }) => url === urls));
    await assertRelays(reply.v.iceServers, { name: 'my/own/path', ttl: 600 });
  });

  test('a slash at the end and escapes are no part of the name', async () => {
    for (const [channel, name] of [['my/path/', 'my/path'], ['my%2Fpath', 'my/path'], ['a%20b', 'a b']]) {
      const { v } = await (await xirsys(server, { channel })).json();
      assert.match(v.iceServers[1].username, new RegExp(`^\\d{10}:${name}$`));
    }
  });

  test('refusals are marked as errors', async () => {
    for (const [init, status] of [
      [{ key: null }, 401], [{ key: 'wrong' }, 401], [{ body: 'sdsd' }, 400], [{ body: '{"expire":"x"}' }, 400], [{ channel: 'x?expire=0' }, 400],
      [{ channel: 'x'.repeat(129) }, 400], [{ body: 'x'.repeat(9000) }, 413],
    ]) {
      const body = await refused(await xirsys(server, init), status);
      assert.deepEqual([body.s, typeof body.v], ['error', 'string']);
    }
  });

  test('a page of another origin may call it', async () => {
    const origin = 'https://front.example.org';
    const asks = { origin, 'access-control-request-method': 'PUT', 'access-control-request-headers': 'authorization,content-type' };
    const allows = await fetch(`${server.url}/_turn/MyFirstApp`, { method: 'OPTIONS', headers: asks });
    assert.ok(allows.ok && allows.headers.get('access-control-allow-methods').split(',').includes('PUT'));
    assert.equal(allows.headers.get('access-control-allow-origin'), origin);
    assert.match(allows.headers.get('access-control-allow-headers'), /authorization/);
  });
});

describe('docs/providers.md', () => {
  const commands = blocks('docs/providers.md').filter(({ language }) => language === 'sh').map(({ text }) => text);

  test('has a command for each provider', () => {
    for (const path of ['/v1/turn/keys/', '/2010-04-01/', '/api/v1/turn/credential?', '/api/v1/turn/credentials?', '/_turn/']) {
      assert.ok(commands.some((command) => command.includes(`$CASTWAY${path}`)), path);
    }
  });

  for (const [i, command] of commands.entries()) {
    test(`command ${i + 1} prints credentials that relay`, async () => {
      const line = `export CASTWAY='https://127.0.0.1:${server.httpsPort}' KEY='${KEY}' CURL_CA_BUNDLE='${authority.ca}'\n${command}`;
      const { code, output } = await run('sh', ['-e', '-c', line]);
      assert.equal(code, 0, output);
      const body = JSON.parse(output);
      const given = body.iceServers ?? body.ice_servers ?? body.v?.iceServers ?? (Array.isArray(body) ? body : null);
      if (!given) {
        assert.equal(typeof body.apiKey, 'string');
        return;
      }
      const [{ username }] = [given].flat().filter((entry) => entry.username);
      await assertRelays([given].flat(), { name: username.split(':')[1], ttl: body.iceServers || body.ice_servers || body.v ? 3600 : LONGEST });
    });
  }
});

describe('all of them', () => {
  test('are known only where the setting names them', () =>
    withServer({ CASTWAY_API_KEYS: KEY }, async (other) => {
      for (const call of CALLS) {
        const response = await call(other);
        assert.ok([404, 405].includes(response.status), `${response.url} ${response.status}`);
        assert.ok(!(await response.text()).includes('credential'));
      }
    }));

  test('are known one by one', () =>
    withServer({ CASTWAY_API_KEYS: KEY, CASTWAY_PROVIDER_APIS: 'twilio, xirsys' }, async (other) => {
      const statuses = await Promise.all(CALLS.map(async (call) => (await call(other)).status));
      assert.deepEqual(statuses.map((status) => status < 300), [false, false, true, false, false, true]);
    }));

  test('have one method each', async () => {
    for (const [path, methods] of [
      ['/v1/turn/keys/x/credentials/generate-ice-servers', ['GET', 'HEAD', 'PUT', 'DELETE']], ['/v1/turn/keys/x/credentials/generate', ['GET', 'PUT']],
      [`/2010-04-01/Accounts/${SID}/Tokens.json`, ['GET', 'PUT', 'DELETE']], ['/api/v1/turn/credentials', ['POST', 'PUT', 'DELETE']],
      ['/api/v1/turn/credential', ['GET', 'PUT']], ['/_turn/my/path', ['GET', 'HEAD', 'POST', 'DELETE']],
    ]) {
      for (const method of methods) {
        const response = await fetch(`${server.url}${path}`, { method, headers: { authorization: `Bearer ${KEY}` } });
        assert.equal(response.status, 405, `${method} ${path}`);
        assert.ok(response.headers.get('allow'), `${method} ${path}`);
      }
    }
    const head = await list(server, `?apiKey=${KEY}`, { method: 'HEAD' });
    assert.deepEqual([head.status, await head.text()], [200, '']);
  });

  test('keep the traffic under the name, and refuse a name that gets no credentials', async () => {
    await server.addUser('kiosk');
    assert.equal((await server.cli(['user', 'disable', 'kiosk'])).code, 0);
    await until('kiosk is refused', async () => (await cloudflare(server, { id: 'kiosk' })).status, (status) => status === 403);
    assert.equal((await refused(await tokens(server, { sid: 'kiosk' }), 403)).code, 20403);
    await refused(await create(server, { body: '{"label":"kiosk"}' }), 403);
    assert.equal((await refused(await xirsys(server, { channel: 'kiosk' }), 403)).s, 'error');
    assert.equal((await server.cli(['block', 'user:customer-9'])).code, 0);
    await until('customer-9 is refused', async () => (await cloudflare(server, { id: 'customer-9' })).status, (status) => status === 403);
    const rows = async () => (await (await fetch(`${server.url}/api/usage?months=1`, { headers: { authorization: `Bearer ${KEY}` } })).json()).rows;
    await until('the traffic is counted', rows, (seen) => {
      const names = new Map(seen.map(({ name, bytes, scope }) => [name, scope === 'anyone' && bytes]));
      return ['user4523958', SID, 'kiosk-7', 'my/own/path'].every((name) => names.get(name) > 0);
    });
  });

  test('share the rate limit of /turn, and count wrong keys', () =>
    withServer({ CASTWAY_API_KEYS: KEY, CASTWAY_PROVIDER_APIS: ALL, CASTWAY_CREDENTIALS_RATE: '5' }, async (other) => {
      const wrong = await Promise.all(Array.from({ length: 5 }, () => cloudflare(other, { key: 'wrong' })));
      assert.deepEqual(wrong.map(({ status }) => status), Array(5).fill(401));
      assert.equal(await other.metric('castway_wrong_total{kind="api_key"}'), 5);
      for (const call of CALLS) {
        const response = await call(other);
        assert.ok(Number(response.headers.get('retry-after')) > 0, `${response.url} ${response.status}`);
        await refused(response, 429);
      }
    }));

  test('are refused without TLS where clients trust the certificate, and are under the path of the public URL', () =>
    withServer({ ...authority.settings, CASTWAY_API_KEYS: KEY, CASTWAY_PROVIDER_APIS: ALL, CASTWAY_PUBLIC_URL: `https://${NAME}/relay` }, async (other) => {
      const path = `/relay/v1/turn/keys/x/credentials/generate-ice-servers`;
      const { status, body } = await rawGet(`${other.url}${path}`, { host: NAME, authorization: `Bearer ${KEY}` }, 'POST');
      assert.deepEqual([status, JSON.parse(body).error], [308, 'HttpsRequired']);
      const under = { url: `${other.url}/relay` };
      for (const call of CALLS) assert.ok((await call(under)).ok);
    }));

  test('leave no key in the log', () => {
    assert.deepEqual(server.logged(new RegExp(KEY)), []);
  });
});
