// The caster's page sends what suits the TV: its size, a codec that it decodes, and no more than the operator allows.
import assert from 'node:assert/strict';
import { openPage, startCast, shownCode, inState, until } from './support/browser.mjs';
import { browserTest } from './support/browser-test.mjs';

const CEILING_KBPS = 300;
const TITLE = 'castway test picture';
const SIZE = { width: 640, height: 360 };
const SMALL = { width: 320, height: 180 };

// Noise, of which every encoder sends as much as it may.
const NOISE = `<!doctype html><title>${TITLE}</title><style>html,body{margin:0}canvas{display:block}</style>
<canvas width="${SIZE.width}" height="${SIZE.height}"></canvas><script>
  const context = document.querySelector('canvas').getContext('2d');
  const image = context.createImageData(${SIZE.width}, ${SIZE.height});
  const words = new Uint32Array(image.data.buffer);
  (function draw() {
    for (let i = 0; i < words.length; i += 1) words[i] = Math.random() * 0xffffff | 0xff000000;
    context.putImageData(image, 0, 0);
    setTimeout(draw, 100);
  })();
</script>`;

async function openNoise(browser) {
  const page = await (await browser.newContext({ viewport: SIZE })).newPage();
  await page.setContent(NOISE);
}

// What the caster's engine says of the video that it sends.
const sent = (page) =>
  page.evaluate(async () => {
    const pc = window.castway.pc();
    const all = await pc.getStats();
    const video = [...all.values()].find(({ type, kind }) => type === 'outbound-rtp' && kind === 'video');
    const sender = pc.getSenders().find(({ track }) => track?.kind === 'video');
    const [{ maxBitrate }] = sender.getParameters().encodings;
    const { frameWidth, frameHeight, codecId, framesEncoded = 0, bytesSent, timestamp } = video ?? {};
    const start = /x-google-start-bitrate=(\d+)/.exec(pc.currentRemoteDescription?.sdp ?? '');
    return {
      frameWidth, frameHeight, framesEncoded, bytesSent, timestamp, maxBitrate,
      codec: all.get(codecId)?.mimeType, startKbps: start && Number(start[1]),
    };
  });

const decoding = (page) => until('the TV decodes', () => page.evaluate(() => document.getElementById('video').videoWidth), (width) => width === SMALL.width);

browserTest('a small TV gets its own size, a codec that it claims, and no more bits than the ceiling', { CASTWAY_MAX_BITRATE: String(CEILING_KBPS) }, async (fixture, server) => {
  const [tvBrowser, castBrowser] = [await fixture.browser(), await fixture.browser()];
  await openNoise(castBrowser);
  const tv = await openPage(tvBrowser, `${server.url}/tv?ice=relay`, { viewport: SMALL });
  const caster = await startCast(castBrowser, server, await shownCode(tv));
  await inState(tv, 'playing');

  const first = await until('the picture has the size of the TV', () => sent(caster), ({ frameWidth, framesEncoded }) => frameWidth === SMALL.width && framesEncoded > 5);
  assert.equal(first.frameHeight, SMALL.height);
  assert.equal(first.maxBitrate, CEILING_KBPS * 1000);
  assert.equal(first.startKbps, CEILING_KBPS);
  // Both ends are Chromium, and such a small picture is cheap even without hardware.
  assert.equal(first.codec, 'video/AV1');
  await decoding(tv);

  const later = await until('more frames are encoded', () => sent(caster), ({ framesEncoded }) => framesEncoded > first.framesEncoded + 60);
  const kbps = (8 * (later.bytesSent - first.bytesSent)) / (later.timestamp - first.timestamp);
  assert.ok(kbps < 1.5 * CEILING_KBPS, `${Math.round(kbps)} kbit/s are sent`);

  // An engine that can't tell what it decodes, like those of old TVs.
  await tv.addInitScript(() => Object.defineProperty(navigator, 'mediaCapabilities', { value: undefined }));
  await tv.reload();
  const old = await until('a new connection uses VP8', () => sent(caster), ({ codec, framesEncoded }) => codec === 'video/VP8' && framesEncoded > 5);
  assert.equal(old.maxBitrate, CEILING_KBPS * 1000);
  await inState(tv, 'playing');
  await decoding(tv);
});
