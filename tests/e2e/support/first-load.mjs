// What a page costs that is opened for the first time: its requests, and the bytes of their bodies as they are sent.
import { TIMEOUT_MS, openPage, until } from './browser.mjs';
import { openOld } from './old-chromium.mjs';

export const PAGES = ['/', '/tv', '/cast', '/r', '/check'];

// Written for Chromium 64. The pages' icon and WebSockets are not in it.
const LOADED = `JSON.stringify((function () {
  var entries = performance.getEntriesByType('navigation').concat(performance.getEntriesByType('resource'));
  return { ended: document.readyState === 'complete', requests: entries.length, bytes: entries.reduce(function (sum, entry) { return sum + entry.encodedBodySize; }, 0) };
})())`;

// The page is loaded when no request has been added between two looks.
async function settled(what, evaluate) {
  let last = -1;
  return until(`${what} is loaded`, async () => JSON.parse(await evaluate(LOADED)), ({ ended, requests }) => {
    const same = ended && requests > 3 && requests === last;
    last = requests;
    return same;
  }, TIMEOUT_MS);
}

// In a current Chromium.
export async function firstLoad(browser, server, path) {
  const page = await openPage(browser, server.url + path);
  await page.waitForLoadState('networkidle');
  const cost = await settled(path, (expression) => page.evaluate(expression));
  await page.context().close();
  return cost;
}

// In the Chromium of an old television.
export async function oldFirstLoad(server, path, version = '64') {
  const { page, close } = await openOld(server.url + path, { version });
  try {
    await until(`${path} has started`, () => page.evaluate('Boolean(document.documentElement.lang && document.body && performance.getEntriesByType("resource").length > 6)'));
    return await settled(path, (expression) => page.evaluate(expression));
  } finally {
    await close();
  }
}
