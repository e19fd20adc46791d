/** How a picture is captured and sent: presets, and their limits for one TV. */
import type { TvScreen } from './codecs';

export type Preset = 'sharp' | 'smooth' | 'best';

export interface Quality {
  /** The largest picture, in pixels. */
  width: number;
  height: number;
  frameRate: number;
  /** In bit/s. */
  maxBitrate: number;
  /** Where the bandwidth estimation begins, in bit/s. */
  startBitrate: number;
  contentHint: 'detail' | 'text' | 'motion' | '';
  degradation: RTCDegradationPreference;
}

export const PRESETS: Record<Preset, Quality> = {
  sharp: {
    width: 3840,
    height: 2160,
    frameRate: 30,
    maxBitrate: 20_000_000,
    startBitrate: 2_500_000,
    contentHint: 'detail',
    degradation: 'maintain-resolution',
  },
  smooth: {
    width: 1920,
    height: 1080,
    frameRate: 60,
    maxBitrate: 10_000_000,
    startBitrate: 2_500_000,
    contentHint: 'motion',
    degradation: 'maintain-framerate',
  },
  best: {
    width: 3840,
    height: 2160,
    frameRate: 60,
    maxBitrate: 40_000_000,
    startBitrate: 4_000_000,
    contentHint: 'motion',
    degradation: 'maintain-resolution',
  },
};

/** A TV that does not tell its size: many of them decode in software, and show pages in 1080 lines. */
const UNKNOWN_SCREEN = { width: 2560, height: 1440 };
/** Smaller pictures need more bits for each pixel: the bit rate grows with this power of their number. */
const BITRATE_EXPONENT = 0.75;
/** No scaling makes the bit rate smaller, in bit/s. */
const MIN_SCALED_BITRATE = 2_500_000;

/**
 * The quality for one TV: no more pixels than it shows, the bit rate that suits them, and never more than the ceiling of the server
 * (in kbit/s; null or 0 is none).
 */
export function limitFor(quality: Quality, screen: Pick<TvScreen, 'width' | 'height'> | null, ceilingKbps: number | null): Quality {
  const shown = screen && screen.width && screen.height ? screen : UNKNOWN_SCREEN;
  // A TV that hangs upright shows an upright picture as well as a lying one.
  const long = Math.max(shown.width, shown.height);
  const short = Math.min(shown.width, shown.height);
  const width = Math.min(quality.width, long);
  const height = Math.min(quality.height, short);
  const share = (width * height) / (quality.width * quality.height);
  const least = Math.min(quality.maxBitrate, MIN_SCALED_BITRATE);
  let maxBitrate = Math.max(least, Math.round(quality.maxBitrate * Math.pow(share, BITRATE_EXPONENT)));
  if (ceilingKbps && ceilingKbps > 0) maxBitrate = Math.min(maxBitrate, Math.round(ceilingKbps * 1000));
  return { ...quality, width, height, maxBitrate, startBitrate: Math.min(quality.startBitrate, maxBitrate) };
}

/** How much smaller than captured the picture is sent, for `scaleResolutionDownBy`: 1 or more. */
export function scaleFor(quality: Pick<Quality, 'width' | 'height'>, captured: { width?: number; height?: number }): number {
  const { width, height } = captured;
  if (!width || !height) return 1;
  const upright = height > width;
  const largest = upright ? { width: quality.height, height: quality.width } : quality;
  return Math.max(1, width / largest.width, height / largest.height);
}
