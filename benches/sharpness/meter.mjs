// Runs in the page that shows the picture: compares each new frame with the source, and remembers when it was how similar.
import { luma, ssim } from './ssim.mjs';

// The part of the picture that is compared, in parts of its size: a whole 4K frame takes too long to read.
const AREA = { left: 0.25, top: 0.25, width: 0.25, height: 0.25 };

function install(area, lumaOf, similarity) {
  const canvas = document.createElement('canvas');
  const context = canvas.getContext('2d', { willReadFrequently: true });
  // The area of the picture, scaled to the size that the whole of the source has.
  const read = (image, from, to) => {
    canvas.width = Math.round(to.width * area.width);
    canvas.height = Math.round(to.height * area.height);
    context.drawImage(image, from.width * area.left, from.height * area.top, from.width * area.width, from.height * area.height, 0, 0, canvas.width, canvas.height);
    return lumaOf(context.getImageData(0, 0, canvas.width, canvas.height).data);
  };
  const meter = {
    samples: [],
    // The slides as `read` returns them, as base64 of bytes: the pages of the server may load no other pictures than their own.
    load({ size, slides }) {
      meter.size = size;
      meter.slides = slides.map((text) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0)));
    },
    async decode(pictures) {
      const slides = [];
      let size;
      for (const picture of pictures) {
        const image = new Image();
        image.src = picture;
        await image.decode();
        size = { width: image.naturalWidth, height: image.naturalHeight };
        const bytes = Uint8Array.from(read(image, size, size), Math.round);
        let text = '';
        for (let i = 0; i < bytes.length; i += 8192) text += String.fromCharCode(...bytes.subarray(i, i + 8192));
        slides.push(btoa(text));
      }
      return { size, slides };
    },
    // What is shown from now on.
    expect(slide) {
      meter.slide = slide;
      meter.since = performance.now();
      meter.samples = [];
    },
    watch(video) {
      const frame = () => {
        const shown = read(video, { width: video.videoWidth, height: video.videoHeight }, meter.size);
        const value = similarity(meter.slides[meter.slide], shown, canvas.width, canvas.height);
        meter.samples.push({ at: performance.now() - meter.since, ssim: value, width: video.videoWidth, height: video.videoHeight });
        video.requestVideoFrameCallback(frame);
      };
      video.requestVideoFrameCallback(frame);
    },
  };
  window.meter = meter;
}

export const installMeter = (page) => page.evaluate(`void (${install})(${JSON.stringify(AREA)}, ${luma}, ${ssim})`);

// Begins to compare the frames of this page's video with the slides.
export async function watch(page, source) {
  await installMeter(page);
  await page.evaluate((loaded) => {
    window.meter.load(loaded);
    window.meter.expect(0);
    window.meter.watch(document.querySelector('video'));
  }, source);
}
