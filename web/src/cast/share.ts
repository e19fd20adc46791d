import type { Caster, Quality } from '@castway/client';
import type { Problem } from '../lib/problem';
import { adapt, capture, type Facing, type Source, type Wish } from './capture';
import { Sound } from './sound';

interface Listener {
  /** The user has stopped the capture in the browser's own bar, or has closed the window that was shared. */
  ended(): void;
  changed(): void;
  problem(problem: Problem): void;
}

/** What is captured, and what of it reaches the TV: it outlives the picker, a refused code and the choice of something else. */
export class Share {
  capture: MediaStream | null = null;
  source: Source = 'screen';
  facing: Facing = 'environment';
  /** The browser's dialog is open. */
  choosing = false;
  /** The sound of the capture is off; the microphone may be heard. */
  muted = false;
  private adapted = '';
  private readonly sound = new Sound(() => void this.send());

  constructor(private readonly caster: Caster, private readonly listener: Listener) {}

  get hasSound(): boolean {
    return this.capture !== null && this.capture.getAudioTracks().length > 0;
  }

  get microphone(): boolean {
    return this.sound.microphone;
  }

  get canAddMicrophone(): boolean {
    return this.capture !== null && this.sound.canAdd(this.capture);
  }

  /** Captures what the user chooses; false if nothing was. An earlier capture is kept until then. */
  async choose(wish: Wish): Promise<boolean> {
    if (this.choosing) return false;
    this.choosing = true;
    this.listener.changed();
    try {
      this.take(await capture(wish), wish);
      return true;
    } catch (problem) {
      this.listener.problem(problem as Problem);
      return false;
    } finally {
      this.choosing = false;
      this.listener.changed();
    }
  }

  /** The stream to send. */
  compose(): MediaStream | null {
    return this.capture && this.sound.compose(this.capture);
  }

  /** Chooses something else to share without ending the cast. */
  async chooseElse(wish: Wish): Promise<void> {
    if (!(await this.choose(wish))) return;
    // The cast may have ended while the browser's dialog was open.
    if (!this.caster.active) return this.release();
    this.muted = false;
    await this.send();
  }

  mute(muted: boolean): void {
    this.muted = muted;
    this.applySound();
    this.listener.changed();
  }

  async toggleMicrophone(): Promise<void> {
    if (this.sound.microphone) {
      this.sound.closeMicrophone();
    } else {
      try {
        await this.sound.openMicrophone();
      } catch (problem) {
        return this.listener.problem(problem as Problem);
      }
      // The cast may have ended while the browser asked.
      if (!this.caster.active) return this.sound.closeMicrophone();
    }
    await this.send();
  }

  /** Captures no more than is sent, once that is known. */
  adapt(quality: Quality): void {
    const key = [quality.width, quality.height, quality.frameRate, quality.contentHint].join();
    if (!this.capture || key === this.adapted) return;
    this.adapted = key;
    void adapt(this.capture, quality);
  }

  release(): void {
    this.sound.close();
    this.muted = false;
    if (!this.capture) return;
    stop(this.capture);
    this.capture = null;
  }

  private take(stream: MediaStream, wish: Wish): void {
    const old = this.capture;
    this.capture = stream;
    this.source = wish.source;
    this.facing = wish.facing;
    this.adapted = '';
    stream.getVideoTracks().forEach((track) => {
      track.onended = () => this.capture === stream && this.listener.ended();
    });
    if (old) stop(old);
  }

  private async send(): Promise<void> {
    const stream = this.compose();
    if (!stream || !this.caster.active) return;
    const replaced = this.caster.replace(stream);
    this.applySound();
    this.listener.changed();
    await replaced;
  }

  private applySound(): void {
    this.caster.setMuted(this.muted && !this.sound.microphone);
    // Under a microphone the sound of the capture is not what is sent.
    this.capture?.getAudioTracks().forEach((track) => (track.enabled = !this.muted));
  }
}

function stop(stream: MediaStream): void {
  stream.getTracks().forEach((track) => {
    track.onended = null;
    track.stop();
  });
}
