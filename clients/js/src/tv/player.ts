/** Shows a stream in the video element, with sound as soon as the browser allows it. */
export class Player {
  private stream: MediaStream | null = null;

  /** `still`: a canvas in the same place, which shows the last frame until the next stream has one. */
  constructor(
    readonly video: HTMLVideoElement,
    private readonly still: HTMLCanvasElement | null,
    private readonly onPicture: () => void,
    private readonly onSound: () => void,
  ) {
    video.autoplay = true;
    const shown = () => {
      this.showStill(false);
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
    this.showStill(false);
    if ('srcObject' in this.video) this.video.srcObject = null;
    else (this.video as HTMLVideoElement).removeAttribute('src');
    this.onSound();
  }

  /** Needs a key press or a click. */
  unmute(): void {
    this.play(false);
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

  /** Keeps the last frame until the next stream shows its first. */
  private freeze(): void {
    const { videoWidth, videoHeight } = this.video;
    if (!this.still) return;
    const context = this.still.getContext('2d');
    if (!videoWidth || !context) return;
    this.still.width = videoWidth;
    this.still.height = videoHeight;
    context.drawImage(this.video, 0, 0);
    this.showStill(true);
  }

  private showStill(visible: boolean): void {
    if (this.still && this.still.hidden === visible) this.still.hidden = !visible;
  }
}
