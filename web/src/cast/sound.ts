import { problems, type SoundProblem } from './problems';

type ContextClass = typeof AudioContext;

const VOICE = { echoCancellation: true, noiseSuppression: true, autoGainControl: true };

function contextClass(): ContextClass | undefined {
  const all = window as unknown as { AudioContext?: ContextClass; webkitAudioContext?: ContextClass };
  const found = all.AudioContext ?? all.webkitAudioContext;
  return found && 'createMediaStreamDestination' in found.prototype ? found : undefined;
}

/** What is heard on the TV: the sound of the capture, the microphone, or both in one track. */
export class Sound {
  private mic: MediaStream | null = null;
  private context: AudioContext | null = null;
  private destination: MediaStreamAudioDestinationNode | null = null;
  private sources: AudioNode[] = [];

  /** `lost`: the microphone was unplugged, or the browser took it away. */
  constructor(private readonly lost: () => void) {}

  get microphone(): boolean {
    return this.mic !== null;
  }

  /** Whether a microphone can be added to a capture. */
  canAdd(capture: MediaStream): boolean {
    return typeof navigator.mediaDevices?.getUserMedia === 'function' && (capture.getAudioTracks().length === 0 || contextClass() !== undefined);
  }

  /** Needs a click or key press. Rejects with a `SoundProblem`. */
  async openMicrophone(): Promise<void> {
    let mic: MediaStream;
    try {
      mic = await navigator.mediaDevices.getUserMedia({ audio: VOICE });
    } catch (error) {
      const { name } = error as DOMException;
      console.warn('castway: no microphone', name);
      const denied: SoundProblem = name === 'NotAllowedError' || name === 'SecurityError' ? 'denied' : 'missing';
      throw problems.microphone(denied);
    }
    this.closeMicrophone();
    this.mic = mic;
    mic.getAudioTracks().forEach((track) => {
      track.onended = () => {
        if (this.mic !== mic) return;
        this.closeMicrophone();
        this.lost();
      };
    });
  }

  closeMicrophone(): void {
    this.mic?.getTracks().forEach((track) => {
      track.onended = null;
      track.stop();
    });
    this.mic = null;
  }

  /** The stream to send for a capture. */
  compose(capture: MediaStream): MediaStream {
    this.disconnect();
    const [own] = capture.getAudioTracks();
    const [voice] = this.mic ? this.mic.getAudioTracks() : [];
    if (!voice) return capture;
    const heard = own ? this.mix([own, voice]) : voice;
    return new MediaStream(capture.getVideoTracks().concat(heard));
  }

  /** Gives the microphone and everything else up. */
  close(): void {
    this.closeMicrophone();
    this.disconnect();
    void this.context?.close().catch(() => undefined);
    this.context = this.destination = null;
  }

  private mix(tracks: MediaStreamTrack[]): MediaStreamTrack {
    const context = (this.context = this.context ?? new (contextClass()!)());
    const destination = (this.destination = this.destination ?? context.createMediaStreamDestination());
    tracks.forEach((track) => {
      const source = context.createMediaStreamSource(new MediaStream([track]));
      source.connect(destination);
      this.sources.push(source);
    });
    // A click has called this, so the browser permits it.
    if (context.state !== 'running') void context.resume().catch(() => undefined);
    return destination.stream.getAudioTracks()[0]!;
  }

  private disconnect(): void {
    this.sources.splice(0).forEach((source) => source.disconnect());
  }
}
