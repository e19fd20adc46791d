// Polling with scripts and forms (JSONP), byte for byte as a page does it, with this server and with the original one.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { sdp } from './support/dialects.mjs';
import { startOriginal } from './support/originals.mjs';
import { startServer } from './support/server.mjs';
import { until } from './support/wait.mjs';

let server;
const originals = {};
before(async () => {
  server = await startServer();
  for (const version of [2, 4]) originals[version] = await startOriginal(`socket.io-${version}`);
});
after(async () => {
  for (const original of Object.values(originals)) await original.close();
  await server?.close();
});

// The payload that a script passes to the page's callback.
function called(script, index) {
  const callbacks = new Proxy([], { get: (_, name) => (payload) => heard.push([name, payload]) });
  const heard = [];
  new Function('___eio', script)(callbacks);
  assert.equal(heard.length, 1, script.slice(0, 100));
  assert.equal(heard[0][0], index);
  return heard[0][1];
}

// Splits a payload of Engine.IO 3, whose lengths are in UTF-16 units.
function packets(payload) {
  const found = [];
  for (let rest = payload; rest !== ''; ) {
    const colon = rest.indexOf(':');
    const length = Number(rest.slice(0, colon));
    assert.ok(colon > 0 && rest.length >= colon + 1 + length, payload.slice(0, 100));
    found.push(rest.slice(colon + 1, colon + 1 + length));
    rest = rest.slice(colon + 1 + length);
  }
  return found;
}

const framed = (packet) => `${packet.length}:${packet}`;
// Escapes a payload as the forms of socket.io-client 1 and 2 do.
const escaped = (payload) => payload.replace(/\\n/g, '\\\n').replace(/\n/g, '\\n');

class Page {
  unread = [];
  scripts = [];
  polls = 0;

  static async open(at) {
    const page = new Page();
    page.base = `${at.url}/socket.io/?EIO=3&transport=polling&b64=1`;
    await page.poll();
    const opening = page.unread.shift();
    assert.equal(opening[0], '0');
    page.base += `&sid=${JSON.parse(opening.slice(1)).sid}`;
    await page.hears((packet) => packet === '40');
    return page;
  }

  async poll() {
    // The transport of a page always uses the same callback.
    const response = await fetch(`${this.base}&j=3&t=x${this.polls++}`);
    const script = await response.text();
    assert.equal(response.status, 200, script);
    this.kind = response.headers.get('content-type');
    this.scripts.push(script);
    this.unread.push(...packets(called(script, '3')));
  }

  hears(wanted) {
    return until('a packet', async () => {
      while (this.unread.length === 0) await this.poll();
      const packet = this.unread.shift();
      return wanted(packet) && packet;
    });
  }

  async event(name) {
    const packet = await this.hears((found) => found.startsWith(`42["${name}"`));
    return JSON.parse(packet.slice(2))[1];
  }

  async post(...all) {
    const body = new URLSearchParams({ d: escaped(all.map(framed).join('')) });
    const response = await fetch(`${this.base}&j=3`, { method: 'POST', body });
    assert.equal(await response.text(), 'ok');
    return [response.status, response.headers.get('content-type')];
  }
}

const HARD = [
  'line\r\nend', 'backslash-n \\n', 'two \\\\n', 'three \\\\\\n', '\\\n', '\\', '\\\\', '"', "'", '</script>', 'a&b=c+d%20 e', '\u2028\u2029',
  'é', '語', '😀', '\u007f\u0001\t\b\f', '',
];

async function transcript(at) {
  const [tv, caster] = [await Page.open(at), await Page.open(at)];
  const answers = [await tv.post('42["TV_INIT"]')];
  const code = await tv.event('TV_INIT_OK');
  answers.push(await caster.post(`42["JOIN_ROOM",${JSON.stringify(code)}]`));
  assert.equal(await caster.event('JOIN_ROOM_OK'), code);
  const offers = [];
  const offer = sdp('offer', 7);
  const long = { ...offer, sdp: `${offer.sdp}a=${'語'.repeat(15_000)}\r\n` };
  for (const sent of [...HARD.map((text) => ({ ...offer, sdp: `${offer.sdp}a=${text}` })), long]) {
    // JSON may contain line ends between its tokens.
    answers.push(await caster.post(`42["CLIENT_OFFER_TO_SERVER",\n\n${JSON.stringify(sent)}\n]`, '2'));
    offers.push(await tv.event('CLIENT_OFFER_TO_TV'));
    assert.deepEqual(offers.at(-1).sdp, sent.sdp);
    await caster.hears((packet) => packet === '3');
  }
  for (const script of tv.scripts) assert.doesNotMatch(script, /[\u2028\u2029\r\n]/);
  return { answers, offers: offers.map(({ type, sdp }) => ({ type, sdp })), kind: tv.kind };
}

test('a cast begins over JSONP as it does on socket.io 2', async () => {
  const [ours, original] = [await transcript(server), await transcript(originals[2])];
  assert.deepEqual(ours.answers, original.answers);
  assert.deepEqual(ours.offers, original.offers);
  // The original sends text/plain, which browsers run as a script only if no header forbids them to guess the type.
  assert.equal(ours.kind, 'text/javascript; charset=UTF-8');
});

for (const j of ['0', '12', '', '0x5', '%29%3Balert(1)%2F%2F', '007', 'null']) {
  test(`the callback of j=${j} is named as on the originals`, async () => {
    const opened = async (at) => (await fetch(`${at.url}/socket.io/?EIO=3&transport=polling&b64=1&j=${j}`)).text();
    const begin = (script) => script.slice(0, script.indexOf('"'));
    const ours = await opened(server);
    for (const original of Object.values(originals)) assert.equal(begin(ours), begin(await opened(original)));
    assert.match(ours, /^___eio\[\d*\]\("\d+:0\{.*\}"\);$/);
  });
}

test('errors are those of the originals, and what is no form is one', async () => {
  const path = '/socket.io/?EIO=3&transport=polling&b64=1&j=0';
  for (const [method, query] of [['GET', '&sid=nobody'], ['POST', '&sid=nobody']]) {
    const answer = async (at) => {
      const response = await fetch(at.url + path + query, { method, body: method === 'POST' ? new URLSearchParams({ d: '1:2' }) : undefined });
      return [response.status, response.headers.get('content-type'), await response.json()];
    };
    const ours = await answer(server);
    for (const original of Object.values(originals)) assert.deepEqual(ours, await answer(original), method);
  }
  const opening = await (await fetch(`${server.url}/socket.io/?EIO=3&transport=polling&b64=1`)).text();
  const [, sid] = opening.match(/"sid":"([^"]+)"/);
  const response = await fetch(`${server.url}${path}&sid=${sid}`, { method: 'POST', body: '1:2' });
  assert.equal(response.status, 400);
  assert.match(await response.text(), /field d/);
});
