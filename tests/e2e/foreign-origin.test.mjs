// Front ends on another origin. Each generation of clients uses its own defaults, polling first, with and without credentials. Old clients
// poll with scripts and forms.
import { createServer } from 'node:http';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import assert from 'node:assert/strict';
import { excerpt } from '../interop/support/excerpt.mjs';
import { startServer } from '../interop/support/server.mjs';
import { assertPicture, openPage, until } from './support/browser.mjs';
import { browserTest } from './support/browser-test.mjs';

const script = (generation) => {
  const folder = generation === '1.7' ? '../interop/node_modules' : 'node_modules';
  return readFileSync(new URL(`${folder}/socket.io-client-${generation}/dist/socket.io.js`, import.meta.url));
};

// The lines of the tutorials, in a page that another server serves.
const PAGE = (url, options) => `<!doctype html><title>front end</title><p id="code"></p><p id="problem"></p><script src="client.js"></script><script>
  let socket = io.connect('${url}', ${JSON.stringify(options)});
  socket.on('connect', function () {
    if (location.pathname !== '/caster') socket.emit('TV_INIT');
  });
  socket.on('TV_INIT_OK', (code) => { document.getElementById('code').textContent = code; });
  socket.on('connect_error', (error) => { document.getElementById('problem').textContent = String(error); });
</script>`;

// The same page with a whole cast: the picture that is drawn on one page moves on the other.
const CAST = (url, options) => `${PAGE(url, options)}<video muted autoplay></video><canvas width="320" height="180"></canvas><script>
  let pc;
  window.castway = { pc: () => pc };
  function open() {
    pc = new RTCPeerConnection();
    pc.onicecandidate = ({ candidate }) => { if (candidate) socket.emit('RTC_Candidate_Exchange', { iceCandidate: candidate.toJSON() }); };
    pc.ontrack = ({ streams }) => { document.querySelector('video').srcObject = streams[0]; };
    return pc;
  }
  const waiting = [];
  socket.on('RTC_Candidate_Exchange', ({ iceCandidate }) => {
    if (pc && pc.remoteDescription) pc.addIceCandidate(iceCandidate);
    else waiting.push(iceCandidate);
  });
  const take = () => waiting.splice(0).forEach((candidate) => pc.addIceCandidate(candidate));
  socket.on('CLIENT_OFFER_TO_TV', async (offer) => {
    await open().setRemoteDescription(offer);
    take();
    await pc.setLocalDescription(await pc.createAnswer());
    socket.emit('TV_ANSWER_TO_SERVER', pc.localDescription.toJSON());
  });
  window.cast = (code) => {
    const context = document.querySelector('canvas').getContext('2d');
    let tick = 0;
    setInterval(() => { context.fillStyle = 'hsl(' + (tick++ * 9 % 360) + ',80%,50%)'; context.fillRect(tick % 300, 0, 160, 180); }, 40);
    socket.on('JOIN_ROOM_OK', async () => {
      open();
      const stream = document.querySelector('canvas').captureStream(25);
      stream.getTracks().forEach((track) => pc.addTrack(track, stream));
      await pc.setLocalDescription(await pc.createOffer());
      socket.emit('CLIENT_OFFER_TO_SERVER', pc.localDescription.toJSON());
    });
    socket.on('TV_ANSWER_TO_CLIENT', async (answer) => {
      await pc.setRemoteDescription(answer);
      take();
    });
    socket.emit('JOIN_ROOM', code);
  };
</script>`;

// Starts a server of front ends; resolves to its origin, whose host differs from Castway's.
async function host(fixture, generation, page) {
  const server = createServer((request, response) => {
    const isScript = request.url === '/client.js';
    response.setHeader('content-type', isScript ? 'text/javascript' : 'text/html');
    response.end(isScript ? script(generation) : page(request.url));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  fixture.onClose(async () => {
    server.closeAllConnections();
    server.close();
  });
  return `http://localhost:${server.address().port}`;
}

async function codeOf(page) {
  const look = () => page.evaluate(() => ({ code: document.getElementById('code')?.textContent ?? '', problem: document.getElementById('problem')?.textContent ?? '' }));
  const { code } = await until('a code', look, ({ code: text, problem }) => text !== '' || problem !== '');
  assert.match(code, /^[A-Z0-9]{6}$/, `${(await look()).problem} ${excerpt(page.messages.join('; '))}`);
  return code;
}

const WISHES = [
  {},
  ...[true, false].flatMap((withCredentials) => [['polling'], ['polling', 'websocket'], ['websocket']].map((transports) => ({ withCredentials, transports }))),
  // These headers make the browser send a preflight request.
  { withCredentials: true, transports: ['polling'], extraHeaders: { 'X-Token': 'x' }, transportOptions: { polling: { extraHeaders: { 'X-Token': 'x' } } } },
];

for (const generation of [2, 3, 4]) {
  browserTest(`a page on another origin gets a code with socket.io-client ${generation}, with credentials and without`, {}, async (fixture, server) => {
    const origin = await host(fixture, generation, (path) => PAGE(server.url, WISHES[Number(path.slice(1))]));
    const browser = await fixture.browser();
    for (const [index] of WISHES.entries()) await codeOf(await openPage(browser, `${origin}/${index}`));
  });
}

browserTest(
  'with an allow-list, pages of its origins alone get a code',
  async (fixture) => {
    // The page is set later, because it contains the server's address, and the server needs the allow-list first.
    fixture.page = () => '';
    fixture.origin = await host(fixture, 4, () => fixture.page());
    const { port } = new URL(fixture.origin);
    return startServer({ CASTWAY_CORS_ORIGINS: `HTTP://LocalHost:${port}/, http://*.tv.localhost:${port}` });
  },
  async (fixture, server) => {
    fixture.page = () => PAGE(server.url, { withCredentials: true, transports: ['polling'], reconnection: false });
    const browser = await fixture.browser();
    const at = (name) => openPage(browser, fixture.origin.replace('localhost', name));
    await codeOf(await at('localhost'));
    await codeOf(await at('a.tv.localhost'));
    for (const name of ['127.0.0.1', 'tv.localhost', 'a.b.tv.localhost']) {
      const page = await at(name);
      await until(`${name} is refused`, () => page.locator('#problem').textContent());
      assert.equal(await page.locator('#code').textContent(), '');
    }
  },
);

for (const generation of ['1.7', 2, 3]) {
  browserTest(`a whole cast over JSONP with socket.io-client ${generation}`, {}, async (fixture, server) => {
    const options = { transports: ['polling'], forceJSONP: true };
    const origin = await host(fixture, generation, () => CAST(server.url, options));
    const kinds = new Set();
    const open = async (path) => {
      const page = await openPage(await fixture.browser(), 'about:blank');
      page.on('request', (request) => {
        if (request.url().startsWith(server.url)) kinds.add(`${request.method()} ${request.resourceType()}`);
      });
      // A page whose scripts poll never finishes loading.
      await page.goto(`${origin}/${path}`, { waitUntil: 'commit' });
      return page;
    };
    const [tv, caster] = [await open('tv'), await open('caster')];
    const code = await codeOf(tv);
    await until('the caster is connected', () => caster.evaluate(() => typeof window.cast === 'function' && socket.connected));
    await caster.evaluate((text) => window.cast(text), code);
    await assertPicture(tv, 3);
    assert.deepEqual([...kinds].sort(), ['GET script', 'POST document']);
  });
}
