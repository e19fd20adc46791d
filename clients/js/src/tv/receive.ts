import { Meter, type Figures } from '../stats';
import { Player } from './player';
import { Tv, type TvOptions } from './tv';

/** A TV that plays in a video element. */
export class VideoTv extends Tv {
  readonly player: Player;
  private readonly meter: Meter;

  constructor(video: HTMLVideoElement, still: HTMLCanvasElement | null, options: TvOptions = {}) {
    super(options);
    this.meter = new Meter('in', video);
    this.player = new Player(video, still, () => this.showsPicture(), () => this.emit('change', undefined));
    this.on('stream', (stream) => (stream ? this.player.present(stream) : this.player.stop()));
  }

  /** True while the browser blocks the sound until a key press or click, in which `unmute` has to be called. */
  get silenced(): boolean {
    return this.player.silenced && this.sound !== false;
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
}

/** Shows a code, and the casts of whoever types it in the video element. `still`: a canvas over the video that hides the change between two streams. */
export function receive(video: HTMLVideoElement, options: TvOptions & { still?: HTMLCanvasElement | null } = {}): VideoTv {
  return new VideoTv(video, options.still ?? null, options);
}
