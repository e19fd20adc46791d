const READ_INTERVAL_MS = 80;
/** Speech is far from full scale. */
const FULL_LEVEL = 0.35;

/** The loudness of the microphone, from 0 to 1, while somebody looks at it. */
export class Level {
  private context: AudioContext | null = null;
  private source: MediaStreamAudioSourceNode | null = null;
  private analyser: AnalyserNode | null = null;
  private track: MediaStreamTrack | null = null;
  private timer = 0;

  constructor(private readonly shown: (level: number) => void) {}

  watch(track: MediaStreamTrack | null): void {
    if (track === this.track) return;
    this.track = track;
    if (this.source) this.source.disconnect();
    this.source = null;
    clearInterval(this.timer);
    this.shown(0);
    if (!track && this.context) void this.context.suspend().catch(() => undefined);
    if (!track || typeof AudioContext === 'undefined') return;
    try {
      this.listen(track);
    } catch (error) {
      // Some engines connect only streams of their own sample rate.
      console.debug('castway: no level', error);
    }
  }

  private listen(track: MediaStreamTrack): void {
    this.context ??= new AudioContext();
    if (!this.analyser) {
      this.analyser = this.context.createAnalyser();
      this.analyser.fftSize = 512;
    }
    this.source = this.context.createMediaStreamSource(new MediaStream([track]));
    this.source.connect(this.analyser);
    const samples = new Uint8Array(this.analyser.fftSize);
    this.timer = window.setInterval(() => this.read(samples), READ_INTERVAL_MS);
  }

  private read(samples: Uint8Array<ArrayBuffer>): void {
    const { context, analyser } = this;
    if (!context || !analyser) return;
    // Before the first click or key some browsers let no context run.
    if (context.state === 'suspended') void context.resume().catch(() => undefined);
    analyser.getByteTimeDomainData(samples);
    let sum = 0;
    for (let i = 0; i < samples.length; i++) sum += ((samples[i]! - 128) / 128) ** 2;
    this.shown(Math.min(1, Math.sqrt(sum / samples.length) / FULL_LEVEL));
  }
}
