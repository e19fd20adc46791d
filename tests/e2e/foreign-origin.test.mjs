// Front ends that live on another origin, with each client generation's own defaults, polling first.
import { createServer } from 'node:http';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import assert from 'node:assert/strict';
import { excerpt } from '../interop/support/excerpt.mjs';
import { openPage, until } from './support/browser.mjs';
import { scene } from './support/scene.mjs';

const script = (generation) => readFileSync(new URL(`node_modules/socket.io-client-${generation}/dist/socket.io.js`, import.meta.url));

// The lines of the tutorials, in a page that a different server serves.
const PAGE = (url) => `<!doctype html><title>front end</title><p id="code"></p><p id="problem"></p><script src="client.js"></script><script>
  let socket = io.connect('${url}');
  socket.on('connect', function () {
    socket.emit('TV_INIT');
  });
  socket.on('TV_INIT_OK', (code) => { document.getElementById('code').textContent = code; });
  socket.on('connect_error', (error) => { document.getElementById('problem').textContent = String(error); });
</script>`;

for (const generation of [2, 3, 4]) {
  scene(`a page on another origin gets a code with socket.io-client ${generation}`, {}, async (stage, server) => {
    const host = createServer((request, response) => {
      const isScript = request.url === '/client.js';
      response.setHeader('content-type', isScript ? 'text/javascript' : 'text/html');
      response.end(isScript ? script(generation) : PAGE(server.url));
    }).listen(0, '127.0.0.1');
    await once(host, 'listening');
    stage.later(async () => {
      host.closeAllConnections();
      host.close();
    });
    const page = await openPage(await stage.browser(), `http://localhost:${host.address().port}/`);
    const look = () => page.evaluate(() => ({ code: document.getElementById('code').textContent, problem: document.getElementById('problem').textContent }));
    const { code } = await until('a code', look, ({ code: text, problem }) => text !== '' || problem !== '');
    assert.match(code, /^[A-Z0-9]{6}$/, `${(await look()).problem} ${excerpt(page.messages.join('; '))}`);
  });
}
