// The examples of clients/examples, from another origin than the server's, each changed in what its first lines say: the server's address.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync, readdirSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { describe } from 'node:test';
import { fileURLToPath } from 'node:url';
import { blocks } from '../documents/documents.mjs';
import { Program, run } from '../interop/support/process.mjs';
import { assertMagenta, assertPicture, openPage, openSource, until } from './support/browser.mjs';
import { BROWSER_TESTS_AT_A_TIME, browserTest } from './support/browser-test.mjs';
import { assertOldPicture, openOld } from './support/old-chromium.mjs';

const folder = fileURLToPath(new URL('../../clients/examples/', import.meta.url));
const python = fileURLToPath(new URL('../.venv/bin/python', import.meta.url));
const EXAMPLE = 'https://cast.example.org';
// What the statistics of the tests ask for; the examples have their connection in a variable.
const CONNECTION = 'window.castway = { pc: function () { return pc; } };';

// Serves the examples' pages with the address of `server`, and resolves to their own origin.
async function serve(fixture, server) {
  const pages = readdirSync(folder, { recursive: true }).filter((name) => name.endsWith('.html'));
  const host = createServer(({ url }, response) => {
    const name = new URL(url, EXAMPLE).pathname.slice(1);
    if (!pages.includes(name)) return response.writeHead(404).end();
    response.setHeader('content-type', 'text/html');
    response.end(readFileSync(join(folder, name), 'utf8').replaceAll(EXAMPLE, server.url));
  }).listen(0, '127.0.0.1');
  await once(host, 'listening');
  fixture.onClose(async () => {
    host.closeAllConnections();
    host.close();
  });
  return `http://localhost:${host.address().port}`;
}

const isCode = (text) => /^[A-Z0-9]{6}$/.test(text ?? '');
const shownCode = (tv) => until('the TV shows a code', () => tv.locator('#code').textContent(), isCode);
const isCasting = (tv) => until('the TV shows a cast', () => tv.evaluate(() => document.body.className), (name) => name === 'casting');
const isSharing = (page) => until('the page says that it casts', () => page.locator('#status').textContent(), (text) => text === 'You are sharing your screen.');
const isWelcoming = (tv) => until('the TV shows its code again', () => tv.locator('#code').isVisible());

async function openTv(browser, origin) {
  const page = await openPage(browser, `${origin}/plain/tv.html`);
  await page.evaluate(CONNECTION);
  return page;
}

async function startCaster(browser, origin, code) {
  await openSource(browser);
  const page = await openPage(browser, `${origin}/plain/cast.html`);
  await page.evaluate(CONNECTION);
  await page.locator('#code').fill(code);
  await page.getByRole('button', { name: 'Share my screen' }).click();
  await isSharing(page);
  return page;
}

// The TV and the caster of docs/front-ends.md, as pages of another origin.
async function serveDocumented(fixture, server) {
  const [tv, caster] = blocks('docs/front-ends.md').filter(({ text }) => text.includes('RTCPeerConnection')).map(({ text }) => text);
  const page = (script) => `<!doctype html><script src="${EXAMPLE}/socket.io/socket.io.js"></script><p id="code"></p><video id="video" autoplay muted></video><script>${script}</script>`;
  const pages = { '/tv': page(tv), '/cast': page(`${caster.replace('let pc;', 'let pc; window.castway = { pc: () => pc };')}`) };
  const host = createServer(({ url }, response) => {
    response.setHeader('content-type', 'text/html');
    response.end((pages[url] ?? '').replaceAll(EXAMPLE, server.url));
  }).listen(0, '127.0.0.1');
  await once(host, 'listening');
  fixture.onClose(async () => {
    host.closeAllConnections();
    host.close();
  });
  return `http://localhost:${host.address().port}`;
}

describe('the examples', { concurrency: BROWSER_TESTS_AT_A_TIME }, () => {
  browserTest('the TV and the caster of docs/front-ends.md: a picture', {}, async (fixture, server) => {
    const origin = await serveDocumented(fixture, server);
    const browser = await fixture.browser();
    const tv = await openPage(browser, `${origin}/tv`);
    await tv.evaluate(CONNECTION);
    const code = await shownCode(tv);
    await openSource(browser);
    const caster = await openPage(browser, `${origin}/cast`);
    await caster.evaluate((typed) => window.cast(typed), code);
    await assertPicture(tv);
    await assertMagenta(tv);
  });

  browserTest('plain: a picture, which comes back after a reload of the TV and a restart of the server, and an end', {}, async (fixture, server) => {
    const browser = await fixture.browser();
    const origin = await serve(fixture, server);
    const tv = await openTv(browser, origin);
    const code = await shownCode(tv);

    const wrong = await openPage(browser, `${origin}/plain/cast.html`);
    await openSource(browser);
    await wrong.locator('#code').fill('ZZZZZZ');
    await wrong.getByRole('button', { name: 'Share my screen' }).click();
    await until('a wrong code is named', () => wrong.locator('#status').textContent(), (text) => text === 'No TV has this code.');
    await wrong.context().close();

    const caster = await startCaster(browser, origin, code);
    await isCasting(tv);
    await assertPicture(tv, 2);
    await assertMagenta(tv);

    await tv.reload();
    await tv.evaluate(CONNECTION);
    assert.equal(await shownCode(tv), code);
    await isCasting(tv);
    await assertPicture(tv, 2);

    const connections = () => Promise.all([tv, caster].map((page) => page.evaluate(() => socket.id)));
    const before = await connections();
    await server.restart();
    await until('both are connected again', connections, (now) => now.every((id, index) => id && id !== before[index]));
    await isSharing(caster);
    await assertPicture(tv, 2);
    assert.equal(await tv.locator('#code').textContent(), code);

    await caster.getByRole('button', { name: 'Stop' }).click();
    await isWelcoming(tv);
    assert.equal(await tv.locator('#code').textContent(), code);

    const window = await tv.context().newPage();
    await window.goto(tv.url());
    assert.equal(await shownCode(window), code);
    await until('the first window says why it has no code', () => tv.locator('#status').textContent(), (text) => text === 'This TV is open in another window.');
  });

  browserTest('Python casts a test picture and a file to the plain TV, and ends when somebody else takes over', {}, async (fixture, server) => {
    const browser = await fixture.browser();
    const origin = await serve(fixture, server);
    const tv = await openTv(browser, origin);
    const code = await shownCode(tv);
    const script = join(folder, 'python/cast.py');

    const { code: status, output } = await run(python, [script, 'ZZZZZZ', '--server', server.url]);
    assert.equal(status, 1, output);
    assert.match(output, /refuses the code ZZZZZZ/);

    const first = new Program(python, [script, code, '--server', server.url]);
    fixture.onClose(() => first.close());
    await isCasting(tv);
    await assertPicture(tv, 2);

    const film = join(server.dataDir, 'film.mp4');
    const made = await run(python, ['-c', FILM, film]);
    assert.equal(made.code, 0, made.output);
    const second = new Program(python, [script, code, '--server', server.url, '--file', film]);
    fixture.onClose(() => second.close());
    await until('the first one is told', () => first.output, (text) => /Another caster has taken over\./.test(text));
    await until('the picture is the film', () => tv.evaluate(() => document.getElementById('video').videoWidth), (width) => width === 320);
    await assertPicture(tv, 2);
  });

  browserTest('old-tv: Chromium 64 shows what a current browser shares, and then Chromium 79, which an app may contain', {}, async (fixture, server) => {
    const origin = await serve(fixture, server);
    const openIn = async (version, path) => {
      const old = await openOld(`${origin}/${path}`, { version });
      fixture.onClose(old.close);
      assert.match(old.version, new RegExp(`Chrome/${version}\\.`));
      await until(`${path} has run`, () => old.page.evaluate("document.readyState === 'complete' && typeof socket"), (type) => type === 'object');
      await old.page.evaluate(`${CONNECTION} 0`);
      return old.page;
    };
    const tv = await openIn('64', 'old-tv/index.html');
    const code = await until('a code', () => tv.evaluate("document.getElementById('code').textContent"), isCode);
    const first = await startCaster(await fixture.browser(), origin, code);
    await until('the TV shows a cast', () => tv.evaluate('document.body.className'), (name) => name === 'casting');
    await assertOldPicture(tv);

    const second = await openIn('79', 'plain/cast.html');
    await second.evaluate(`document.getElementById('code').value = '${code}'; document.querySelector('#form button').click()`);
    await until('the first one is told', () => first.locator('#status').textContent(), (text) => text === 'Somebody else shares a screen now.');
    await until('the second one casts', () => second.evaluate("document.getElementById('status').textContent"), (text) => text === 'You are sharing your screen.');
    await until('the TV shows a cast', () => tv.evaluate('document.body.className'), (name) => name === 'casting');
    await assertOldPicture(tv);
    await second.evaluate("document.getElementById('stop').click()");
    await until('the TV shows its code again', () => tv.evaluate('document.body.className'), (name) => name === '');
  });
});

// A film of three seconds.
const FILM = `
import sys, av
with av.open(sys.argv[1], "w") as film:
    stream = film.add_stream("mpeg4", rate=10)
    stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
    for index in range(30):
        frame = av.VideoFrame(320, 240, "yuv420p")
        for plane in frame.planes:
            plane.update(bytes([index * 8 % 256]) * plane.buffer_size)
        film.mux(stream.encode(frame))
    film.mux(stream.encode())
`;
