import { describe, expect, it } from 'vitest';
import { asScreen, codecOrder, CODECS, readEncoders, readScreen, type Codec, type CodecAbility, type ListedCodec, type Surroundings, type TvScreen } from '../src/codecs';

const listed = (...names: string[]): ListedCodec[] => names.map((name) => ({ mimeType: `video/${name}`, clockRate: 90_000 }));
const CHROMIUM = listed('VP8', 'rtx', 'H264', 'AV1', 'VP9', 'H265', 'red', 'ulpfec', 'flexfec-03');
const names = (codecs: ListedCodec[]) => codecs.map(({ mimeType }) => mimeType.slice(6));

const software = (...codecs: Codec[]): CodecAbility[] => codecs.map((codec) => ({ codec, smooth: true, powerEfficient: false }));
const hardware = (...codecs: Codec[]): CodecAbility[] => codecs.map((codec) => ({ codec, smooth: true, powerEfficient: true }));
const slow = (...codecs: Codec[]): CodecAbility[] => codecs.map((codec) => ({ codec, smooth: false, powerEfficient: false }));
const tv = (...codecs: CodecAbility[]): TvScreen => ({ width: 1920, height: 1080, codecs });

const TEXT = { contentHint: 'detail' };
const MOTION = { contentHint: 'motion' };

describe('the order of codecs', () => {
  it('begins with VP8 for a TV that claims nothing', () => {
    const encoders = hardware('H264', 'AV1');
    expect(names(codecOrder(null, CHROMIUM, TEXT, encoders))[0]).toBe('VP8');
    expect(names(codecOrder(tv(), listed('H264', 'VP8'), MOTION, encoders))).toEqual(['VP8', 'H264']);
  });

  it('prefers codecs for screen content for text', () => {
    const all = software('AV1', 'VP9', 'H264', 'VP8');
    expect(names(codecOrder(tv(...all), CHROMIUM, TEXT, all)).slice(0, 4)).toEqual(['AV1', 'VP8', 'H264', 'VP9']);
  });

  it('puts what either side does not do smoothly after what both do', () => {
    const encoders = [...slow('AV1'), ...software('VP9', 'H264', 'VP8')];
    const screen = tv(...slow('VP9'), ...software('AV1', 'H264', 'VP8'));
    expect(names(codecOrder(screen, CHROMIUM, TEXT, encoders)).slice(0, 4)).toEqual(['VP8', 'H264', 'VP9', 'AV1']);
  });

  it('prefers hardware on both sides for moving pictures', () => {
    const encoders = [...hardware('H264'), ...software('AV1', 'VP9', 'VP8')];
    const screen = tv(...hardware('H264', 'VP9', 'AV1'), ...software('VP8'));
    expect(names(codecOrder(screen, CHROMIUM, MOTION, encoders))[0]).toBe('H264');
  });

  it('is the cheapest first if nothing is smooth', () => {
    const all = slow('AV1', 'VP9', 'H264', 'VP8');
    expect(names(codecOrder(tv(...all), CHROMIUM, MOTION, all))[0]).toBe('VP8');
    expect(names(codecOrder(tv(...all), CHROMIUM, TEXT, all))[0]).toBe('VP8');
  });

  it('uses HEVC only where both have hardware for it', () => {
    const both = codecOrder(tv(...hardware('H265'), ...software('VP8')), CHROMIUM, MOTION, [...hardware('H265'), ...software('VP8')]);
    expect(names(both)[0]).toBe('H265');
    const one = codecOrder(tv(...software('H265', 'VP8')), CHROMIUM, MOTION, [...hardware('H265'), ...software('VP8')]);
    expect(names(one)).not.toContain('H265');
  });

  it('keeps the order of an engine that can not tell what it encodes well', () => {
    const screen = tv(...slow('H264'), ...software('VP8', 'VP9'));
    expect(names(codecOrder(screen, listed('H264', 'VP9', 'VP8', 'rtx'), TEXT, []))).toEqual(['VP9', 'VP8', 'H264', 'rtx']);
  });

  it('keeps all other entries, after the codecs, and the profiles of a codec in their order', () => {
    const profiles = CHROMIUM.concat([{ mimeType: 'video/VP9', clockRate: 90_000, sdpFmtpLine: 'profile-id=2' }]);
    const order = codecOrder(tv(...software('AV1', 'VP9')), profiles.filter((one) => one.mimeType !== 'video/AV1'), TEXT, software('VP9'));
    expect(names(order).slice(-4)).toEqual(['rtx', 'red', 'ulpfec', 'flexfec-03']);
    expect(order.slice(0, 2).map((one) => one.sdpFmtpLine)).toEqual([undefined, 'profile-id=2']);
    expect(order.length).toBe(profiles.length - 2);
  });
});

describe("a TV's claim", () => {
  it('is read as it was written', () => {
    const screen = tv(...hardware('H264'), ...software('VP8'));
    expect(asScreen(JSON.parse(JSON.stringify(screen)))).toEqual(screen);
  });

  it('may be anything', () => {
    [null, undefined, 7, 'x', [], {}, { codecs: 'x' }, { width: '9', height: 9 }, { width: 1e9, height: -1 }].forEach((value) => expect(asScreen(value)).toBeNull());
    expect(asScreen({ width: 1920, height: NaN, codecs: [null, { codec: 'X' }, { codec: 'VP8', smooth: 1 }, { codec: 'VP8', smooth: true }] })).toEqual({
      width: 0,
      height: 0,
      codecs: [{ codec: 'VP8', smooth: false, powerEfficient: false }],
    });
  });

  it('is bounded', () => {
    const many = Array.from({ length: 1000 }, (_, i) => ({ codec: CODECS[i % 5], smooth: true, powerEfficient: true }));
    expect(asScreen({ width: 1, height: 1, codecs: many })!.codecs.length).toBe(5);
  });
});

type Decides = (video: { contentType: string; width: number; height: number }) => unknown;

function engine(decides: Decides, more: Partial<Surroundings> = {}): Surroundings {
  const query = async ({ type, video }: { type: string; video: { contentType: string; width: number; height: number } }) => {
    expect(type).toBe('webrtc');
    return decides(video) as { supported: boolean; smooth: boolean; powerEfficient: boolean };
  };
  return {
    screen: { width: 1920, height: 1080 },
    devicePixelRatio: 2,
    navigator: { hardwareConcurrency: 4, mediaCapabilities: { decodingInfo: query, encodingInfo: query } },
    RTCRtpReceiver: { getCapabilities: () => ({ codecs: CHROMIUM }) },
    RTCRtpSender: { getCapabilities: () => ({ codecs: CHROMIUM }) },
    setTimeout: (handler: () => void) => setTimeout(handler, 0) as unknown as number,
    ...more,
  };
}

const yes = (powerEfficient: boolean) => ({ supported: true, smooth: true, powerEfficient });

describe('what an engine tells of itself', () => {
  it('is its size in device pixels and what it decodes', async () => {
    const seen: number[] = [];
    const screen = await readScreen(engine(({ contentType, width }) => (seen.push(width), contentType === 'video/H265' ? { ...yes(false), supported: false } : yes(true))));
    expect(screen).toEqual({ width: 3840, height: 2160, codecs: hardware('AV1', 'VP9', 'H264', 'VP8') });
    expect(seen.every((width) => width === 3840)).toBe(true);
    expect(JSON.stringify(screen).length).toBeLessThan(2048);
  });

  it('is no claim where the engine lacks the functions, as Chromium 64 does', async () => {
    const bare: Surroundings = { screen: { width: 1280, height: 720 }, navigator: {}, setTimeout: () => 0 };
    expect(await readScreen(bare)).toEqual({ width: 1280, height: 720, codecs: [] });
    expect(await readScreen({ navigator: {}, setTimeout: () => 0 })).toEqual({ width: 0, height: 0, codecs: [] });
  });

  it('is no claim where the engine refuses the question or never answers', async () => {
    expect((await readScreen(engine(() => Promise.reject(new TypeError('webrtc'))))).codecs).toEqual([]);
    expect((await readScreen(engine(() => new Promise(() => {})))).codecs).toEqual([]);
    const throws = () => {
      throw new TypeError('webrtc');
    };
    expect((await readScreen(engine(() => null, { navigator: { mediaCapabilities: { decodingInfo: throws } } }))).codecs).toEqual([]);
    expect((await readScreen(engine(() => yes(true), { RTCRtpReceiver: { getCapabilities: throws } }))).codecs).toEqual([]);
  });

  it('does not call software smooth that needs more than the cores', async () => {
    const picture = { width: 3840, height: 2160, frameRate: 60, contentHint: 'motion' };
    const moving = await readEncoders(engine(() => yes(false)), picture);
    expect(moving.filter(({ smooth }) => smooth)).toEqual([]);
    const many = engine(() => yes(false));
    many.navigator.hardwareConcurrency = 16;
    // Of text fewer frames change.
    const text = await readEncoders(many, { ...picture, contentHint: 'detail' });
    expect(text.filter(({ smooth }) => smooth).map(({ codec }) => codec)).toEqual(['AV1', 'VP9', 'H264', 'VP8']);
    const withHardware = await readEncoders(engine(() => yes(true)), picture);
    expect(withHardware.every(({ smooth }) => smooth)).toBe(true);
  });
});
