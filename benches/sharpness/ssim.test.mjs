// node --test benches/sharpness/ssim.test.mjs
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { luma, ssim } from './ssim.mjs';

const picture = (width, height, at) => Float32Array.from({ length: width * height }, (_, i) => at(i % width, Math.floor(i / width)));
const near = (value, expected) => assert.ok(Math.abs(value - expected) < 1e-6, `${value} is not ${expected}`);
const C1 = 2.55 ** 2;
const C2 = 7.65 ** 2;

test('a picture is equal to itself', () => {
  const text = picture(24, 16, (x, y) => ((x * 7 + y * 13) % 5 ? 255 : 0));
  near(ssim(text, text, 24, 16), 1);
});

test('two plain pictures differ by their brightness alone', () => {
  near(ssim(picture(8, 8, () => 100), picture(8, 8, () => 200), 8, 8), (2 * 100 * 200 + C1) / (100 ** 2 + 200 ** 2 + C1));
});

test('an inverted picture has a negative covariance', () => {
  const stripes = picture(8, 8, (x) => (x % 2 ? 255 : 0));
  const variance = 127.5 ** 2;
  near(ssim(stripes, stripes.map((value) => 255 - value), 8, 8), (-2 * variance + C2) / (2 * variance + C2));
});

test('the result is the mean over the windows', () => {
  const left = picture(16, 8, () => 100);
  const right = picture(16, 8, (x) => (x < 8 ? 100 : 200));
  near(ssim(left, right, 16, 8), (1 + (2 * 100 * 200 + C1) / (100 ** 2 + 200 ** 2 + C1)) / 2);
});

test('blurred text is worse than noisy text of the same error', () => {
  const text = picture(64, 64, (x, y) => ((x * 3 + y * 5) % 7 < 2 ? 0 : 255));
  const blurred = picture(64, 64, (x, y) => (text[y * 64 + x] + text[y * 64 + Math.min(63, x + 1)] + text[y * 64 + Math.max(0, x - 1)]) / 3);
  const error = Math.sqrt(text.reduce((sum, value, i) => sum + (value - blurred[i]) ** 2, 0) / text.length);
  const noisy = text.map((value, i) => value + (i % 2 ? error : -error));
  assert.ok(ssim(text, blurred, 64, 64) < ssim(text, noisy, 64, 64));
});

test('green counts most for the luma', () => {
  assert.deepEqual([...luma(Uint8Array.of(0, 255, 0, 255, 255, 255, 255, 255))].map(Math.round), [150, 255]);
});
