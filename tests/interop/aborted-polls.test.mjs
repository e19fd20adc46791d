// When do other clients notice that a polling client has gone without disconnecting? Compares the original with Castway.
import assert from 'node:assert/strict';
import { connect as connectTo } from 'node:net';
import { after, before, describe, test } from 'node:test';
import WebSocket from 'ws';
import { closeAll, connect } from './support/clients.mjs';
import { dialects } from './support/dialects.mjs';
import { client, closeServers, startBeside } from './support/originals.mjs';
import { until, within } from './support/wait.mjs';

// A polling client without a library, so that a request can be aborted.
class Poller {
  static async open(base, eio) {
    const poller = new Poller();
    poller.eio = eio;
    poller.url = `${base}/socket.io/?EIO=${eio}&transport=polling&b64=1`;
    poller.heard = await (await fetch(poller.url)).text();
    poller.sid = poller.heard.match(/"sid":"([^"]+)"/)[1];
    poller.url += `&sid=${poller.sid}`;
    if (eio === 4) await poller.post('40');
    await poller.until(/:40|40\{/);
    return poller;
  }

  async post(packet) {
    const body = this.eio === 3 ? `${packet.length}:${packet}` : packet;
    const response = await fetch(this.url, { method: 'POST', body, headers: { 'content-type': 'text/plain' } });
    await response.text();
    return response.status;
  }

  async until(pattern) {
    await within((async () => {
      while (!pattern.test(this.heard)) this.heard += await (await fetch(this.url)).text();
    })(), `${pattern}, but ${this.heard}`);
    return this.heard.match(pattern);
  }

  // Sends the beginning of a request on a connection of its own, and resolves when the kernel has it: {heard, end}.
  async begin(method, text = '') {
    const { host, port, hostname, pathname, search } = new URL(this.url);
    const socket = connectTo(Number(port), hostname);
    const connection = { heard: '', end: () => new Promise((resolve) => socket.on('close', resolve).destroy()) };
    socket.on('data', (chunk) => (connection.heard += chunk)).on('error', () => {});
    await new Promise((resolve) => socket.write(`${method} ${pathname}${search} HTTP/1.1\r\nHost: ${host}\r\n${text}\r\n`, resolve));
    connection.send = (more) => new Promise((resolve) => socket.write(more, resolve));
    return connection;
  }

  // Whether the session exists. The client sends the packet that it would send every 25 s.
  async lives() {
    return (await this.post(this.eio === 3 ? '2' : '3')) === 200;
  }
}

const servers = {};
before(async () => {
  Object.assign(servers, await startBeside());
});
after(async () => {
  closeAll();
  await closeServers(servers);
});

// The silent client connected first, so it would be the first to be disconnected if silence were the reason.
for (const [eio, original] of [[3, 'socket.io-2'], [4, 'socket.io-4']]) {
  describe(`of Engine.IO ${eio}`, () => {
    test(`an aborted poll ends the session at once with ${original}`, async () => {
      const silent = await Poller.open(servers[original].url, eio);
      const poller = await Poller.open(servers[original].url, eio);
      const listener = client(eio === 3 ? '2' : '4')(servers[original].url, { forceNew: true, reconnection: false, transports: ['websocket'] });
      try {
        await within(new Promise((resolve) => (listener.connected ? resolve() : listener.on('connect', resolve))), 'connection');
        const gone = within(new Promise((resolve) => listener.on('gone', ({ reason }) => resolve(reason))), 'end');
        const poll = await poller.begin('GET');
        await new Promise((resolve) => listener.emit('CONFIG', {}, resolve));
        await poll.end();
        assert.equal(await gone, 'transport error');
        assert.ok(await silent.lives());
        assert.ok(!(await poller.lives()));
      } finally {
        listener.close();
      }
    });

    test('an aborted poll of a TV is heard by its caster at once, and the TV has its grace', async () => {
      const silent = await Poller.open(servers.ours.url, eio);
      const tv = await Poller.open(servers.ours.url, eio);
      await tv.post('42["TV_INIT"]');
      const [, code] = await tv.until(/"TV_INIT_OK","(\w{6})"/);
      const [, token] = await tv.until(/"resumeToken":"([^"]+)"/);
      const caster = await connect(servers.ours, { label: 'caster' });
      await dialects.A.join(caster, false, code, 'Ada');
      await tv.until(/CASTER_JOINED/);
      const poll = await tv.begin('GET');
      await caster.settle();
      await poll.end();
      await caster.next('TV_AWAY');
      assert.ok(await silent.lives());
      assert.ok(!(await tv.lives()));
      const back = await connect(servers.ours, { label: 'TV again' });
      assert.equal((await back.ask('TV_INIT', { code, resumeToken: token })).code, code);
      await caster.next('TV_BACK');
      caster.leave();
      back.leave();
    });

    test('a POST that is cut off ends the session as well, as with the original', async () => {
      for (const server of [original, 'ours']) {
        const silent = await Poller.open(servers[server].url, eio);
        const poller = await Poller.open(servers[server].url, eio);
        const post = await poller.begin('POST', 'Content-Type: text/plain\r\nContent-Length: 9\r\nExpect: 100-continue\r\n');
        await until(`${server} to read`, () => /^HTTP\/1.1 100 /.test(post.heard));
        await post.send('4');
        await post.end();
        await until(`the end of the session with ${server}`, async () => !(await poller.lives()));
        assert.ok(await silent.lives(), server);
      }
    });

    test('a poll that was answered leaves the session alone, and so does one that ends while the session is upgraded', async () => {
      const poller = await Poller.open(servers.ours.url, eio);
      const poll = await poller.begin('GET');
      await poller.post('420["CONFIG",{}]');
      await until('an answer', () => poll.heard.includes('"CONFIG_FEEDBACK"') || poll.heard.includes('430['));
      await poll.end();
      assert.ok(await poller.lives());
      const socket = new WebSocket(`${servers.ours.url.replace('http', 'ws')}/socket.io/?EIO=${eio}&transport=websocket&sid=${poller.sid}`);
      try {
        await within(new Promise((resolve, reject) => {
          socket.on('error', reject);
          socket.on('open', () => socket.send('2probe'));
          socket.on('message', (data) => {
            if (String(data) === '3probe') {
              socket.send('5');
              socket.send('421["CONFIG",{}]');
            }
            if (String(data).startsWith('431')) resolve();
          });
        }), 'ack by WebSocket');
        // The session no longer exists.
        assert.equal((await fetch(poller.url)).status, 400);
        const answered = within(new Promise((resolve) => socket.on('message', (data) => String(data).startsWith('432') && resolve(true))), 'second ack');
        socket.send('422["CONFIG",{}]');
        assert.ok(await answered);
      } finally {
        socket.terminate();
      }
    });

    test('a WebSocket on which nothing comes leaves the session to its polls', async () => {
      const poller = await Poller.open(servers.ours.url, eio);
      const socket = new WebSocket(`${servers.ours.url.replace('http', 'ws')}/socket.io/?EIO=${eio}&transport=websocket&sid=${poller.sid}`);
      try {
        await within(new Promise((resolve, reject) => socket.on('open', resolve).on('error', reject)), 'WebSocket');
        const polled = fetch(poller.url).then((response) => response.text());
        await poller.post('427["CONFIG",{}]');
        const heard = [await polled];
        while (!heard.join('').includes('437')) heard.push(await (await fetch(poller.url)).text());
        assert.ok(!heard.some((text) => /^(1:)?6$/.test(text)), `the polls are not put off: ${heard}`);
        socket.terminate();
        assert.ok(await poller.lives());
      } finally {
        socket.terminate();
      }
    });
  });
}
