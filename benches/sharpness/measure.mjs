// What one cast shows: the similarity at the end, and how long each slide takes to be sharp.
import { setTimeout as sleep } from 'node:timers/promises';
import { SLIDE_COUNT } from './browsers.mjs';

// A slide is sharp from when its text is so similar to the source, and stays so.
export const SHARP = 0.95;

function statistics() {
  return (window.pc ?? window.castway.pc()).getStats().then((all) => {
    const result = {};
    for (const report of all.values()) {
      if (report.type === 'outbound-rtp' && report.kind === 'video') {
        const { framesEncoded, totalEncodeTime, bytesSent, encoderImplementation, qualityLimitationReason, frameWidth, frameHeight, codecId, keyFramesEncoded } = report;
        Object.assign(result, { framesEncoded, totalEncodeTime, bytesSent, encoderImplementation, qualityLimitationReason, frameWidth, frameHeight, keyFramesEncoded, codec: all.get(codecId)?.mimeType.slice(6), at: report.timestamp });
      }
      if (report.type === 'inbound-rtp' && report.kind === 'video') Object.assign(result, { framesDecoded: report.framesDecoded, totalDecodeTime: report.totalDecodeTime, decoderImplementation: report.decoderImplementation });
    }
    return result;
  });
}

// The CPU time of the page's process so far, in ms. The software encoders and decoders run in it.
async function cpuTime(session) {
  const { metrics } = await session.send('Performance.getMetrics');
  return 1000 * metrics.find(({ name }) => name === 'ProcessTime').value;
}

async function processOf(page) {
  const session = await page.context().newCDPSession(page);
  await session.send('Performance.enable');
  const before = await cpuTime(session);
  return async () => (await cpuTime(session)) - before;
}

function judge(samples) {
  const final = samples.at(-1)?.ssim ?? 0;
  const last = samples.findLastIndex(({ ssim }) => ssim < SHARP);
  const sharp = final >= SHARP ? samples[last + 1] : null;
  return { first: samples[0] ?? null, sharp, framesUntilSharp: sharp && last + 2, final, frames: samples.length };
}

// Both pages have a connection, and the receiver has the meter, which watches.
export async function measure({ sender, receiver }, slides, { firstMs = 12_000, nextMs = 6000 } = {}) {
  const cpu = [await processOf(sender), await processOf(receiver)];
  await sleep(firstMs);
  const shown = [judge(await receiver.evaluate(() => window.meter.samples))];
  for (let slide = 1; slide < SLIDE_COUNT; slide += 1) {
    await receiver.evaluate((n) => window.meter.expect(n), slide);
    await slides.show(slide);
    await sleep(nextMs);
    shown.push(judge(await receiver.evaluate(() => window.meter.samples)));
  }
  const sent = await sender.evaluate(statistics);
  const received = await receiver.evaluate(statistics);
  const [encoding, decoding] = [await cpu[0](), await cpu[1]()];
  await slides.show(0);
  return { shown, sent, received, encodeMs: encoding / sent.framesEncoded, decodeMs: decoding / received.framesDecoded };
}
