// Measures how sharp 12 px text is on the TV, and how soon. Prints one line for each cast.
//
//   npm ci --prefix tests/e2e && node benches/sharpness/main.mjs TABLE… | ROWS
//
// The tables are in rows.mjs; ROWS is a JSON array of such rows. `pages` needs a server (cargo build --release, or CASTWAY_TEST_BINARY).
import { launch, openSlides, SIZES } from './browsers.mjs';
import { measure } from './measure.mjs';
import { castPages } from './pages.mjs';
import { castPair } from './pair.mjs';
import { TABLES } from './rows.mjs';

const seconds = (sample) => (sample ? (Math.max(0, sample.at) / 1000).toFixed(1) : 'never');

const valueOf = (value) => (Object(value) === value ? Object.entries(value).map((pair) => pair.join(' ')).join(', ') : value === true ? 'yes' : `${value || 'none'}`);

function describe({ size, ...row }) {
  return Object.entries(row).map(([name, value]) => `${name}: ${valueOf(value) || 'none'}`).join('; ');
}

function line(row, { shown, sent, received, encodeMs, decodeMs }) {
  const slide = ({ final, sharp, framesUntilSharp }) => `${final.toFixed(3)} ${seconds(sharp)}${sharp ? ` (${framesUntilSharp})` : ''}`;
  const sizes = `${sent.frameWidth}×${sent.frameHeight}`;
  const codec = `${sent.codec} ${sent.encoderImplementation}`;
  return [row.size ?? '1080p', describe(row), codec, sizes, ...shown.map(slide), `${(sent.bytesSent / 1e6).toFixed(2)}`, sent.framesEncoded, `${encodeMs.toFixed(0)} / ${decodeMs.toFixed(0)}`].join(' | ');
}

const wanted = process.argv.slice(2);
const rows = wanted.flatMap((name) => TABLES[name] ?? JSON.parse(name));
if (!rows.length) throw new Error(`name some of these tables: ${Object.keys(TABLES).join(', ')}`);

console.log('| Size | Cast | Encoder | Sent | First slide: SSIM, s until sharp (frames) | Second | Third | MB | Frames | CPU ms a frame, caster / TV |');
console.log('|---|---|---|---|---|---|---|---|---|---|');
const bench = await launch();
let slides;
let size;
try {
  for (const row of rows) {
    const next = row.size ?? '1080p';
    if (next !== size) {
      await slides?.close();
      slides = await openSlides(bench, next);
      size = next;
    }
    const cast = row.pages ? castPages : castPair;
    const result = await cast(bench, slides, { ...SIZES[size], ...row }, (pages) => measure(pages, slides, row.times)).catch((error) => error);
    const failed = result instanceof Error ? result.message.split('\n')[0] : 'this browser lacks the codec';
    console.log(`| ${result && !(result instanceof Error) ? line(row, result) : `${size} | ${describe(row)} | ${failed}`} |`);
  }
} finally {
  await bench.close();
}
