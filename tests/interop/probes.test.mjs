// A polling client upgrades to a WebSocket, or fails to. Compares the fate of its session on the original server and on Castway.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, describe, test } from 'node:test';
import WebSocket from 'ws';
import { closeServers, startBeside } from './support/originals.mjs';
import { until, within } from './support/wait.mjs';

// A polling session whose test performs each step of the upgrade.
class Session {
  static async open(base, eio) {
    const session = new Session();
    session.eio = eio;
    session.url = `${base}/socket.io/?EIO=${eio}&transport=polling&b64=1`;
    const opened = await (await fetch(session.url)).text();
    const sid = opened.match(/"sid":"([^"]+)"/)[1];
    session.url += `&sid=${sid}`;
    session.socketUrl = `${base.replace('http', 'ws')}/socket.io/?EIO=${eio}&transport=websocket&sid=${sid}`;
    if (eio === 4) await session.post('40');
    if (!/:40|40\{/.test(opened)) await session.until(/:40|40\{/);
    return session;
  }

  // One poll and its answer.
  async poll() {
    const response = await within(fetch(this.url), 'poll');
    return { status: response.status, type: response.headers.get('content-type'), text: await response.text() };
  }

  // The same, but skips the original's events about other clients.
  async answer() {
    let answer;
    do answer = await this.poll();
    while (answer.text.includes('"gone"'));
    return answer;
  }

  async post(packet) {
    const body = this.eio === 3 ? `${packet.length}:${packet}` : packet;
    const response = await fetch(this.url, { method: 'POST', body, headers: { 'content-type': 'text/plain' } });
    return `${response.status} ${await response.text()}`;
  }

  async until(pattern) {
    const heard = [];
    while (!pattern.test(heard.join(''))) {
      const { status, text } = await this.poll();
      assert.equal(status, 200, `${text} instead of ${pattern}`);
      heard.push(text);
    }
    return heard;
  }

  // Whether the session continues by polling: it sends an event, and the next polls must contain the ack.
  async lives() {
    const said = await this.post('427["CONFIG",{}]');
    if (said !== '200 ok') return said;
    await this.until(/437\[/);
    return 'it lives';
  }

  async socket() {
    const socket = new WebSocket(this.socketUrl);
    socket.heard = [];
    socket.on('message', (data) => socket.heard.push(String(data)));
    socket.on('pong', () => socket.heard.push('pong'));
    socket.closed = new Promise((resolve) => socket.on('close', (code) => resolve(code)));
    socket.until = (text) => until(text, () => socket.heard.includes(text));
    socket.on('error', () => {});
    await within(once(socket, 'open'), 'WebSocket');
    return socket;
  }

  // Completes the upgrade, and sends an event over the WebSocket.
  async upgrade(socket) {
    socket.send('5');
    socket.send('428["CONFIG",{}]');
    await until('an ack by WebSocket', () => socket.heard.some((text) => text.startsWith('438[')));
    return (await this.poll()).status;
  }
}

const servers = {};
before(async () => {
  Object.assign(servers, await startBeside());
});
after(() => closeServers(servers));

const noop = (eio) => ({ status: 200, type: 'text/plain; charset=UTF-8', text: eio === 3 ? '1:6' : '6' });

// Actions of a client and their correct results, which the original has as well.
const plays = {
  'a probe without an end lets polls go, later ones too, and the session outlives its WebSocket': async (session) => {
    const socket = await session.socket();
    const before = session.answer();
    socket.send('2probe');
    await socket.until('3probe');
    const answers = [await before, await session.answer(), await session.answer()];
    socket.terminate();
    return { answers, lives: await session.lives(), heard: socket.heard };
  },
  'a WebSocket that is closed after the probe': async (session) => {
    const socket = await session.socket();
    socket.send('2probe');
    await socket.until('3probe');
    socket.close();
    return { code: await within(socket.closed, 'close'), lives: await session.lives() };
  },
  'a WebSocket that is closed before the probe': async (session) => {
    const socket = await session.socket();
    socket.close();
    return { code: await within(socket.closed, 'close'), lives: await session.lives() };
  },
  'a probe that is never ended is closed in time': async (session) => {
    const socket = await session.socket();
    socket.send('2probe');
    return { code: await within(socket.closed, 'close'), lives: await session.lives(), heard: socket.heard };
  },
  'a probe after one that failed': async (session) => {
    const first = await session.socket();
    first.send('2probe');
    await first.until('3probe');
    first.close();
    await within(first.closed, 'close');
    const socket = await session.socket();
    socket.send('2probe');
    await socket.until('3probe');
    const status = await session.upgrade(socket);
    socket.terminate();
    return { status };
  },
  'a ping before the probe and one after it': async (session) => {
    const socket = await session.socket();
    socket.ping('x');
    await socket.until('pong');
    socket.send('2probe');
    await socket.until('3probe');
    socket.ping('y');
    await until('two pongs', () => socket.heard.filter((text) => text === 'pong').length === 2);
    const status = await session.upgrade(socket);
    const { heard } = socket;
    socket.terminate();
    return { status, heard: heard.slice(0, 3) };
  },
  'the end without a probe, and two probes': async (session) => {
    const heard = [];
    for (const [probes, one] of [[0, session], [2, await Session.open(new URL(session.url).origin, session.eio)]]) {
      const socket = await one.socket();
      for (let probe = 0; probe < probes; probe += 1) socket.send('2probe');
      const status = await one.upgrade(socket);
      heard.push([status, socket.heard.filter((text) => text === '3probe').length]);
      socket.terminate();
    }
    return heard;
  },
  'a poll that waits while the upgrade ends': async (session) => {
    const socket = await session.socket();
    socket.send('2probe');
    await socket.until('3probe');
    const polled = session.poll().catch(() => null);
    const status = await session.upgrade(socket);
    await polled;
    socket.terminate();
    return { status };
  },
  'a second WebSocket in the middle of it': async (session) => {
    const first = await session.socket();
    const early = await session.socket();
    const codes = [await within(early.closed, 'close')];
    first.send('2probe');
    await first.until('3probe');
    const late = await session.socket();
    codes.push(await within(late.closed, 'close'));
    const { text } = await session.answer();
    const status = await session.upgrade(first);
    first.terminate();
    return { codes, text, status };
  },
};
// Messages that are sent in place of a probe or after one.
const words = { 'a packet': '42["CONFIG",{}]', 'another probe': '2probes', 'a pong': '3probe', nothing: '', bytes: Buffer.from('2probe'), 'a close': '1' };
for (const [name, word] of Object.entries(words)) {
  for (const probed of [false, true]) {
    plays[`${name} ${probed ? 'after the probe' : 'first'} is closed`] = async (session) => {
      const socket = await session.socket();
      if (probed) {
        socket.send('2probe');
        await socket.until('3probe');
      }
      socket.send(word);
      return { code: await within(socket.closed, 'close'), lives: await session.lives(), heard: socket.heard };
    };
  }
}
const right = (eio) => ({
  'a probe without an end lets polls go, later ones too, and the session outlives its WebSocket': {
    answers: [noop(eio), noop(eio), noop(eio)], lives: 'it lives', heard: ['3probe'],
  },
  'a probe that is never ended is closed in time': { code: 1005, lives: 'it lives', heard: ['3probe'] },
  'a ping before the probe and one after it': { status: 400, heard: ['pong', '3probe', 'pong'] },
  'a second WebSocket in the middle of it': { codes: [1005, 1005], text: noop(eio).text, status: 400 },
});

for (const [eio, original] of [[3, 'socket.io-2'], [4, 'socket.io-4']]) {
  describe(`of Engine.IO ${eio}`, { concurrency: 4 }, () => {
    for (const [name, play] of Object.entries(plays)) {
      test(`${name}, as with ${original}`, async () => {
        const [expected, got] = await Promise.all([original, 'ours'].map(async (server) => play(await Session.open(servers[server].url, eio))));
        assert.deepEqual(got, expected);
        if (right(eio)[name]) assert.deepEqual(got, right(eio)[name]);
      });
    }
  });
}
