import type { Tracks } from './link';

/** The media that this page sends, and why some of it is missing. */
export type Lack = 'refused' | 'no_camera' | 'no_microphone' | 'nothing' | null;

const VIDEO: MediaTrackConstraints = { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30 }, facingMode: { ideal: 'user' } };

/** The microphone, and the camera or the screen in its place. */
export class Devices {
  readonly tracks: Tracks = { audio: null, video: null };
  lack: Lack = null;

  private camera: MediaStreamTrack | null = null;
  private screen: MediaStreamTrack | null = null;

  /** `changed` reports that another track has to be sent. */
  constructor(private readonly changed: (kind: 'audio' | 'video') => void) {}

  get muted(): boolean {
    return this.tracks.audio === null || !this.tracks.audio.enabled;
  }

  get cameraOff(): boolean {
    return this.camera === null || !this.camera.enabled;
  }

  get hasCamera(): boolean {
    return this.camera !== null;
  }

  get hasMicrophone(): boolean {
    return this.tracks.audio !== null;
  }

  get sharing(): boolean {
    return this.screen !== null;
  }

  /** Requests camera and microphone, and then only the one that exists. */
  async open(): Promise<void> {
    this.close();
    if (!navigator.mediaDevices || !navigator.mediaDevices.getUserMedia) return void (this.lack = 'nothing');
    let denied = false;
    const ask = async (wishes: MediaStreamConstraints): Promise<MediaStream | null> => {
      if (denied) return null;
      try {
        return await navigator.mediaDevices.getUserMedia(wishes);
      } catch (error) {
        const { name, message } = error as DOMException;
        console.warn('castway: no devices', name, message);
        denied = name === 'NotAllowedError' || name === 'SecurityError';
        return null;
      }
    };
    const stream = (await ask({ audio: true, video: VIDEO })) ?? (await ask({ audio: true })) ?? (await ask({ video: VIDEO }));
    const [audio = null] = stream ? stream.getAudioTracks() : [];
    const [video = null] = stream ? stream.getVideoTracks() : [];
    this.lack = denied ? 'refused' : !audio && !video ? 'nothing' : !video ? 'no_camera' : !audio ? 'no_microphone' : null;
    this.camera = video;
    this.use('audio', audio);
    this.use('video', video);
  }

  close(): void {
    [this.tracks.audio, this.camera, this.screen].forEach((track) => {
      if (!track) return;
      track.onended = null;
      track.stop();
    });
    this.camera = this.screen = this.tracks.audio = this.tracks.video = null;
  }

  toggleMicrophone(): void {
    const track = this.tracks.audio;
    if (track) track.enabled = !track.enabled;
  }

  toggleCamera(): void {
    if (this.camera) this.camera.enabled = !this.camera.enabled;
  }

  /** Needs a click. Rejects with the browser's error. */
  async shareScreen(): Promise<void> {
    const stream = await navigator.mediaDevices.getDisplayMedia({ video: { frameRate: { ideal: 15, max: 30 } } });
    const [track = null] = stream.getVideoTracks();
    if (!track) return;
    this.screen = track;
    if ('contentHint' in track) track.contentHint = 'detail';
    // The user stopped sharing in the browser's own bar, or closed the shared window.
    track.onended = () => this.stopScreen();
    this.use('video', track);
  }

  stopScreen(): void {
    if (!this.screen) return;
    this.screen.onended = null;
    this.screen.stop();
    this.screen = null;
    this.use('video', this.camera);
  }

  private use(kind: 'audio' | 'video', track: MediaStreamTrack | null): void {
    this.tracks[kind] = track;
    this.changed(kind);
  }
}
