// The browser with the slides, a page that sends them and a page that receives them.
import { createServer } from 'node:http';
import { chromium } from '../../tests/e2e/node_modules/playwright-core/index.mjs';
import { installMeter } from './meter.mjs';
import { SLIDES, SLIDES_TITLE } from './slides.mjs';

export const SIZES = { '720p': { width: 1280, height: 720 }, '1080p': { width: 1920, height: 1080 }, '4k': { width: 3840, height: 2160 } };
export const SLIDE_COUNT = 3;

export async function launch() {
  const server = createServer((_, response) => response.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html><title>bench</title><video autoplay muted playsinline></video>'));
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const browser = await chromium.launch({
    executablePath: process.env.CASTWAY_TEST_CHROMIUM ?? '/usr/bin/chromium',
    args: [
      '--no-sandbox',
      '--allow-loopback-in-peer-connection',
      '--disable-features=WebRtcHideLocalIpsWithMdns',
      `--auto-select-tab-capture-source-by-title=${SLIDES_TITLE}`,
      '--autoplay-policy=no-user-gesture-required',
      '--hide-scrollbars',
    ],
  });
  const url = `http://localhost:${server.address().port}/`;
  return {
    browser,
    async page(options = {}, at = url) {
      const page = await (await browser.newContext(options)).newPage();
      if (at) await page.goto(at);
      return page;
    },
    async close() {
      await browser.close();
      server.close();
    },
  };
}

// The page with the slides, and `source`: what the meter compares with.
export async function openSlides(bench, size) {
  const page = await bench.page({ viewport: SIZES[size] }, '');
  await page.setContent(SLIDES);
  const show = (slide) => page.evaluate((n) => window.show(n), slide);
  const pictures = [];
  for (let slide = 0; slide < SLIDE_COUNT; slide += 1) {
    await show(slide);
    pictures.push(`data:image/png;base64,${(await page.screenshot()).toString('base64')}`);
  }
  await show(0);
  const reader = await bench.page();
  await installMeter(reader);
  const source = await reader.evaluate((all) => window.meter.decode(all), pictures);
  await reader.context().close();
  return { source, show, close: () => page.context().close() };
}
