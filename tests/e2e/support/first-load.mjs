// What a page costs that is opened for the first time: its requests, and the bytes of their bodies as they are sent.
import { openPage, until } from './browser.mjs';
import { openOld } from './old-chromium.mjs';

export const PAGES = ['/', '/tv', '/cast', '/r/first-load', '/check'];

// Written for Chromium 64. The pages' icon and WebSockets are not in it. A page has loaded everything when it knows the server.
const LOADED = `JSON.stringify((function () {
  var entries = performance.getEntriesByType('navigation').concat(performance.getEntriesByType('resource'));
  var known = entries.some(function (entry) { return /\\/api\\/info$/.test(entry.name); });
  var body = document.body;
  var online = !/^\\/(tv|cast)$/.test(location.pathname) || (body && body.getAttribute('data-online') === 'true');
  var bytes = entries.reduce(function (sum, entry) { return sum + entry.encodedBodySize; }, 0);
  return { ended: known && online && document.readyState === 'complete', requests: entries.length, bytes: bytes };
})())`;

async function cost(path, evaluate) {
  const { requests, bytes } = await until(`${path} is loaded`, async () => JSON.parse(await evaluate(LOADED)), ({ ended }) => ended);
  return { requests, bytes };
}

// In a current Chromium.
export async function firstLoad(browser, server, path) {
  const page = await openPage(browser, server.url + path);
  try {
    return await cost(path, (expression) => page.evaluate(expression));
  } finally {
    await page.context().close();
  }
}

// In the Chromium of an old television.
export async function oldFirstLoad(server, path, version = '64') {
  const { page, close } = await openOld(server.url + path, { version });
  try {
    return await cost(path, (expression) => page.evaluate(expression));
  } finally {
    await close();
  }
}
