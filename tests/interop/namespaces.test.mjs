// Namespaces as clients of every generation name them, with and without a query, and the errors for those that are refused. Compares the
// answers of the original servers with ours.
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import WebSocket from 'ws';
import { brief } from './support/excerpt.mjs';
import { query } from './support/multi.mjs';
import { client, closeServers, old, recent, startBeside } from './support/originals.mjs';
import { within } from './support/wait.mjs';

const transports = { websocket: ['websocket'], polling: ['polling'], upgrade: ['polling', 'websocket'] };
const open = new Set();
const servers = {};
before(async () => {
  Object.assign(servers, await startBeside());
});
after(() => closeServers(servers));
afterEach(() => {
  for (const socket of open) {
    socket.disconnect();
    socket.io.engine?.close();
  }
  open.clear();
});

function start(version, url, options) {
  const socket = client(version)(url, { forceNew: true, reconnection: false, ...options });
  socket.on('error', () => {});
  open.add(socket);
  return socket;
}

// 'connected', or the error that the client receives.
const outcome = (socket, label) =>
  within(new Promise((resolve) => {
    socket.on('connect', () => resolve('connected'));
    socket.on('error', (error) => resolve(error));
    socket.on('connect_error', (error) => resolve(`an error, ${error.message}`));
  }), `word for ${label}`);
const acked = (socket, label) => within(new Promise((resolve) => socket.emit('CONFIG', {}, () => resolve(true))), `ack for ${label}`);
const upgraded = ({ io: { engine } }) => within(new Promise((resolve) => (engine.transport.name === 'websocket' ? resolve() : engine.once('upgrade', resolve))), 'upgrade');

for (const [original, versions] of [['socket.io-2', old], ['socket.io-4', recent]]) {
  for (const version of versions) {
    describe(`client ${version}, with Castway as with ${original}`, () => {
      for (const [name, list] of Object.entries(transports)) {
        test(`connects to a namespace with a query or without by ${name}`, async () => {
          for (const server of [original, 'ours']) {
            for (const [path, options] of [['/rtc', {}], ['/rtc?token=a%2Cb%3F', {}], ['/rtc', { query: { token: '1?2&é' } }]]) {
              const socket = start(version, servers[server].url + path, { transports: list, ...options });
              const label = `${server} ${path} ${JSON.stringify(options)}`;
              assert.equal(await outcome(socket, label), 'connected', label);
              assert.ok(await acked(socket, label));
            }
          }
        });

        test(`hears why it can't connect by ${name}`, async () => {
          for (const [path, word] of [['/nope', 'Invalid namespace'], ['/nope?token=1', 'Invalid namespace'], ['/closed', 'closed "for" everybody']]) {
            const theirs = await outcome(start(version, servers[original].url + path, { transports: list }), path);
            assert.deepEqual(theirs, original === 'socket.io-2' ? word : `an error, ${word}`);
            // Our server has no closed namespace.
            if (path === '/closed') continue;
            assert.deepEqual(await outcome(start(version, servers.ours.url + path, { transports: list }), path), theirs);
          }
        });

        test(`opens a namespace with a query beside another one, and again, by ${name}`, async () => {
          for (const server of [original, 'ours']) {
            const root = start(version, servers[server].url, { transports: list });
            assert.equal(await outcome(root, server), 'connected');
            if (name === 'upgrade') await upgraded(root);
            const second = root.io.socket('/rtc', { query: 'token=1' });
            assert.equal(await outcome(second, server), 'connected');
            assert.ok(await acked(second, server));
            second.disconnect();
            // With the originals, a client that comes back before it has left causes a race with itself.
            assert.ok(await acked(root, `${server} after the farewell`));
            const again = outcome(second, `${server} again`);
            second.connect();
            assert.equal(await again, 'connected');
            assert.ok(await acked(second, `${server} again`));
          }
        });
      }

      test('keeps to WebSocket where it remembers that the upgrade worked', async () => {
        for (const server of [original, 'ours']) {
          const socket = start(version, `${servers[server].url}/rtc?token=1`, { rememberUpgrade: true });
          assert.equal(await outcome(socket, server), 'connected');
          await upgraded(socket);
          const again = start(version, `${servers[server].url}/rtc?token=1`, { rememberUpgrade: true });
          assert.equal(await outcome(again, server), 'connected');
          assert.ok(await acked(again, server));
        }
      });
    });
  }
}

// Packets that Java 1.0 and Flutter's client send over WebSocket, which is the only transport of the latter.
describe('packets of Engine.IO 3', () => {
  // Sends texts or lists of fragments; resolves to the received packets once `count` have arrived.
  const say = async (url, packets, count) => {
    const socket = new WebSocket(`${url.replace('http', 'ws')}/socket.io/?EIO=3&transport=websocket`);
    const [heard, left] = [[], [...packets]];
    let sent = '';
    try {
      await within(new Promise((resolve, reject) => {
        socket.on('error', reject);
        socket.on('close', () => {
          heard.push('closed');
          resolve();
        });
        socket.on('message', (data) => {
          const text = String(data);
          if (text === '3') resolve();
          if (/^[03]/.test(text)) return;
          // Only Castway sends these events.
          if (/CONFIG_FEEDBACK|VERIFY/.test(text)) return;
          heard.push(text.replace(/(?<=^43[^[]*\[).*(?=\]$)/, '…'));
          // The original ignores events for a namespace that the client has not connected yet.
          while (left.length && (/^40/.test(text) || !/^40\/rtc/.test(sent))) {
            const parts = [left.shift()].flat();
            parts.forEach((part, at) => socket.send(part, { fin: at === parts.length - 1 }));
            if (parts.length > 1) socket.ping();
            sent = parts.join('');
            if (/^40\/rtc/.test(sent)) break;
          }
          if (heard.length === count + 1) socket.send('2');
        });
      }), `end of ${brief(packets)}, but ${brief(heard)}`);
    } finally {
      socket.terminate();
    }
    return heard.slice(1).map((packet) => packet.replace(/^(4[01]\/[^,]*),$/, '$1'));
  };

  const ask = (namespace, id) => `42${namespace},${id}["CONFIG",{}]`;
  for (const [name, packets, expected] of [
    ['a namespace with a query', ['40/rtc?token=1,', ask('/rtc', 1)], ['40/rtc', '43/rtc,1[…]']],
    ['one without a comma', ['40/rtc?token=1', ask('/rtc', 1)], ['40/rtc', '43/rtc,1[…]']],
    ['a query with a comma', ['40/rtc?a=1,2', ask('/rtc', 1)], ['40/rtc', '43/rtc,1[…]']],
    ['a query with question marks and escapes', ['40/rtc?a=?&b=%2C%3F%20#x,', ask('/rtc', 1)], ['40/rtc', '43/rtc,1[…]']],
    ['a query with an empty name', ['40/rtc?,', ask('/rtc', 1)], ['40/rtc', '43/rtc,1[…]']],
    ['fragments', [['40/', 'rtc?tok', 'en=', '1,'], ask('/rtc', 1)], ['40/rtc', '43/rtc,1[…]']],
    ['small fragments', [['4', '0', '', '/rtc?', ''], ask('/rtc', 1)], ['40/rtc', '43/rtc,1[…]']],
    ['fragments of something else', [['4', '0/rtc', ','], ['42/rtc,', '1["CONFIG",{}]']], ['40/rtc', '43/rtc,1[…]']],
    ['a long query', [`40/rtc?token=${'x'.repeat(12_000)},`, ask('/rtc', 1)], ['40/rtc', '43/rtc,1[…]']],
    ['a namespace that is not there', ['40/nope,'], ['44/nope,"Invalid namespace"']],
    ['one with a query that is not there', ['40/nope?token=1,'], ['44/nope,"Invalid namespace"']],
    ['an event that names the query, which is for nobody', ['40/rtc?a=1,', ask('/rtc?a=1', 1), ask('/rtc', 2)], ['40/rtc', '43/rtc,2[…]']],
    ['a farewell that names the query, which is for nobody', ['40/rtc?a=1,', '41/rtc?a=1,', ask('/rtc', 2)], ['40/rtc', '43/rtc,2[…]']],
    ['an event of the root that looks like one', ['42["40/rtc?a=1,"]', '420["CONFIG",{}]'], ['430[…]']],
  ]) {
    test(`${name}: as in the original`, async () => {
      const [theirs, ours] = [await say(servers['socket.io-2'].url, packets, expected.length), await say(servers.ours.url, packets, expected.length)];
      assert.deepEqual(theirs, expected, 'the original');
      assert.deepEqual(ours, expected, 'Castway');
    });
  }
});

describe('payloads of Engine.IO 3', () => {
  const text = (...packets) => packets.map((packet) => `${packet.length}:${packet}`).join('');
  const binary = (...packets) =>
    Buffer.concat(packets.map((packet) => {
      const bytes = Buffer.from(packet);
      return Buffer.concat([Buffer.from([0, ...String(bytes.length)].map(Number)), Buffer.from([255]), bytes]);
    }));
  // Posts payloads, and polls after each one until the awaited text has arrived.
  const say = async (base, steps) => {
    const url = `${base}/socket.io/?EIO=3&transport=polling&b64=1`;
    let heard = await (await fetch(url)).text();
    const [, sid] = heard.match(/"sid":"([^"]+)"/);
    const poll = async () => (heard += await (await fetch(`${url}&sid=${sid}`)).text());
    await within((async () => {
      while (!heard.includes(':40')) await poll();
    })(), 'connection to the root');
    for (const [payload, awaited] of steps) {
      const type = typeof payload === 'string' ? 'text/plain;charset=UTF-8' : 'application/octet-stream';
      assert.equal(await (await fetch(`${url}&sid=${sid}`, { method: 'POST', body: payload, headers: { 'content-type': type } })).text(), 'ok');
      await within((async () => {
        while (!heard.includes(awaited)) await poll();
      })(), `${awaited}, but ${brief(heard)}`);
    }
    // The original may close the connection because of this payload.
    await fetch(`${url}&sid=${sid}`, { method: 'POST', body: '1:1' }).catch(() => {});
  };

  const [named, event] = ['40/rtc?token=é😀,', '42/rtc,1["CONFIG",{"é":"😀"}]'];
  const refusal = '27:44/nope,"Invalid namespace"';
  for (const [name, steps] of [
    ['in text', [[text('2', named), '40/rtc'], [text(event), '43/rtc,1[']]],
    ['in text, without a comma', [[text('40/rtc?token=1', '2'), '40/rtc'], [text(event), '43/rtc,1[']]],
    ['in bytes', [[binary('2', named), '40/rtc'], [binary(event), '43/rtc,1[']]],
    ['in text, to nowhere', [[text('2', '40/nope?x=1,'), refusal]]],
    ['in bytes, to nowhere', [[binary('2', '40/nope?x=1,'), refusal]]],
  ]) {
    test(`${name}: as in the original`, async () => {
      for (const server of ['socket.io-2', 'ours']) await say(servers[server].url, steps);
    });
  }
});

describe("RTCMultiConnection's handshake that can't be read", () => {
  for (const version of [...old, ...recent]) {
    for (const [name, list] of Object.entries(transports)) {
      test(`is told client ${version} by ${name} as it expects errors`, async () => {
        const socket = start(version, `${servers.ours.url}/?${query('x'.repeat(300))}`, { transports: list });
        const heard = within(new Promise((resolve) => {
          socket.on('error', resolve);
          socket.on('connect_error', (error) => resolve(error.message));
        }), 'error');
        assert.equal(await heard, 'a name in the query is too long');
      });
    }
  }
});
