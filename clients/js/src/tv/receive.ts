import { readScreen } from '../codecs';
import { Meter, readStats, type Figures, type Stats } from '../stats';
import type { TvOptions } from './model';
import { Player } from './player';
import { Tv } from './tv';

const LISTEN_INTERVAL_MS = 1000;

/** A TV that plays in a video element. */
export class VideoTv extends Tv {
  readonly player: Player;
  private readonly meter: Meter;
  /** Whether sound arrives; null if the statistics don't tell. */
  private heard: boolean | null = false;
  private readonly listening: number;

  constructor(video: HTMLVideoElement, still: HTMLCanvasElement | null, options: TvOptions = {}) {
    super(options.screen === undefined ? { ...options, screen: readScreen(window) } : options);
    this.meter = new Meter('in', video);
    this.player = new Player(video, still, () => this.showsPicture(), () => this.emit('change', undefined));
    this.on('stream', (stream) => {
      this.heard = false;
      if (stream) this.player.present(stream);
      else this.player.stop();
    });
    this.on('change', () => this.player.hold(this.paused && this.picture));
    this.listening = window.setInterval(() => void this.listenForSound(), LISTEN_INTERVAL_MS);
  }

  /** True while the browser blocks a sound that arrives, until a key press or click, in which `unmute` has to be called. */
  get silenced(): boolean {
    return this.player.silenced && (this.sound ?? this.heard) !== false;
  }

  unmute(): void {
    this.player.unmute();
  }

  /** Reads the statistics. Rates are differences to the last call. */
  stats(): Promise<Figures> {
    return this.meter.read(this.pc);
  }

  /** Reads without changing the rates. */
  peek(): Promise<Figures> {
    return this.meter.peek(this.pc);
  }

  override close(): void {
    clearInterval(this.listening);
    super.close();
  }

  /** A caster that does not say whether it sends sound may have a track without any. */
  private async listenForSound(): Promise<void> {
    const { pc } = this;
    if (!pc || !this.player.silenced || this.sound !== null) return;
    const heard = soundArrives(await readStats(pc));
    if (pc !== this.pc || heard === this.heard) return;
    this.heard = heard;
    this.emit('change', undefined);
  }
}

function soundArrives(all: Stats[]): boolean | null {
  const incoming = all.filter((report) => report['type'] === 'inbound-rtp');
  if (!incoming.length) return null;
  return incoming.some((report) => (report['kind'] || report['mediaType']) === 'audio' && report['packetsReceived'] > 0);
}

/** Takes a code, and shows casts in the video element. `still`: a canvas over the video that hides the change between two streams. */
export function receive(video: HTMLVideoElement, options: TvOptions & { still?: HTMLCanvasElement | null } = {}): VideoTv {
  return new VideoTv(video, options.still ?? null, options);
}
