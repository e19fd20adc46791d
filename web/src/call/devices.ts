import { store, stored } from '../lib/dom';
import type { Tracks } from './link';
import type { Sending } from './presence';

/** Why some of the media that this page sends is missing. */
export type Lack = 'refused' | 'no_camera' | 'no_microphone' | 'nothing' | null;
export type Input = 'audioinput' | 'videoinput';
export type DeviceKind = Input | 'audiooutput';
export interface Device {
  id: string;
  label: string;
}
export type DeviceLists = Record<DeviceKind, Device[]>;

interface Listener {
  /** Another track has to be sent, or only what is told about the tracks has changed. */
  changed(kind: 'audio' | 'video' | null): void;
  /** A device ended or did not open. `instead` names the one that is used now. */
  gone(kind: DeviceKind, label: string, instead: string | null): void;
}

const CHOSEN_DEVICES_KEY = 'castway.devices';
const VIDEO: MediaTrackConstraints = { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30 }, facingMode: { ideal: 'user' } };

/** The microphone, and the camera or the screen in its place. A camera that is off is closed, so that its light is off too. */
export class Devices {
  readonly tracks: Tracks = { audio: null, video: null };
  lack: Lack = null;

  private camera: MediaStreamTrack | null = null;
  private screen: MediaStreamTrack | null = null;
  private off = { microphone: false, camera: false };
  private exists = { microphone: false, camera: false };
  private chosen: Partial<Record<DeviceKind, string>> = stored('localStorage', CHOSEN_DEVICES_KEY) ?? {};
  private denied = false;
  /** The camera was turned on and has not opened yet. */
  private opening = false;
  /** Counts what was asked of each device: only the answer to the last request counts. */
  private asked = { audio: 0, video: 0 };
  /** Counts how often the devices were closed. */
  private closings = 0;

  constructor(private readonly listener: Listener) {}

  get muted(): boolean {
    return this.tracks.audio === null || !this.tracks.audio.enabled;
  }

  get cameraOff(): boolean {
    return this.camera === null;
  }

  get hasCamera(): boolean {
    return this.camera !== null || this.exists.camera;
  }

  get hasMicrophone(): boolean {
    return this.tracks.audio !== null || this.exists.microphone;
  }

  get sharing(): boolean {
    return this.screen !== null;
  }

  get sending(): Sending {
    return { audio: !this.muted, video: this.sharing ? 'screen' : this.cameraOff ? 'off' : 'camera' };
  }

  /** Requests camera and microphone, and then only the one that exists. */
  async open(): Promise<void> {
    this.close();
    if (!navigator.mediaDevices || !navigator.mediaDevices.getUserMedia) return void (this.lack = 'nothing');
    this.denied = false;
    const { audio: askedAudio, video: askedVideo } = this.asked;
    const stream = this.off.camera
      ? await this.ask('audioinput')
      : ((await this.ask('audioinput', 'videoinput')) ?? (await this.ask('audioinput')) ?? (await this.ask('videoinput')));
    const [microphone = null] = stream ? stream.getAudioTracks() : [];
    const [camera = null] = stream ? stream.getVideoTracks() : [];
    if (askedAudio !== this.asked.audio || askedVideo !== this.asked.video) return stream?.getTracks().forEach(end);
    this.exists = { microphone: microphone !== null, camera: camera !== null };
    // A camera that stays off is not opened, only looked for.
    if (this.off.camera) await this.lists();
    const seen = this.exists.camera;
    this.lack = this.denied ? 'refused' : !microphone && !seen ? 'nothing' : !seen ? 'no_camera' : !microphone ? 'no_microphone' : null;
    this.useMicrophone(microphone);
    this.useCamera(camera);
  }

  close(): void {
    this.closings++;
    this.asked.audio++;
    this.asked.video++;
    [this.tracks.audio, this.camera, this.screen].forEach(end);
    this.camera = this.screen = this.tracks.audio = this.tracks.video = null;
  }

  /** What is off stays off when a device opens. */
  turnOff(muted: boolean, cameraOff: boolean): void {
    this.off = { microphone: muted, camera: cameraOff };
    if (this.tracks.audio) this.tracks.audio.enabled = !muted;
    if (cameraOff && this.camera) this.useCamera(this.camera);
    this.listener.changed(null);
  }

  async toggleMicrophone(): Promise<void> {
    const track = this.tracks.audio;
    if (!track) {
      this.off.microphone = false;
      return this.reopen('audioinput');
    }
    this.off.microphone = track.enabled;
    track.enabled = !track.enabled;
    this.listener.changed(null);
  }

  async toggleCamera(): Promise<void> {
    this.off.camera = this.camera !== null || this.opening;
    if (this.off.camera) return this.useCamera(this.camera);
    this.opening = true;
    await this.reopen('videoinput');
    this.opening = false;
  }

  /** Uses another device from now on, also at the next visit. */
  async choose(kind: DeviceKind, id: string): Promise<void> {
    this.chosen[kind] = id;
    store('localStorage', CHOSEN_DEVICES_KEY, this.chosen);
    if (kind === 'audioinput' || (kind === 'videoinput' && this.camera)) await this.reopen(kind);
  }

  /** The device in use; for the speaker and a camera that is off, the chosen one. */
  using(kind: DeviceKind): string {
    const track = kind === 'audioinput' ? this.tracks.audio : kind === 'videoinput' ? this.camera : null;
    return (track && track.getSettings && track.getSettings().deviceId) || this.chosen[kind] || '';
  }

  /** Browsers name the devices once one of them was allowed. */
  async lists(): Promise<DeviceLists> {
    const lists: DeviceLists = { audioinput: [], videoinput: [], audiooutput: [] };
    if (!navigator.mediaDevices || !navigator.mediaDevices.enumerateDevices) return lists;
    const all = await navigator.mediaDevices.enumerateDevices().catch(() => []);
    all.forEach(({ kind, deviceId, label }) => deviceId && label && lists[kind].push({ id: deviceId, label }));
    this.exists = { microphone: lists.audioinput.length > 0, camera: lists.videoinput.length > 0 };
    return lists;
  }

  /** Needs a click. Rejects with the browser's error. */
  async shareScreen(): Promise<void> {
    const { closings } = this;
    const stream = await navigator.mediaDevices.getDisplayMedia({ video: { frameRate: { ideal: 15, max: 30 } } });
    const [track = null] = stream.getVideoTracks();
    if (!track) return;
    // The call has ended while the browser's dialog was open.
    if (closings !== this.closings) return end(track);
    end(this.screen);
    this.screen = track;
    if ('contentHint' in track) track.contentHint = 'detail';
    // The user stopped sharing in the browser's own bar, or closed the shared window.
    track.onended = () => this.stopScreen();
    this.use('video', track);
  }

  stopScreen(): void {
    if (!this.screen) return;
    end(this.screen);
    this.screen = null;
    this.use('video', this.camera);
  }

  /** Opens the chosen devices, or the browser's default ones where the chosen ones don't exist any more. */
  private async ask(...kinds: Input[]): Promise<MediaStream | null> {
    const wishes = (chosen: boolean): MediaStreamConstraints => {
      const of = (kind: Input, usual: MediaTrackConstraints) => {
        const id = chosen ? this.chosen[kind] : undefined;
        if (kinds.indexOf(kind) < 0) return false;
        // A camera that was chosen may face any way.
        return id ? { ...usual, facingMode: undefined, deviceId: { exact: id } } : usual;
      };
      return { audio: of('audioinput', {}), video: of('videoinput', VIDEO) };
    };
    for (const chosen of kinds.some((kind) => this.chosen[kind]) ? [true, false] : [false]) {
      if (this.denied) return null;
      try {
        return await navigator.mediaDevices.getUserMedia(wishes(chosen));
      } catch (error) {
        const { name, message } = error as DOMException;
        console.warn('castway: no devices', name, message);
        this.denied = name === 'NotAllowedError' || name === 'SecurityError';
      }
    }
    return null;
  }

  /** Opens the chosen device. The one before is closed first, since some systems open no second one. */
  private async reopen(kind: Input): Promise<void> {
    const of = kind === 'audioinput' ? 'audio' : 'video';
    const before = of === 'audio' ? this.tracks.audio : this.camera;
    const label = before ? before.label : '';
    end(before);
    const asked = ++this.asked[of];
    this.denied = false;
    const stream = await this.ask(kind);
    const track = stream ? stream.getTracks()[0]! : null;
    if (asked !== this.asked[of]) return end(track);
    if (!track) this.listener.gone(kind, label, null);
    if (of === 'audio') this.useMicrophone(track);
    else this.useCamera(track);
  }

  private useMicrophone(track: MediaStreamTrack | null): void {
    if (track) {
      track.enabled = !this.off.microphone;
      track.onended = () => void this.microphoneEnded(track.label);
    }
    this.use('audio', track);
  }

  private useCamera(track: MediaStreamTrack | null): void {
    if (this.off.camera) {
      this.asked.video++;
      end(track);
    }
    this.camera = this.off.camera ? null : track;
    if (track) track.onended = () => this.cameraEnded(track.label);
    if (this.screen) this.listener.changed(null);
    else this.use('video', this.camera);
  }

  /** The microphone was unplugged, or forbidden: another one takes its place. */
  private async microphoneEnded(label: string): Promise<void> {
    const asked = ++this.asked.audio;
    this.use('audio', null);
    this.denied = false;
    const stream = await this.ask('audioinput');
    const track = stream ? stream.getAudioTracks()[0]! : null;
    if (asked !== this.asked.audio) return end(track);
    this.useMicrophone(track);
    this.listener.gone('audioinput', label, track ? track.label : null);
  }

  /** No other camera shows what its owner has not seen in the preview. */
  private cameraEnded(label: string): void {
    this.useCamera(null);
    this.listener.gone('videoinput', label, null);
  }

  private use(kind: 'audio' | 'video', track: MediaStreamTrack | null): void {
    this.tracks[kind] = track;
    this.listener.changed(kind);
  }
}

function end(track: MediaStreamTrack | null): void {
  if (!track) return;
  track.onended = null;
  track.stop();
}
