// The React example, built as its users build it, with the library built as it is published; and the library as one file in a page of another origin.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { run } from '../interop/support/process.mjs';
import { assertMagenta, assertPicture, openPage, openSource, until } from './support/browser.mjs';
import { browserTest } from './support/browser-test.mjs';

const clients = fileURLToPath(new URL('../../clients/', import.meta.url));
const TYPES = { '.html': 'text/html', '.js': 'text/javascript' };

// Serves a folder, and resolves to its origin.
async function serve(fixture, folder, more = {}) {
  const host = createServer(({ url }, response) => {
    const name = new URL(url, 'http://localhost').pathname.replace(/\/$/, '/index.html');
    try {
      const body = more[name] ?? readFileSync(join(folder, name));
      response.setHeader('content-type', TYPES[extname(name)] ?? 'application/octet-stream');
      response.end(body);
    } catch {
      response.writeHead(404).end();
    }
  }).listen(0, '127.0.0.1');
  await once(host, 'listening');
  fixture.onClose(async () => {
    host.closeAllConnections();
    host.close();
  });
  return `http://localhost:${host.address().port}`;
}

async function build(folder, script) {
  const { code, output } = await run('npm', ['--prefix', join(clients, folder), 'run', '--silent', script]);
  assert.equal(code, 0, output);
}

const status = (page, wanted) => until(`the page says ${wanted}`, () => page.locator('#status').textContent(), (text) => wanted.test(text ?? ''));

// The frames that a video element has decoded, since these pages keep their connection to themselves.
const frames = (page) => page.evaluate(() => document.querySelector('video').getVideoPlaybackQuality().totalVideoFrames);

browserTest('react: a picture, a pause, an end at the TV, and a wrong code', {}, async (fixture, server) => {
  await build('js', 'modules');
  await build('examples/react', 'build');
  const origin = await serve(fixture, join(clients, 'examples/react/dist'));
  const browser = await fixture.browser();
  await openSource(browser);
  const page = (hash) => openPage(browser, `${origin}/?server=${encodeURIComponent(server.url)}${hash}`);
  const tv = await page('#tv');
  const code = await until('the TV shows a code', () => tv.locator('#code').textContent().catch(() => ''), (text) => /^[A-Z0-9]{6}$/.test(text ?? ''));
  const caster = await page('');
  const share = async (typed) => {
    await caster.locator('input').fill(typed);
    await caster.getByRole('button', { name: 'Share my screen' }).click();
  };
  await share('ZZZZZZ');
  await status(caster, /^No TV shows this code/);
  await share(code.toLowerCase());
  await status(caster, /^sharing$/);
  await status(tv, /^playing$/);
  const before = await frames(tv);
  await until('frames are decoded', () => frames(tv), (now) => now > before + 10);
  await caster.getByRole('button', { name: 'Pause' }).click();
  await caster.getByRole('button', { name: 'Continue' }).click();
  const paused = await frames(tv);
  await until('frames are decoded after the pause', () => frames(tv), (now) => now > paused + 10);
  await tv.getByRole('button', { name: 'End the cast' }).click();
  await status(caster, /^The cast was ended at the TV/);
  await until('the TV shows its code again', () => tv.locator('#code').textContent().catch(() => ''), (text) => text === code);
});

browserTest('one file: a TV element and a caster by script tags alone', {}, async (fixture, server) => {
  const script = `<!doctype html><meta charset="utf-8"><script src="${server.url}/castway-client.js"></script>`;
  const origin = await serve(fixture, clients, {
    '/tv.html': `${script}<castway-tv server="${server.url}" name="Kitchen" style="height:300px"></castway-tv>`,
    '/cast.html': `${script}<script>
      function share(code) {
        return navigator.mediaDevices.getDisplayMedia({ video: true }).then(function (stream) {
          window.cast = Castway.castTo(code, stream, { server: '${server.url}', username: 'Anna' });
          window.castway = { pc: function () { return window.cast.pc; } };
        });
      }
    </script>`,
  });
  const browser = await fixture.browser();
  await openSource(browser);
  const tv = await openPage(browser, `${origin}/tv.html`);
  const element = tv.locator('castway-tv');
  const code = await until('the element shows a code', () => element.evaluate(({ tv: { code: now } }) => now), (text) => /^[A-Z0-9]{6}$/.test(text));
  assert.equal((await element.evaluate(({ shadowRoot }) => shadowRoot.querySelector('[part=code]').textContent)).replace(' ', ''), code);
  const caster = await openPage(browser, `${origin}/cast.html`);
  await caster.evaluate((typed) => share(typed), code);
  await until('the element plays', () => element.evaluate(({ tv: { state } }) => state), (state) => state === 'playing');
  assert.equal(await caster.evaluate(() => window.cast.tv.name), 'Kitchen');
  await tv.evaluate(() => {
    const { tv: one } = document.querySelector('castway-tv');
    window.castway = { pc: () => one.pc };
    // Where the tests look for the picture.
    document.getElementById = () => document.querySelector('castway-tv').shadowRoot.querySelector('video');
  });
  await assertPicture(tv, 2);
  await assertMagenta(tv);
});
