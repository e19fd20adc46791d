import { describe, expect, it } from 'vitest';
import { limitFor, PRESETS, scaleFor } from '../src/quality';

const TV_1080 = { width: 1920, height: 1080 };
const TV_2160 = { width: 3840, height: 2160 };

describe('the presets', () => {
  it('go up to 60 frames a second at 2160 lines', () => {
    expect(PRESETS.best).toMatchObject({ width: 3840, height: 2160, frameRate: 60 });
  });

  it('keep text sharp and video moving', () => {
    expect(PRESETS.sharp).toMatchObject({ contentHint: 'detail', degradation: 'maintain-resolution' });
    expect(PRESETS.smooth).toMatchObject({ contentHint: 'motion', degradation: 'maintain-framerate' });
  });
});

describe('the limits for a TV', () => {
  it('leave a preset as it is if the TV shows all of its pixels', () => {
    expect(limitFor(PRESETS.best, TV_2160, null)).toEqual(PRESETS.best);
    expect(limitFor(PRESETS.smooth, TV_2160, null)).toEqual(PRESETS.smooth);
  });

  it('send no more pixels than the TV shows, and fewer bits then', () => {
    const limited = limitFor(PRESETS.best, TV_1080, null);
    expect(limited).toMatchObject(TV_1080);
    expect(limited.maxBitrate).toBeLessThan(PRESETS.best.maxBitrate / 2);
    expect(limited.maxBitrate).toBeGreaterThan(PRESETS.best.maxBitrate / 4);
    expect(limited.frameRate).toBe(60);
  });

  it('suit a TV that hangs upright', () => {
    expect(limitFor(PRESETS.sharp, { width: 1080, height: 1920 }, null)).toEqual(limitFor(PRESETS.sharp, TV_1080, null));
  });

  it('are 1440 lines for a TV that says nothing', () => {
    expect(limitFor(PRESETS.sharp, null, null)).toMatchObject({ width: 2560, height: 1440 });
    expect(limitFor(PRESETS.sharp, { width: 0, height: 0 }, null)).toMatchObject({ width: 2560, height: 1440 });
    expect(limitFor(PRESETS.smooth, null, null)).toMatchObject(TV_1080);
  });

  it('never exceed the ceiling of the server', () => {
    const limited = limitFor(PRESETS.best, TV_2160, 1500);
    expect(limited.maxBitrate).toBe(1_500_000);
    expect(limited.startBitrate).toBe(1_500_000);
    expect(limitFor(PRESETS.best, TV_2160, 0)).toEqual(PRESETS.best);
  });

  it('give a tiny screen enough bits for text', () => {
    expect(limitFor(PRESETS.sharp, { width: 320, height: 180 }, null).maxBitrate).toBe(2_500_000);
  });
});

describe('the scale', () => {
  it('is how many times larger the capture is', () => {
    expect(scaleFor(TV_1080, TV_2160)).toBe(2);
    expect(scaleFor(TV_1080, { width: 2560, height: 1440 })).toBeCloseTo(4 / 3);
  });

  it('never enlarges', () => {
    expect(scaleFor(TV_2160, TV_1080)).toBe(1);
    expect(scaleFor(TV_2160, {})).toBe(1);
  });

  it('fits pictures of another shape into the screen', () => {
    expect(scaleFor(TV_1080, { width: 1920, height: 1200 })).toBeCloseTo(1200 / 1080);
    expect(scaleFor(TV_1080, { width: 1080, height: 2400 })).toBeCloseTo(2400 / 1920);
  });
});
