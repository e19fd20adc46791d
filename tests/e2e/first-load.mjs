// Prints what each page costs that is opened for the first time, in a new and in an old engine: node first-load.mjs
import { startServer } from '../interop/support/server.mjs';
import { launch } from './support/browser.mjs';
import { firstLoad, oldFirstLoad, PAGES } from './support/first-load.mjs';

const server = await startServer();
const browser = await launch();
try {
  console.log('| page | engine | requests | bytes, compressed |\n|---|---|---|---|');
  const row = (path, engine, { requests, bytes }) => console.log(`| ${path} | ${engine} | ${requests} | ${bytes} |`);
  for (const path of PAGES) {
    row(path, `Chromium ${browser.version()}`, await firstLoad(browser, server, path));
    row(path, 'Chromium 64', await oldFirstLoad(server, path));
  }
} finally {
  await browser.close();
  await server.close();
}
