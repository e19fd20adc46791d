/** What a TV and a caster can decode and encode, and which codec they use. */

export type Codec = 'AV1' | 'VP9' | 'H264' | 'H265' | 'VP8';

export interface CodecAbility {
  codec: Codec;
  smooth: boolean;
  /** In practice: with hardware. */
  powerEfficient: boolean;
}

/** What a TV says of itself. Without `codecs` it claims nothing, since its engine can't tell. */
export interface TvScreen {
  /** In device pixels. */
  width: number;
  height: number;
  codecs: CodecAbility[];
}

/** A codec as `getCapabilities` lists it. */
export interface ListedCodec {
  mimeType: string;
  clockRate: number;
  channels?: number;
  sdpFmtpLine?: string;
}

interface Picture {
  width: number;
  height: number;
  frameRate: number;
  contentHint: string;
}

interface Answer {
  supported: boolean;
  smooth: boolean;
  powerEfficient: boolean;
}

type Query = (configuration: { type: 'webrtc'; video: VideoConfiguration }) => Promise<Answer>;

/** The part of `window` that is read. Everything in it may be missing. */
export interface Surroundings {
  screen?: { width: number; height: number };
  devicePixelRatio?: number;
  navigator: { hardwareConcurrency?: number; mediaCapabilities?: { decodingInfo?: Query; encodingInfo?: Query } };
  RTCRtpReceiver?: { getCapabilities?: (kind: string) => { codecs: ListedCodec[] } | null };
  RTCRtpSender?: { getCapabilities?: (kind: string) => { codecs: ListedCodec[] } | null };
  setTimeout(handler: () => void, milliseconds: number): number;
}

export const CODECS: Codec[] = ['AV1', 'VP9', 'H264', 'H265', 'VP8'];
const QUERY_TIMEOUT_MS = 3000;
const QUERY_BITRATE = 8_000_000;
const QUERY_FRAME_RATE = 30;
/** A screen of more pixels a side is a wrong claim. */
const MAX_SIDE = 16_384;

/**
 * Engines call software smooth as long as they have not tried it, even AV1 at 2160 lines on two cores. So software counts as smooth
 * only while it needs at most half of the cores. The costs, in milliseconds of one core for a megapixel, are those of Chromium.
 */
const ENCODING_MS: Record<Codec, number> = { VP8: 25, H264: 35, VP9: 40, AV1: 55, H265: Infinity };
const DECODING_MS: Record<Codec, number> = { VP8: 5, H264: 5, VP9: 5, AV1: 8, H265: 15 };
/** A screen with text changes less often than its frame rate allows. */
const TEXT_FRAME_RATE = 10;

/** AV1's tools for screen content need half of the bits for text; VP9's need more time until it is sharp (see benches/README.md). */
const TEXT_ORDER: Codec[] = ['AV1', 'VP8', 'H264', 'VP9', 'H265'];
/** Without hardware: the fewest bits first, as long as the cores suffice. */
const MOTION_ORDER: Codec[] = ['VP9', 'VP8', 'H264', 'AV1', 'H265'];
const HARDWARE_ORDER: Codec[] = ['AV1', 'H265', 'VP9', 'H264', 'VP8'];
/** If nothing is smooth: what costs least. */
const SLOW_ORDER: Codec[] = ['VP8', 'H264', 'VP9', 'AV1', 'H265'];

function isText(contentHint: string): boolean {
  return contentHint === 'detail' || contentHint === 'text';
}

function family(listed: ListedCodec): Codec | null {
  const name = listed.mimeType.slice(listed.mimeType.indexOf('/') + 1).toUpperCase();
  return CODECS.indexOf(name as Codec) >= 0 ? (name as Codec) : null;
}

function listed(api: Surroundings['RTCRtpSender']): ListedCodec[] {
  if (!api || typeof api.getCapabilities !== 'function') return [];
  try {
    const found = api.getCapabilities('video');
    return found ? found.codecs : [];
  } catch {
    return [];
  }
}

function inTime(around: Surroundings, query: Promise<Answer>): Promise<Answer | null> {
  return new Promise((resolve) => {
    around.setTimeout(() => resolve(null), QUERY_TIMEOUT_MS);
    query.then(resolve, () => resolve(null));
  });
}

function affordable(milliseconds: number, cores: number, picture: Picture): boolean {
  const frames = isText(picture.contentHint) ? Math.min(TEXT_FRAME_RATE, picture.frameRate) : picture.frameRate;
  const megapixels = (picture.width * picture.height * frames) / 1e6;
  return milliseconds * megapixels <= 500 * cores;
}

/** The answers of the engine for each family that it lists. */
async function abilities(
  around: Surroundings,
  codecs: ListedCodec[],
  method: 'decodingInfo' | 'encodingInfo',
  costs: Record<Codec, number>,
  picture: Picture,
): Promise<CodecAbility[]> {
  const asked = around.navigator.mediaCapabilities;
  if (!asked || typeof asked[method] !== 'function') return [];
  const cores = around.navigator.hardwareConcurrency || 2;
  const found = await Promise.all(
    CODECS.map(async (codec): Promise<CodecAbility | null> => {
      const first = codecs.filter((one) => family(one) === codec)[0];
      if (!first) return null;
      const { width, height, frameRate } = picture;
      const video = { contentType: `video/${codec}`, width, height, bitrate: QUERY_BITRATE, framerate: frameRate };
      let answer: Answer | null;
      try {
        answer = await inTime(around, asked[method]!({ type: 'webrtc', video }));
      } catch {
        answer = null;
      }
      if (!answer || !answer.supported) return null;
      const hardware = answer.powerEfficient === true;
      return { codec, smooth: answer.smooth === true && (hardware || affordable(costs[codec], cores, picture)), powerEfficient: hardware };
    }),
  );
  return found.filter((one) => one !== null) as CodecAbility[];
}

/** What this TV shows and decodes. It never fails: an engine that can't tell claims no codec. */
export async function readScreen(around: Surroundings): Promise<TvScreen> {
  const ratio = around.devicePixelRatio || 1;
  const own = around.screen;
  const width = own ? Math.round(own.width * ratio) : 0;
  const height = own ? Math.round(own.height * ratio) : 0;
  const picture = { width: width || 1920, height: height || 1080, frameRate: QUERY_FRAME_RATE, contentHint: 'motion' };
  const codecs = await abilities(around, listed(around.RTCRtpReceiver), 'decodingInfo', DECODING_MS, picture);
  return { width, height, codecs };
}

/** What this caster encodes of such a picture; empty if its engine can't tell. */
export function readEncoders(around: Surroundings, picture: Picture): Promise<CodecAbility[]> {
  return abilities(around, listed(around.RTCRtpSender), 'encodingInfo', ENCODING_MS, picture);
}

function asSide(value: unknown): number {
  return typeof value === 'number' && value >= 1 && value <= MAX_SIDE ? Math.round(value) : 0;
}

/** Reads a TV's claim, which may be anything. Null if it says nothing of its size and its codecs. */
export function asScreen(value: unknown): TvScreen | null {
  if (typeof value !== 'object' || value === null) return null;
  const { width, height, codecs } = value as { width?: unknown; height?: unknown; codecs?: unknown };
  const claims: CodecAbility[] = [];
  (Array.isArray(codecs) ? codecs : []).slice(0, 2 * CODECS.length).forEach((one: unknown) => {
    const claim = (typeof one === 'object' && one !== null ? one : {}) as { codec?: unknown; smooth?: unknown; powerEfficient?: unknown };
    if (CODECS.indexOf(claim.codec as Codec) < 0 || claims.some((known) => known.codec === claim.codec)) return;
    claims.push({ codec: claim.codec as Codec, smooth: claim.smooth === true, powerEfficient: claim.powerEfficient === true });
  });
  const screen = { width: asSide(width), height: asSide(height), codecs: claims };
  if (!screen.width || !screen.height) screen.width = screen.height = 0;
  return screen.width || claims.length ? screen : null;
}

function ability(list: CodecAbility[], codec: Codec): CodecAbility | null {
  return list.filter((one) => one.codec === codec)[0] ?? null;
}

/** Lower is better. */
function rank(codec: Codec, screen: TvScreen, encoders: CodecAbility[], contentHint: string): number {
  const decodes = ability(screen.codecs, codec);
  const encodes = ability(encoders, codec);
  if (!decodes) return 1000;
  // An engine that can't tell what it encodes well has its own order.
  if (!encoders.length) return decodes.smooth ? 0 : 100;
  if (!encodes || !decodes.smooth || !encodes.smooth) return 100 + SLOW_ORDER.indexOf(codec);
  if (isText(contentHint)) return 10 + TEXT_ORDER.indexOf(codec);
  return decodes.powerEfficient && encodes.powerEfficient ? HARDWARE_ORDER.indexOf(codec) : 10 + MOTION_ORDER.indexOf(codec);
}

/**
 * The order for `setCodecPreferences` of the caster: what both do smoothly first, and for moving pictures what both do with hardware.
 * A TV that claims nothing gets VP8 first, which every engine decodes. HEVC is left out unless both have hardware for it. Entries that
 * are no codecs (rtx, red, ulpfec, flexfec) stay, after the codecs.
 */
export function codecOrder<T extends ListedCodec>(screen: TvScreen | null, capabilities: T[], quality: { contentHint: string }, encoders: CodecAbility[]): T[] {
  const claimed: TvScreen = screen && screen.codecs.length ? screen : { width: 0, height: 0, codecs: [{ codec: 'VP8', smooth: true, powerEfficient: false }] };
  const hevc = ability(claimed.codecs, 'H265');
  const ownHevc = ability(encoders, 'H265');
  const hasHevc = hevc !== null && ownHevc !== null && hevc.powerEfficient && ownHevc.powerEfficient;
  const usable = capabilities.filter((one) => family(one) !== 'H265' || hasHevc);
  const place = (one: T): number => {
    const codec = family(one);
    return codec ? rank(codec, claimed, encoders, quality.contentHint) : 10_000;
  };
  // Old engines' sort is not stable.
  return usable
    .map((one, index) => ({ one, index, place: place(one) }))
    .sort((a, b) => a.place - b.place || a.index - b.index)
    .map(({ one }) => one);
}
