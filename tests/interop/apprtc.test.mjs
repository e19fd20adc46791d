// AppRTC's clients with the room server and Collider together: each client as caller and as callee.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Android, Android2015, Channel, Ios, Ios2015, Web, checkIce, checkTurn, plain } from './support/apprtc.mjs';
import { startServer } from './support/server.mjs';
import { until } from './support/wait.mjs';

const GENEROUS = { CASTWAY_CALL_RATE: '100000', CASTWAY_ICE_RATE: '100000' };
const offer = (n = 1) => ({ type: 'offer', sdp: `v=0\r\no=- ${n} 2 IN IP4 127.0.0.1\r\n… ü 漢\r\n` });
const answer = { type: 'answer', sdp: 'v=0\r\n' };
const candidate = (n) => ({ type: 'candidate', label: 0, id: 'audio', candidate: `candidate:${n} 1 udp 1 192.0.2.1 9 typ host` });

let rooms = 0;
const room = () => `room-${process.pid}_${(rooms += 1)}`;

describe('a call', () => {
  let server;
  before(async () => {
    server = await startServer(GENEROUS);
  });
  after(() => server?.close());

  for (const Caller of [Android, Ios, Web, Android2015, Ios2015]) {
    for (const Callee of [Android, Ios, Web, Android2015, Ios2015]) {
      test(`from ${Caller.name} to ${Callee.name}, hung up, and taken by another one`, async () => {
        const name = room();
        const [caller, callee, third, next] = [Caller, Callee, Web, Caller].map((Client) => new Client(server.url));
        assert.ok(await caller.join(name));
        assert.ok(caller.initiator && caller.inbox.length === 0);
        for (const message of [offer(), candidate(1), candidate(2)]) await caller.send(message);

        assert.ok(await callee.join(name));
        assert.equal(callee.initiator, false);
        assert.deepEqual(await callee.hear('offer'), offer(), 'as it was sent');
        assert.deepEqual([await callee.hear('candidate'), await callee.hear('candidate')], [candidate(1), candidate(2)]);
        await callee.send(answer);
        await callee.send(candidate(3));
        assert.deepEqual(await caller.hear('answer'), answer);
        await caller.hear('candidate');
        await caller.send(candidate(4));
        await callee.hear('candidate');

        assert.equal(await third.join(name), false);
        assert.deepEqual([third.result, third.params], ['FULL', { messages: [] }]);

        await caller.hangUp();
        await callee.hear('bye');
        await callee.send(offer(2));
        assert.ok(await next.join(name));
        assert.equal(next.initiator, false);
        assert.deepEqual(await next.hear('offer'), offer(2));
        await next.send(answer);
        await callee.hear('answer');
        await callee.hangUp();
        await next.hear('bye');
        await next.hangUp();
        assert.ok(await third.join(name));
        assert.ok(third.initiator, 'the last one out deletes the room');
        // The DELETE must not arrive before the registration, or it would end nothing.
        await third.channel.settled();
        await third.hangUp();
      });
    }
  }

  test('an iOS callee that posts before it has registered', async () => {
    const name = room();
    const [caller, callee] = [new Android(server.url), new Ios(server.url)];
    await caller.join(name);
    await caller.channel.settled();
    callee.took(await callee.post(`/join/${name}`));
    await callee.sendEarly(candidate(1));
    assert.deepEqual(await caller.hear('candidate'), candidate(1));
    caller.vanish();
  });

  test('a force-closed app does not hold its place for ever', async () => {
    const name = room();
    const [caller, callee, next] = [new Web(server.url), new Android(server.url), new Android(server.url)];
    await caller.join(name);
    await callee.join(name);
    await callee.channel.settled();
    callee.vanish();
    assert.equal(await next.join(name), false, 'not at once: it may come back');
    await until('its place is free', () => next.join(name));
    await caller.hear('bye');
    await caller.send(offer(2));
    assert.deepEqual(await next.hear('offer'), offer(2));
  });

  test('ICE servers by GET and by POST, with credentials of a day that name nobody', async () => {
    for (const method of ['GET', 'POST']) {
      const reply = await plain(`${server.url}/v1alpha/iceconfig?key=`, { method, headers: { origin: 'https://any.example' } });
      assert.equal(reply.status, 200);
      assert.match(reply.headers['content-type'], /^application\/json/);
      assert.ok(['*', 'https://any.example'].includes(reply.headers['access-control-allow-origin']));
      const body = JSON.parse(reply.body);
      assert.deepEqual([body.lifetimeDuration, body.blockStatus, body.iceTransportPolicy], ['86400s', 'NOT_BLOCKED', 'all']);
      const [stun, turn] = checkIce(reply.body);
      assert.deepEqual(stun.urls, [`stun:127.0.0.1:${server.turnPort}`]);
      assert.ok(turn.urls.includes(`turn:127.0.0.1:${server.turnPort}?transport=udp`));
      assert.match(turn.username, /^\d{10}:call-[0-9a-f]{16}$/);
      const ahead = Number(turn.username.split(':')[0]) - Date.now() / 1000;
      assert.ok(Math.abs(ahead - 86_400) < 30, `${ahead}`);
    }
    assert.equal((await plain(`${server.url}/v1alpha/iceconfig`, { method: 'PUT' })).status, 405);
  });

  test('TURN servers for the clients of 2014 to 2016, by GET and by POST', async () => {
    const { turn_url: url } = JSON.parse((await plain(`${server.url}/params`)).body);
    const names = new Set();
    for (const method of ['GET', 'POST']) {
      // The web client and the iOS app send this Origin; the Chrome app sends a POST so that it has one at all.
      const reply = await plain(url, { method, headers: { origin: 'https://apprtc.appspot.com' } });
      assert.deepEqual([reply.status, reply.headers['cache-control']], [200, 'no-store']);
      assert.ok(['*', 'https://apprtc.appspot.com'].includes(reply.headers['access-control-allow-origin']));
      const [first] = checkTurn(reply.body);
      assert.equal(first.urls, `turn:127.0.0.1:${server.turnPort}?transport=udp`);
      assert.match(first.username, /^\d{10}:call-[0-9a-f]{16}$/);
      assert.equal(JSON.parse(reply.body).ttl, 86_400);
      names.add(first.username);
    }
    assert.equal(names.size, 2, 'quotas are per user');
    assert.equal((await plain(url, { method: 'PUT' })).status, 405);
  });

  // The original's web client filters like this by `ice_server_transports`.
  const filtered = (servers, transport) =>
    servers
      .map(({ urls }) => urls.filter((url) => url.includes(`transport=${transport}`) || !url.includes('?transport=')))
      .map((urls) => urls.map((url) => (url.includes(`transport=${transport}`) ? url : `${url}?transport=${transport}`)));

  for (const [transport, expected] of [['udp', 1], ['tcp', 1], ['tls', 0], ['TCP', 0], ['a&b', 0]]) {
    test(`tt=${transport} leaves what the web client may use`, async () => {
      const query = new URLSearchParams({ tt: transport, unknown: 'x' });
      const params = JSON.parse((await plain(`${server.url}/params?${query}`)).body);
      assert.equal(params.ice_server_transports, transport);
      for (const method of ['GET', 'POST']) {
        const servers = checkIce((await plain(params.ice_server_url, { method })).body);
        const urls = filtered(servers, transport).flat();
        assert.equal(urls.length, expected);
        assert.deepEqual(urls, servers.flatMap((server) => server.urls), 'it has nothing to add and nothing to leave out');
        for (const url of urls) assert.match(url, /^turns?:[^?]+\?transport=(udp|tcp)$/);
        const { uris } = JSON.parse((await plain(params.turn_url, { method })).body);
        assert.deepEqual(uris, urls, 'for old clients, too');
      }
    });
  }
});

describe('the room server', () => {
  let server;
  before(async () => {
    server = await startServer(GENEROUS);
  });
  after(() => server?.close());
  const post = (path, body) => plain(`${server.url}${path}`, { method: 'POST', body });

  test('the checklist of its own tests', async () => {
    const name = room();
    const first = JSON.parse((await post(`/join/${name}`)).body);
    assert.equal(first.result, 'SUCCESS');
    assert.equal(first.params.is_initiator, 'true');
    assert.deepEqual([first.params.error_messages, first.params.warning_messages, first.params.messages], [[], [], []]);
    assert.match(first.params.client_id, /^\d{8}$/);
    const caller = first.params.client_id;
    for (const message of ['1', '2', '3']) {
      assert.deepEqual(JSON.parse((await post(`/message/${name}/${caller}`, message)).body), { result: 'SUCCESS' });
    }
    const second = JSON.parse((await post(`/join/${name}`)).body);
    assert.equal(second.params.is_initiator, 'false');
    assert.deepEqual(second.params.messages, ['1', '2', '3']);
    const third = await post(`/join/${name}`);
    assert.equal(third.status, 200);
    assert.deepEqual(JSON.parse(third.body), { result: 'FULL', params: { messages: [] } });
    for (const client of [caller, second.params.client_id]) {
      const left = await post(`/leave/${name}/${client}`);
      assert.deepEqual([left.status, left.body], [200, '']);
    }
    assert.equal(JSON.parse((await post(`/join/${name}`)).body).params.is_initiator, 'true');
  });

  test('answers are JSON that nobody caches', async () => {
    for (const reply of [await post(`/join/${room()}`), await plain(`${server.url}/params`), await post('/message/none/1', 'x')]) {
      assert.match(reply.headers['content-type'], /^application\/json/);
      assert.equal(reply.headers['cache-control'], 'no-cache');
    }
  });

  test('unknown rooms and clients, by message, leave and bye', async () => {
    const name = room();
    assert.deepEqual(JSON.parse((await post(`/message/${name}/1`, 'x')).body), { result: 'UNKNOWN_ROOM' });
    const { params } = JSON.parse((await post(`/join/${name}`)).body);
    assert.deepEqual(JSON.parse((await post(`/message/${name}/1`, 'x')).body), { result: 'UNKNOWN_CLIENT' });
    for (const path of [`/leave/${name}/1`, `/leave/nowhere/1`, `/bye/nowhere/1`, `/bye/${name}/${params.client_id}`]) {
      const left = await post(path);
      assert.deepEqual([left.status, left.body], [200, ''], path);
    }
    assert.deepEqual(JSON.parse((await post(`/message/${name}/1`, 'x')).body), { result: 'UNKNOWN_ROOM' }, 'bye is a leave');
  });

  test('a wrong method is 405 with Allow, an unknown path or a bad id 404', async () => {
    for (const path of ['/join/r', '/message/r/1', '/leave/r/1', '/bye/r/1', '/a/']) {
      const reply = await plain(`${server.url}${path}`);
      assert.equal(reply.status, 405, path);
      assert.equal(reply.headers.allow, 'POST', path);
    }
    for (const path of ['/params', '/r']) {
      const reply = await post(path);
      assert.equal(reply.status, 405, path);
      assert.match(reply.headers.allow, /GET/, path);
    }
    for (const path of ['/join/a.b', '/join/a%20b', '/join', '/join/r/1', '/message/r/a.b', '/leave/r/1/2']) {
      assert.equal((await post(path, 'x')).status, 404, path);
    }
    for (const path of ['/r/a.b', '/r/a/b', '/nothing', '/no/thing']) {
      assert.equal((await plain(`${server.url}${path}`)).status, 404, path);
    }
  });

  // The original answers such paths with 404.
  test('slashes too many are taken for one', async () => {
    for (const path of ['//params', '/params/', '/healthz/', '//api/info/', '//v1alpha/iceconfig/?key=', '/v1alpha//turn/', '/r/room/', '//r/room', '/r//room?hd=true', '/status']) {
      assert.equal((await plain(`${server.url}${path}`)).status, 200, path);
    }
    assert.equal((await plain(`${server.url}/turn/`)).status, 400, 'as without');
    const name = room();
    const joined = JSON.parse((await post(`//join/${name}/?hd=true`)).body);
    assert.equal(joined.result, 'SUCCESS');
    assert.equal(joined.params.room_link, `${server.url}/r/${name}?hd=true`);
    const member = `${name}/${joined.params.client_id}`;
    assert.deepEqual(JSON.parse((await post(`//message/${member}/`, 'said')).body), { result: 'SUCCESS' });
    assert.deepEqual(JSON.parse((await post(`/join/${name}/`)).body).params.messages, ['said']);
    assert.equal((await post(`//leave//${member}//`)).status, 200);
    assert.equal(JSON.parse((await post(`/join//${name}`)).body).result, 'SUCCESS', 'there is a place again');
  });

  // The original's page contains `roomId: 'NAME'`.
  test("a room's page carries that room's name, also of a full one, and is no other room's in a cache", async () => {
    const name = room();
    const page = () => plain(`${server.url}/r/${name}`);
    const first = await page();
    assert.ok(first.body.includes(`href="/r/${name}"`));
    assert.match(first.headers['content-security-policy'], /default-src 'none'/);
    assert.equal(first.headers['cache-control'], 'no-cache');
    const headers = { 'if-none-match': first.headers.etag };
    assert.equal((await plain(`${server.url}/r/${name}`, { headers })).status, 304);
    assert.equal((await plain(`${server.url}/r/${name}x`, { headers })).status, 200);
    for (let n = 0; n < 2; n += 1) await post(`/join/${name}`);
    assert.equal(JSON.parse((await post(`/join/${name}`)).body).result, 'FULL');
    assert.deepEqual([(await page()).status, (await page()).body], [200, first.body]);
    assert.ok(!(await plain(`${server.url}/r`)).body.includes('/r/room'));
  });

  // src/apprtc/params_observed.json has the original's answers to these requests and to many more.
  test('parameters go by the query and by the browser', async () => {
    const chrome = 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36';
    const ask = async (query, agent) => {
      const headers = agent ? { 'user-agent': agent } : {};
      const of = JSON.parse((await plain(`${server.url}/params?${query}`, { headers })).body);
      const joined = JSON.parse((await plain(`${server.url}/join/${room()}?${query}`, { method: 'POST', headers })).body).params;
      for (const [key, value] of Object.entries(of)) assert.deepEqual(joined[key], value, key);
      return { ...of, media: JSON.parse(of.media_constraints) };
    };
    const hd = { audio: true, video: { mandatory: {}, optional: [{ minWidth: '1280' }, { minHeight: '720' }] } };
    assert.deepEqual((await ask('', chrome)).media, hd);
    assert.deepEqual((await ask('', `${chrome} \u00fc`)).media, hd);
    for (const agent of [undefined, chrome.replace('X11; Linux x86_64', 'Linux; Android 10; K'), chrome.replace('Chrome', 'Firefox')]) {
      assert.deepEqual((await ask('', agent)).media, { audio: true, video: true }, agent);
    }
    assert.deepEqual((await ask('hd=false', chrome)).media, { audio: true, video: true });
    assert.deepEqual((await ask('video=false&firefox_fake_device=1', chrome)).media, { audio: true, video: false, fake: true });
    const loopback = await ask('debug=loopback&dtls=true', chrome);
    assert.deepEqual(JSON.parse(loopback.pc_constraints), { optional: [{ DtlsSrtpKeyAgreement: false }] });
    assert.equal(loopback.include_loopback_js, '<script src="/js/loopback.js"></script>');
    assert.deepEqual((await ask('minre=1')).warning_messages, ['The "minre" and "maxre" parameters are no longer supported. Use "video" instead.']);
    assert.match((await ask('wstls=true')).wss_url, /^wss:/);
  });

  test("no name of a route or a file is taken from Collider's rooms", async () => {
    const names = ['a', 'api', 'assets', 'bye', 'cast', 'css', 'healthz', 'images', 'join', 'js', 'leave', 'message', 'metrics', 'params', 'r', 'readyz', 'robots.txt', 'room', 'socket.io', 'socket.io-2', 'status', 'turn', 'tv', 'v1alpha', 'ws', '.well-known'];
    for (const name of names) {
      const url = `${server.url}/${name}/12345678`;
      const [posted, gone] = [await plain(url, { method: 'POST', body: 'x' }), await plain(url, { method: 'DELETE' })];
      const asked = { origin: 'https://app.example', 'access-control-request-method': 'DELETE' };
      const preflight = await plain(url, { method: 'OPTIONS', headers: asked });
      assert.deepEqual([gone.status, gone.body], [200, 'OK\n'], name);
      assert.equal(preflight.status, 200, name);
      assert.match(preflight.headers['access-control-allow-methods'], /\bDELETE\b/, name);
      assert.equal(preflight.headers['access-control-allow-origin'], 'https://app.example', name);
      // This path belongs to the room server, whose room is 12345678.
      if (name === 'join') assert.equal(JSON.parse(posted.body).result, 'SUCCESS');
      else assert.deepEqual([posted.status, posted.body], [200, 'OK\n'], name);
    }
    for (const method of ['POST', 'DELETE']) {
      const engine = await plain(`${server.url}/socket.io/x?EIO=4&transport=polling&sid=none`, { method, body: method === 'POST' ? '40' : '' });
      assert.notEqual(engine.status, 200, `${method}: what names Engine.IO is Socket.IO's`);
      assert.notEqual((await plain(`${server.url}/socket.io/`, { method, body: '' })).status, 200, `${method}: and so is its very path`);
    }
    const { body } = await post('/status');
    assert.deepEqual(Object.keys(JSON.parse(body)).sort(), ['httperrors', 'openws', 'totalws', 'upsec', 'wserrors']);
  });

  test("Collider's paths shadow no route", async () => {
    for (const path of ['/', '/tv', '/cast', '/r', '/robots.txt', '/healthz']) {
      assert.equal((await plain(`${server.url}${path}`)).status, 200, path);
    }
    const page = (await plain(`${server.url}/tv`)).body;
    const asset = /\/assets\/[\w.-]+/.exec(page)[0];
    assert.equal((await plain(`${server.url}${asset}`)).status, 200, 'two segments, as ROOM and CLIENT are');
  });

  test('the call page is there for any room, also a full one', async () => {
    const name = room();
    await post(`/join/${name}`);
    await post(`/join/${name}`);
    for (const path of ['/r', `/r/${name}`, `/r/${name}?hd=true`]) {
      const reply = await plain(`${server.url}${path}`);
      assert.equal(reply.status, 200);
      assert.match(reply.headers['content-type'], /^text\/html/);
    }
  });

  test('links and URLs are those of the host that the client used', async () => {
    const headers = { host: 'call.example:8443' };
    const { params } = JSON.parse((await plain(`${server.url}/join/${room()}?it=relay`, { method: 'POST', headers })).body);
    assert.match(params.room_link, /^http:\/\/call\.example:8443\/r\/room-\S+\?it=relay$/);
    assert.equal(params.wss_url, 'ws://call.example:8443/ws');
    assert.equal(params.wss_post_url, 'http://call.example:8443');
    assert.equal(params.ice_server_url, 'http://call.example:8443/v1alpha/iceconfig?key=');
  });

  test('a message may be any text, and too large a one is refused with a result', async () => {
    const name = room();
    const caller = JSON.parse((await post(`/join/${name}`)).body).params.client_id;
    const odd = '“ü 漢 \u0000 \u2028 "quoted" \\';
    assert.deepEqual(JSON.parse((await post(`/message/${name}/${caller}`, odd)).body), { result: 'SUCCESS' });
    const large = await post(`/message/${name}/${caller}`, 'x'.repeat(258 * 1024));
    assert.deepEqual([large.status, JSON.parse(large.body)], [200, { result: 'ERROR' }]);
    assert.deepEqual(JSON.parse((await post(`/message/${name}/${caller}`)).body), { result: 'ERROR' }, 'nothing');
    assert.deepEqual(JSON.parse((await post(`/join/${name}`)).body).params.messages, [odd]);
  });

  test('rooms, members and sockets are counted in /metrics', async () => {
    const numbers = async () => {
      const text = (await plain(`${server.url}/metrics`)).body;
      return ['rooms', 'members', 'sockets', 'waiting_bytes'].map((name) => Number(new RegExp(`^castway_call_${name} (\\d+)`, 'm').exec(text)[1]));
    };
    const before = await numbers();
    const client = new Android(server.url);
    await client.join(room());
    await client.channel.settled();
    await client.send(candidate(1));
    const [rooms, members, sockets, bytes] = (await numbers()).map((now, at) => now - before[at]);
    assert.deepEqual([rooms, members, sockets], [1, 1, 1]);
    assert.equal(bytes, JSON.stringify(candidate(1)).length);
    await client.hangUp();
    assert.deepEqual(await numbers(), before);
  });

  test('analytics are taken when well formed', async () => {
    const event = { type: 'event', request_time_ms: 1, event: { event_type: 3, event_time_ms: 1, room_id: 'r' } };
    assert.deepEqual(JSON.parse((await post('/a/', JSON.stringify(event))).body), { result: 'SUCCESS' });
    for (const bad of ['', 'x', '{}', '[]']) {
      assert.deepEqual(JSON.parse((await post('/a/', bad)).body), { result: 'INVALID_REQUEST' });
    }
  });
});

describe('limits', () => {
  test('joins of one address, with the shape that clients parse', async () => {
    const server = await startServer({ CASTWAY_CALL_RATE: '2' });
    try {
      const join = () => plain(`${server.url}/join/${room()}`, { method: 'POST' });
      assert.equal((await join()).status, 200);
      assert.equal((await join()).status, 200);
      const refused = await join();
      assert.equal(refused.status, 429);
      assert.ok(Number(refused.headers['retry-after']) > 0);
      assert.deepEqual(JSON.parse(refused.body), { result: 'ERROR', params: { messages: [] } });
      const posted = await plain(`${server.url}/${room()}/1`, { method: 'POST', body: 'x' });
      assert.equal(posted.status, 500, 'a post that would begin a room counts, too');
    } finally {
      await server.close();
    }
  });

  test('WebSockets of one address', async () => {
    const server = await startServer({ CASTWAY_CALL_SOCKETS: '2' });
    try {
      const url = `${server.url.replace('http', 'ws')}/ws`;
      const [first] = [await Channel.open(url), await Channel.open(url)];
      await assert.rejects(Channel.open(url));
      first.drop();
      (await until('a place is free', () => Channel.open(url).catch(() => null))).drop();
    } finally {
      await server.close();
    }
  });

  test('rooms in all', async () => {
    const server = await startServer({ ...GENEROUS, CASTWAY_MAX_CALLS: '1' });
    try {
      const join = (name) => plain(`${server.url}/join/${name}`, { method: 'POST' });
      assert.equal((await join('one')).status, 200);
      const refused = await join('two');
      assert.deepEqual([refused.status, JSON.parse(refused.body).result], [503, 'ERROR']);
      assert.equal((await join('one')).status, 200);
    } finally {
      await server.close();
    }
  });

  test('ICE servers: a rate and a key of their own', async () => {
    const server = await startServer({ CASTWAY_ICE_ACCESS: 'key', CASTWAY_API_KEYS: 'north,south', CASTWAY_ICE_RATE: '7', CASTWAY_ICE_TTL: '600' });
    try {
      const ask = (query) => plain(`${server.url}/v1alpha/iceconfig${query}`, { method: 'POST' });
      for (const query of ['', '?key=', '?key=west']) assert.equal((await ask(query)).status, 401, query);
      assert.equal((await plain(`${server.url}/v1alpha/turn?key=west`)).status, 401);
      const reply = await ask('?key=south');
      assert.deepEqual([reply.status, JSON.parse(reply.body).lifetimeDuration], [200, '600s']);
      checkIce(reply.body);
      const join = await plain(`${server.url}/join/r?apikey=north`, { method: 'POST' });
      const { params } = JSON.parse(join.body);
      assert.equal((await plain(params.ice_server_url)).status, 200);
      const turn = await plain(params.turn_url);
      assert.deepEqual([turn.status, JSON.parse(turn.body).ttl], [200, 600]);
      // The rate limit allows one more request every 12 s.
      await until('more than the rate', () => ask('?key=south'), ({ status }) => status === 429);
      await until('it is the same rate', () => plain(params.turn_url), ({ status }) => status === 429);
      assert.equal((await plain(`${server.url}/turn?username=nobody`)).status, 200, 'the other route has its own');
    } finally {
      await server.close();
    }
  });
});
