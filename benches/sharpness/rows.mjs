// What is measured. `sdp`: start and least bit rate in the answer, in kbit/s. The network is unlimited where a row has none.
const SLOW = { kbps: 8000, delayMs: 20 };
const NARROW = { kbps: 2000, delayMs: 20 };
const CODECS = ['VP8', 'VP9', 'AV1', 'H264'];

const START = { start: 4000 };

const codecs = CODECS.map((codec) => ({ codec, hint: 'detail', sdp: START, network: SLOW }));
const starts = [SLOW, NARROW].flatMap((network) =>
  ['detail', 'motion'].flatMap((hint) => [{}, { start: 2500 }, { start: 5000 }].map((sdp) => ({ codec: 'VP8', hint, sdp, network }))),
);
const hints = ['detail', 'text', 'motion', ''].map((hint) => ({ codec: 'AV1', hint, sdp: START, network: SLOW }));
const degradations = ['maintain-resolution', 'balanced', 'maintain-framerate'].map((degradation) => ({ codec: 'VP8', hint: 'motion', degradation, network: SLOW }));
const large = CODECS.map((codec) => ({ size: '4k', codec, hint: 'detail', sdp: START }));
const scales = [{ scaleResolutionDownBy: 2 }].map((encoding) => ({ size: '4k', codec: 'VP8', hint: 'detail', sdp: START, encoding }));
const pages = [{ network: SLOW }, { network: SLOW, preset: 'smooth' }, { network: NARROW }, { size: '4k' }, { size: '4k', tv: { width: 1920, height: 1080 } }];

export const TABLES = { codecs, starts, hints, degradations, large, scales, pages: pages.map((row) => ({ preset: 'sharp', pages: true, ...row })) };
