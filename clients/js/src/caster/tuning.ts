import { codecOrder, readEncoders, type CodecAbility, type ListedCodec, type TvScreen } from '../codecs';
import { limitFor, scaleFor, type Quality } from '../quality';
import { withStartBitrate } from '../start-bitrate';

type Parameters = ReturnType<RTCRtpSender['getParameters']>;
/** With the codec, which TypeScript does not know yet. */
type Encoding = RTCRtpEncodingParameters & { codec?: RTCRtpCodec };

/** Sets the codecs, the size, the bit rates and the frame rate of what is sent, for one TV at a time. */
export class Tuning {
  private screen: TvScreen | null = null;
  private ceilingKbps: number | null = null;
  private scale = 1;
  /** The content hint that the codecs of the connection were ordered for. */
  private orderedFor: string | null = null;
  /** The codec was changed since. The engine keeps it until it gets another one. */
  private switched = false;

  constructor(private chosen: Quality) {}

  /** What is sent at most: the chosen quality within the limits of the TV and of the server. */
  get quality(): Quality {
    return limitFor(this.chosen, this.screen, this.ceilingKbps);
  }

  choose(quality: Quality): void {
    this.chosen = quality;
  }

  limit(screen: TvScreen | null, ceilingKbps: number | null): void {
    this.screen = screen;
    this.ceilingKbps = ceilingKbps;
  }

  /** Call it before an offer. Engines without `setCodecPreferences` keep their own order. */
  async order(pc: RTCPeerConnection, sender: RTCRtpSender | undefined): Promise<void> {
    const transceivers = typeof pc.getTransceivers === 'function' ? pc.getTransceivers() : [];
    const transceiver = transceivers.filter((one) => one.sender === sender)[0];
    if (!transceiver || typeof transceiver.setCodecPreferences !== 'function') return;
    const { screen, quality } = this;
    this.orderedFor = quality.contentHint;
    this.switched = false;
    const encoders = await readEncoders(window, quality);
    const sent = capabilities(window.RTCRtpSender);
    try {
      prefer(transceiver, sent, screen, quality, encoders);
    } catch {
      // Some engines take only codecs that they also receive.
      const both = capabilities(window.RTCRtpReceiver).filter((one) => sent.some((other) => same(one, other)));
      try {
        prefer(transceiver, both, screen, quality, encoders);
      } catch (error) {
        console.debug('castway: codecs refused', error);
      }
    }
  }

  /** The answer of the TV as this engine has to read it. */
  answer(sdp: string): string {
    return withStartBitrate(sdp, this.quality.startBitrate / 1000, this.ceilingKbps);
  }

  /** The captured picture has another size than the last time. */
  isStale(track: MediaStreamTrack | undefined): boolean {
    return Math.abs(this.scaleOf(track) - this.scale) > 0.01;
  }

  async apply(sender: RTCRtpSender, track: MediaStreamTrack | undefined): Promise<void> {
    const { quality } = this;
    if (track && 'contentHint' in track && track.contentHint !== quality.contentHint) track.contentHint = quality.contentHint;
    const other = this.switched || (this.orderedFor !== null && this.orderedFor !== quality.contentHint);
    const encoders = other ? await readEncoders(window, quality) : [];
    try {
      await this.set(sender, track, encoders);
    } catch (error) {
      if (!encoders.length) throw error;
      await this.set(sender, track, []);
    }
  }

  /** With `encoders` the codec changes, too: another of those that were negotiated may suit the quality better. */
  private set(sender: RTCRtpSender, track: MediaStreamTrack | undefined, encoders: CodecAbility[]): Promise<void> {
    const { quality } = this;
    const parameters: Parameters = sender.getParameters();
    if (!parameters.encodings || !parameters.encodings.length) parameters.encodings = [{}];
    const encoding: Encoding = parameters.encodings[0]!;
    this.scale = this.scaleOf(track);
    encoding.maxBitrate = quality.maxBitrate;
    encoding.maxFramerate = quality.frameRate;
    encoding.scaleResolutionDownBy = this.scale;
    parameters.degradationPreference = quality.degradation;
    if (encoders.length && parameters.codecs && parameters.codecs.length) {
      encoding.codec = codecOrder(this.screen, parameters.codecs, quality, encoders)[0]!;
      this.switched = true;
    } else {
      delete encoding.codec;
    }
    return sender.setParameters(parameters);
  }

  private scaleOf(track: MediaStreamTrack | undefined): number {
    return track && typeof track.getSettings === 'function' ? scaleFor(this.quality, track.getSettings()) : 1;
  }
}

function capabilities(api: typeof RTCRtpSender | typeof RTCRtpReceiver | undefined): RTCRtpCodec[] {
  const found = api && typeof api.getCapabilities === 'function' ? api.getCapabilities('video') : null;
  return found ? found.codecs : [];
}

function same(one: ListedCodec, other: ListedCodec): boolean {
  return one.mimeType === other.mimeType && one.sdpFmtpLine === other.sdpFmtpLine;
}

function prefer(transceiver: RTCRtpTransceiver, codecs: RTCRtpCodec[], screen: TvScreen | null, quality: Quality, encoders: CodecAbility[]): void {
  const order = codecOrder(screen, codecs, quality, encoders);
  if (order.length) transceiver.setCodecPreferences(order);
}
