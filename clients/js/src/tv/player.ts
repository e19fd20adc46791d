const FRAME_CHECK_INTERVAL_MS = 100;
/** After a pause the caster may have no new frame to send. By then the video itself shows the last one again. */
const NEXT_FRAME_TIMEOUT_MS = 2000;

/** Shows a stream in the video element, with sound as soon as the browser allows it. */
export class Player {
  private stream: MediaStream | null = null;
  private held = false;
  private timer = 0;

  /** `still`: a canvas in the same place, which shows the last frame until the next stream has one. */
  constructor(
    readonly video: HTMLVideoElement,
    private readonly still: HTMLCanvasElement | null,
    private readonly onPicture: () => void,
    private readonly onSound: () => void,
  ) {
    video.autoplay = true;
    const shown = () => {
      if (!this.held) this.showStill(false);
      if (this.stream && video.videoWidth) this.onPicture();
    };
    video.addEventListener('playing', shown);
    video.addEventListener('loadeddata', shown);
    video.addEventListener('resize', shown);
  }

  /** True while the browser blocks the sound until a key press or click. */
  get silenced(): boolean {
    return this.stream !== null && this.video.muted && this.stream.getAudioTracks().length > 0;
  }

  present(stream: MediaStream): void {
    if (stream === this.stream) return this.play(this.video.muted);
    if (this.stream) this.freeze();
    this.stream = stream;
    stream.onaddtrack = () => this.play(this.video.muted);
    if ('srcObject' in this.video) this.video.srcObject = stream;
    else (this.video as HTMLVideoElement).src = URL.createObjectURL(stream as unknown as Blob);
    this.play(false);
  }

  stop(): void {
    this.stream = null;
    this.held = false;
    this.showStill(false);
    if ('srcObject' in this.video) this.video.srcObject = null;
    else (this.video as HTMLVideoElement).removeAttribute('src');
    this.onSound();
  }

  /** Needs a key press or a click. */
  unmute(): void {
    this.play(false);
  }

  /** Keeps the last frame while no more come, since some engines show black then, and afterwards until the next one. */
  hold(held: boolean): void {
    if (held === this.held) return;
    this.held = held;
    clearInterval(this.timer);
    if (held) return this.freeze();
    const last = this.frames();
    let waited = 0;
    this.timer = window.setInterval(() => {
      waited += FRAME_CHECK_INTERVAL_MS;
      if (this.frames() !== last || waited >= NEXT_FRAME_TIMEOUT_MS) this.showStill(false);
    }, FRAME_CHECK_INTERVAL_MS);
  }

  /** The frames that the video has shown; always the same where the engine does not count them. */
  private frames(): number {
    const { video } = this;
    if (video.getVideoPlaybackQuality) return video.getVideoPlaybackQuality().totalVideoFrames;
    return (video as unknown as { webkitDecodedFrameCount?: number }).webkitDecodedFrameCount ?? 0;
  }

  private play(muted: boolean): void {
    const stream = this.stream;
    this.video.muted = muted;
    const started = this.video.play() as Promise<void> | undefined;
    this.onSound();
    if (!started) return;
    started.then(
      () => this.onSound(),
      (error: DOMException) => {
        if (stream !== this.stream) return;
        // An interrupted load is not a refusal: another stream is playing instead.
        if (!muted && error.name === 'NotAllowedError') this.play(true);
      },
    );
  }

  /** Shows the last frame, in place of a video that may become black. */
  private freeze(): void {
    const { videoWidth, videoHeight } = this.video;
    if (!this.still || !this.still.hidden) return;
    const context = this.still.getContext('2d');
    if (!videoWidth || !context) return;
    this.still.width = videoWidth;
    this.still.height = videoHeight;
    context.drawImage(this.video, 0, 0);
    this.showStill(true);
  }

  private showStill(visible: boolean): void {
    if (!visible) clearInterval(this.timer);
    if (!this.still || this.still.hidden !== visible) return;
    this.still.hidden = !visible;
    // A picture of 4K takes 33 MB.
    if (!visible) this.still.width = this.still.height = 0;
  }
}
