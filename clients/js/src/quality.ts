/** What a cast may send. */
export interface Quality {
  /** In pixels. */
  width: number;
  height: number;
  /** Frames per second. */
  frameRate: number;
  /** In bits per second. */
  maxBitrate: number;
  contentHint: string;
  degradation: RTCDegradationPreference;
}

/** One codec that a TV decodes. */
export interface TvCodec {
  codec: string;
  smooth: boolean;
  powerEfficient: boolean;
}

/** What a TV can show. */
export interface TvScreen {
  /** In device pixels. */
  width: number;
  height: number;
  codecs: TvCodec[];
}

export type Preset = 'sharp' | 'smooth';

// At most 1440 lines: many TVs decode in software, and show pages in 1080 lines anyway.
export const PRESETS: Record<Preset, Quality> = {
  sharp: { frameRate: 15, width: 2560, height: 1440, maxBitrate: 8_000_000, contentHint: 'detail', degradation: 'maintain-resolution' },
  smooth: { frameRate: 30, width: 1920, height: 1080, maxBitrate: 6_000_000, contentHint: 'motion', degradation: 'maintain-framerate' },
};
