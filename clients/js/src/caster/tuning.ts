import { codecOrder, readEncoders, type CodecAbility, type ListedCodec, type TvScreen } from '../codecs';
import { limitFor, scaleFor, type Quality } from '../quality';
import { withStartBitrate } from '../start-bitrate';

type Parameters = ReturnType<RTCRtpSender['getParameters']>;

/** Sets the codecs, the size, the bit rates and the frame rate of what is sent, for one TV at a time. */
export class Tuning {
  private screen: TvScreen | null = null;
  private ceilingKbps: number | null = null;
  private scale = 1;

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
    const encoders = await readEncoders(window, quality);
    const sent = capabilities(RTCRtpSender);
    try {
      prefer(transceiver, sent, screen, quality, encoders);
    } catch {
      // Some engines take only codecs that they also receive.
      const both = capabilities(RTCRtpReceiver).filter((one) => sent.some((other) => same(one, other)));
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
    const scale = this.scaleOf(track);
    if (track && 'contentHint' in track && track.contentHint !== quality.contentHint) track.contentHint = quality.contentHint;
    const parameters: Parameters = sender.getParameters();
    if (!parameters.encodings || !parameters.encodings.length) parameters.encodings = [{}];
    const encoding = parameters.encodings[0]!;
    encoding.maxBitrate = quality.maxBitrate;
    encoding.maxFramerate = quality.frameRate;
    encoding.scaleResolutionDownBy = scale;
    parameters.degradationPreference = quality.degradation;
    this.scale = scale;
    await sender.setParameters(parameters);
  }

  private scaleOf(track: MediaStreamTrack | undefined): number {
    return track && typeof track.getSettings === 'function' ? scaleFor(this.quality, track.getSettings()) : 1;
  }
}

function capabilities(api: typeof RTCRtpSender | typeof RTCRtpReceiver): RTCRtpCodec[] {
  const found = api.getCapabilities('video');
  return found ? found.codecs : [];
}

function same(one: ListedCodec, other: ListedCodec): boolean {
  return one.mimeType === other.mimeType && one.sdpFmtpLine === other.sdpFmtpLine;
}

function prefer(transceiver: RTCRtpTransceiver, codecs: RTCRtpCodec[], screen: TvScreen | null, quality: Quality, encoders: CodecAbility[]): void {
  const order = codecOrder(screen, codecs, quality, encoders);
  if (order.length) transceiver.setCodecPreferences(order);
}
