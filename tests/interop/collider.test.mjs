// Collider without the room server, on the main port and on a port of its own: handshakes, errors, close codes, queues, HTTP.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { Channel, plain } from './support/apprtc.mjs';
import { freePort } from './support/ports.mjs';
import { startServer } from './support/server.mjs';
import { TIMEOUT_MS, until, within } from './support/wait.mjs';

let rooms = 0;
const room = () => `room${(rooms += 1)}`;

// Each test has a server of its own; two pings take a minute.
describe('Collider', { concurrency: true }, () => {
  for (const own of [false, true]) {
    describe(own ? 'on a port of its own' : 'on the main port', { concurrency: 1 }, () => {
      let server;
      let base;
      let url;
      before(async () => {
        server = await startServer(async () => ({ CASTWAY_COLLIDER_ADDR: `127.0.0.1:${await freePort()}`, CASTWAY_CALL_RATE: '100000' }));
        base = own ? `http://${server.settings.CASTWAY_COLLIDER_ADDR}` : server.url;
        url = `${base.replace('http', 'ws')}/ws`;
      });
      after(() => server?.close());
      const post = (path, body) => plain(`${base}${path}`, { method: 'POST', body });
      const status = async () => JSON.parse((await plain(`${base}/status`)).body);
      // Waits for so many registered sockets; the server notices a dropped one only after a while.
      const untilOpen = (count) => until(`${count} are open`, async () => (await status()).openws, (open) => open === count);
      const registered = async (name, client) => {
        const channel = await Channel.open(url);
        channel.register(name, client);
        await channel.settled();
        return channel;
      };

      test('any Origin and none, an odd Host, and one subprotocol, which is echoed', async () => {
        for (const origin of [undefined, 'https://www.google.com', 'null', 'not a url']) {
          (await Channel.open(url, { origin })).close();
        }
        const native = { origin: 'https://www.google.com', headers: { Host: 'odd', Upgrade: 'WebSocket' } };
        (await Channel.open(url, native)).close();
        const channel = await Channel.open(url, {}, ['chat']);
        assert.equal(channel.socket.protocol, 'chat');
        channel.close();
      });

      test('a plain GET gets 400', async () => {
        assert.equal((await plain(`${base}/ws`)).status, 400);
      });

      test('no compression, though it is offered', async () => {
        const channel = await Channel.open(url, { perMessageDeflate: true });
        assert.equal(channel.socket.extensions, '');
        channel.close();
      });

      test('text and binary frames, keys in any case, extra keys; a register is silent', async () => {
        const name = room();
        const one = await Channel.open(url);
        one.socket.send(Buffer.from(JSON.stringify({ CMD: 'register', RoomID: name, ClientId: '1', extra: [1] })));
        const two = await registered(name, '2');
        two.send('hi');
        assert.equal(await one.message(), 'hi');
        one.say({ Cmd: 'send', MSG: 'hello' });
        assert.equal(await two.message(), 'hello');
        assert.deepEqual([one.frames, two.frames], [[], []]);
        one.close();
        two.close();
      });

      test('Duplicated register request', async () => {
        const name = room();
        const one = await registered(name, '1');
        one.register(name, '1');
        await one.refused('Duplicated register request');
        const [two, three] = [await registered(name, '2'), await Channel.open(url)];
        three.register(name, '3');
        await three.refused('Max room capacity reached');
        two.close();
      });

      test('Duplicated registration closes the new socket and leaves the old one alone', async () => {
        const name = room();
        const [one, again] = [await registered(name, '1'), await Channel.open(url)];
        again.register(name, '1');
        await again.refused('Duplicated registration');
        assert.equal((await post(`/${name}/2`, 'still there')).status, 200);
        assert.equal(await one.message(), 'still there');
        one.close();
      });

      test('missing fields', async () => {
        for (const command of [{ cmd: 'register' }, { cmd: 'register', roomid: 'r' }, { cmd: 'register', clientid: 'c', roomid: '' }]) {
          const channel = await Channel.open(url);
          channel.say(command);
          await channel.refused("Invalid register request: missing 'clientid' or 'roomid'");
        }
        const stranger = await Channel.open(url);
        stranger.send('x');
        await stranger.refused('Client not registered');
        const one = await registered(room(), '1');
        one.send('said');
        one.say({ cmd: 'send' });
        await one.refused("Invalid send request: missing 'msg'");
      });

      test("Invalid message: unexpected 'cmd' leaves the socket open", async () => {
        const channel = await Channel.open(url);
        await channel.settled();
        channel.register(room(), '1');
        await channel.settled();
        channel.close();
      });

      test('what is no JSON', async () => {
        for (const frame of ['', '{', '[]', '{"cmd":1}']) {
          const channel = await Channel.open(url);
          channel.say(frame);
          const { msg, error } = await channel.next();
          assert.equal(msg, '');
          assert.match(error, /^websocket\.JSON\.Receive error: ./);
          assert.equal(await channel.end(), 1000);
        }
      });

      test('queued messages are delivered in order when the other registers', async () => {
        const name = room();
        const one = await registered(name, '1');
        for (let n = 0; n < 1024; n += 1) one.send(`${n}`);
        one.send('one too many is dropped');
        await one.settled();
        const full = await post(`/${name}/1`, 'and posted');
        assert.equal(full.status, 500);
        assert.equal(full.body, 'Failed to send the message: Too many messages queued for the client\n');
        const two = await Channel.open(url);
        two.register(name, '2');
        for (let n = 0; n < 1024; n += 1) assert.equal(await two.message(), `${n}`);
        one.send('next');
        assert.equal(await two.message(), 'next');
        one.close();
        two.close();
      });

      test('a POST before and after its peer has registered', async () => {
        const name = room();
        assert.deepEqual((await post(`/${name}/1`, 'early')).body, 'OK\n');
        const two = await Channel.open(url);
        two.register(name, '2');
        assert.equal(await two.message(), 'early');
        await post(`/${name}/1`, 'late');
        assert.equal(await two.message(), 'late');
        assert.equal((await post(`/${name}/3`, 'third')).body, 'Failed to send the message: Max room capacity reached\n');
        two.close();
      });

      test('a POST of nothing', async () => {
        const reply = await post(`/${room()}/1`);
        assert.deepEqual([reply.status, reply.body], [500, 'Empty request body\n']);
      });

      test('DELETE ends the socket and is always OK', async () => {
        const name = room();
        const one = await registered(name, '1');
        for (let n = 0; n < 2; n += 1) {
          const gone = await plain(`${base}/${name}/1`, { method: 'DELETE' });
          assert.deepEqual([gone.status, gone.body], [200, 'OK\n']);
        }
        assert.equal(await one.end(), 1000);
        const again = await registered(name, '1');
        again.close();
        const headers = { origin: 'https://app.example', 'access-control-request-method': 'DELETE' };
        const preflight = await plain(`${base}/${name}/1`, { method: 'OPTIONS', headers });
        assert.equal(preflight.status, 200);
        assert.ok(['*', headers.origin].includes(preflight.headers['access-control-allow-origin']));
        assert.match(preflight.headers['access-control-allow-methods'], /\bDELETE\b/);
      });

      test('a client without a name may post', async () => {
        const name = room();
        const one = await registered(name, '1');
        assert.equal((await post(`/${name}/`, 'anonymous')).status, 200);
        assert.equal(await one.message(), 'anonymous');
        one.close();
      });

      // The original redirects doubled slashes with 301, and clients follow with a GET.
      test('doubled slashes are one, and escapes are read as names', async () => {
        const name = `r\u00e4um ${room()}`;
        const one = await registered(name, '1');
        const path = encodeURIComponent(name);
        assert.equal((await post(`//${path}//2`, 'doubled')).body, 'OK\n');
        assert.equal(await one.message(), 'doubled');
        const gone = await plain(`${base}//${path}/1`, { method: 'DELETE' });
        assert.deepEqual([gone.status, gone.body], [200, 'OK\n']);
        assert.equal(await one.end(), 1000);
      });

      test('a dropped client keeps its slot for 10 s and hears what it missed', async () => {
        const name = room();
        await untilOpen(0);
        const [one, two] = [await registered(name, '1'), await registered(name, '2')];
        two.drop();
        await untilOpen(1);
        one.send('missed 1');
        one.send('missed 2');
        await one.settled();
        const third = await Channel.open(url);
        third.register(name, '3');
        await third.refused('Max room capacity reached');
        const again = await Channel.open(url);
        again.register(name, '2');
        assert.deepEqual([await again.message(), await again.message()], ['missed 1', 'missed 2']);
        again.drop();
        const after = await until('the slot of 2 is gone', async () => {
          const channel = await Channel.open(url);
          channel.register(name, '3');
          channel.say({ cmd: 'settled?' });
          const { error } = await channel.next();
          if (error.startsWith('Invalid message')) return channel;
          assert.equal(error, 'Max room capacity reached');
          return null;
        });
        assert.deepEqual(after.frames, [], 'what one had said was delivered');
        for (const channel of [one, after]) channel.close();
      });

      test('/status counts what is open, what there was and errors', async () => {
        const before = await status();
        const one = await registered(room(), '1');
        const bad = await Channel.open(url);
        bad.say('{');
        await bad.end();
        await post(`/${room()}/1`);
        const now = await status();
        assert.deepEqual(Object.keys(now).sort(), ['httperrors', 'openws', 'totalws', 'upsec', 'wserrors']);
        assert.equal(now.totalws - before.totalws, 1);
        assert.equal(now.httperrors - before.httperrors, 1);
        assert.equal(now.wserrors - before.wserrors, 2, 'unparsable, and the unexpected one of settled()');
        assert.ok(now.openws >= 1 && now.upsec > before.upsec && !Number.isInteger(now.upsec));
        for (const method of ['GET', 'POST', 'DELETE']) {
          const reply = await plain(`${base}/status`, { method });
          assert.deepEqual([reply.status, reply.headers['access-control-allow-origin']], [200, '*'], method);
          assert.equal(typeof JSON.parse(reply.body).openws, 'number', method);
        }
        one.close();
      });

      test('too large a message is an error, too large a frame ends its own socket alone', async () => {
        const name = room();
        const [one, two] = [await registered(name, '1'), await registered(name, '2')];
        one.send('x'.repeat(256 * 1024));
        assert.equal((await two.message()).length, 256 * 1024);
        one.send('x'.repeat(258 * 1024));
        assert.deepEqual(await one.next(), { msg: '', error: 'payload too large: at most 256 KiB, and this has 258 KiB' });
        one.send('x'.repeat(1500 * 1024));
        await one.end();
        two.send('queued');
        await two.settled();
        two.close();
      });

      test('one that does not read is dropped and nobody waits for it', async () => {
        const name = room();
        await untilOpen(0);
        const two = await registered(name, '2');
        const [host, port] = base.slice('http://'.length).split(':');
        const deaf = connect(Number(port), host);
        const key = Buffer.from('0123456789abcdef').toString('base64');
        deaf.write(`GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}\r\n\r\n`);
        await once(deaf, 'data');
        deaf.pause();
        const text = Buffer.from(JSON.stringify({ cmd: 'register', roomid: name, clientid: '1' }));
        deaf.write(Buffer.concat([Buffer.from([0x81, 0x80 | text.length, 0, 0, 0, 0]), text]));
        const body = 'x'.repeat(60_000);
        await untilOpen(2);
        let posts = 0;
        while ((await status()).openws === 2 && posts < 1000) {
          assert.equal((await post(`/${name}/2`, body)).status, 200);
          posts += 1;
        }
        assert.equal((await status()).openws, 1, `after ${posts} messages`);
        two.send('the peer goes on');
        await two.settled();
        deaf.destroy();
        two.close();
      });
    });
  }

  describe('pings', { concurrency: 1 }, () => {
    let server;
    before(async () => {
      server = await startServer();
    });
    after(() => server?.close());
    const open = (options) => Channel.open(`${server.url.replace('http', 'ws')}/ws`, options);

    // Two pings are half a minute apart.
    test('find a dead socket, and a live one stays', async () => {
      const [live, dead] = [await open(), await open({ autoPong: false })];
      let pings = 0;
      live.socket.on('ping', () => (pings += 1));
      dead.register('pinged', '1');
      await dead.settled();
      await within(dead.gone, 'end of the dead socket', 3 * TIMEOUT_MS);
      assert.equal(dead.closed, 1006, 'cut, not closed');
      assert.ok(pings >= 1);
      live.register('pinged', '2');
      await live.settled();
      live.close();
    });
  });
});
