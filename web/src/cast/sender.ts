import { later } from '../lib/dom';
import { Peer } from '../lib/peer';
import { offerId } from '../lib/sdp';
import { bytesIn } from '../lib/stats';
import type { Answer, IceConfig } from '../lib/wire';
import { QUALITY, type Preset } from './capture';

export type LinkState = 'connecting' | 'up' | 'interrupted' | 'failed';

interface Listener {
  /** Whether an offer would reach the TV now. */
  ready(): boolean;
  offer(offer: RTCSessionDescriptionInit): void;
  candidate(candidate: RTCIceCandidateInit): void;
  link(state: LinkState): void;
  /** A new connection begins. */
  opened(peer: Peer): void;
}

const ICE_CONFIG_TIMEOUT_MS = 3000;
/** The page says long before that an attempt has failed; a late success still counts. */
const CONNECT_TIMEOUT_MS = 30_000;
const ICE_RESTART_DELAY_MS = 3000;
const ICE_RESTART_TIMEOUT_MS = 9000;
const RECONNECT_TIMEOUT_MS = 20_000;
const STATS_INTERVAL_MS = 1500;

/**
 * Sends one stream to the TV. It recovers in three steps: an ICE restart, then a new connection, then
 * giving up. A new connection is built beside the running one, and replaces it when it is connected.
 */
export class Sender {
  private peer: Peer | null = null;
  private retiring: Peer | null = null;
  private config: IceConfig | null = null;
  private stream: MediaStream | null = null;
  private preset: Preset = 'sharp';
  private step: 'none' | 'restart' | 'afresh' = 'none';
  private wasUp = false;
  private timer = 0;
  private pending = '';
  private run = 0;
  private tls = false;

  constructor(private readonly listener: Listener) {}

  get pc(): RTCPeerConnection | null {
    return this.peer ? this.peer.pc : null;
  }

  /** The old connection still carries the picture while a new one is built. */
  get carries(): boolean {
    return this.retiring !== null && this.retiring.isUp();
  }

  configure(config: IceConfig): void {
    this.config = config;
    if (this.peer) this.peer.configure(config);
  }

  /** `tls`: this side uses nothing but the relay over TLS, which reaches the relayed addresses of the TV. */
  start(stream: MediaStream, preset: Preset, tls = false): void {
    this.stop();
    this.tls = tls;
    this.stream = stream;
    this.preset = preset;
    void this.afresh(CONNECT_TIMEOUT_MS);
  }

  stop(): void {
    this.run++;
    clearTimeout(this.timer);
    this.peer?.close();
    this.retiring?.close();
    this.peer = this.retiring = this.stream = null;
    this.wasUp = false;
    this.step = 'none';
  }

  /** The TV's page may have been reloaded: only a new offer is certain to reach it. */
  tvBack(): void {
    if (this.stream) void this.afresh(RECONNECT_TIMEOUT_MS);
  }

  /** The page has its seat again after an interruption of signaling. */
  async seatRegained(sameRoom: boolean): Promise<void> {
    if (!this.stream) return;
    const peer = this.peer;
    if (sameRoom && peer && peer.isUp()) {
      const before = await bytesIn(peer.pc);
      await later(STATS_INTERVAL_MS);
      if (peer !== this.peer || !this.stream) return;
      // The TV sends receiver reports as long as it shows the video.
      if (peer.isUp() && (await bytesIn(peer.pc)) > before) return;
    }
    void this.afresh(RECONNECT_TIMEOUT_MS);
  }

  setPreset(preset: Preset): void {
    this.preset = preset;
    void this.tune();
  }

  async answer(answer: Answer): Promise<void> {
    const peer = this.peer;
    if (!peer || peer.pc.signalingState !== 'have-local-offer') return;
    if (answer.inReplyTo && answer.inReplyTo !== this.pending) return;
    try {
      await peer.setRemote({ type: 'answer', sdp: answer.sdp ?? '' });
      // After an ICE restart that selects the same path, no other event fires.
      if (peer.isUp()) this.iceChanged(peer);
      await this.tune();
    } catch (error) {
      console.warn('castway: answer refused', error);
      if (peer === this.peer) this.trouble();
    }
  }

  candidate(candidate: RTCIceCandidateInit): void {
    void this.peer?.candidate(candidate);
  }

  private async afresh(patience: number): Promise<void> {
    const run = ++this.run;
    for (let waited = 0; !this.config && waited < ICE_CONFIG_TIMEOUT_MS; waited += 100) await later(100);
    const stream = this.stream;
    if (run !== this.run || !stream) return;
    this.step = 'afresh';
    this.replace();
    const peer = new Peer(this.config, (candidate) => {
      if (peer === this.peer) this.listener.candidate(candidate);
    }, this.tls);
    this.peer = peer;
    this.listener.opened(peer);
    peer.pc.oniceconnectionstatechange = () => this.iceChanged(peer);
    stream.getVideoTracks().concat(stream.getAudioTracks()).forEach((track) => peer.pc.addTrack(track, stream));
    if (!this.retiring) this.listener.link(this.wasUp ? 'interrupted' : 'connecting');
    this.after(patience);
    await this.offer(peer);
    await this.tune();
  }

  private replace(): void {
    const old = this.peer;
    if (!old) return;
    if (old.isUp()) {
      this.retiring?.close();
      this.retiring = old;
      old.pc.oniceconnectionstatechange = null;
    } else {
      old.close();
    }
  }

  private async offer(peer: Peer, options?: RTCOfferOptions): Promise<void> {
    try {
      peer.hold();
      const offer = await peer.pc.createOffer(options);
      await peer.pc.setLocalDescription(offer);
      if (peer !== this.peer) return;
      this.pending = offerId(offer.sdp ?? '');
      this.listener.offer({ type: 'offer', sdp: offer.sdp ?? '' });
      peer.release();
    } catch (error) {
      console.warn('castway: no offer', error);
      if (peer === this.peer) this.trouble();
    }
  }

  private iceChanged(peer: Peer): void {
    if (peer !== this.peer) return;
    const state = peer.pc.iceConnectionState;
    if (peer.isUp()) {
      clearTimeout(this.timer);
      this.step = 'none';
      this.wasUp = true;
      this.retiring?.close();
      this.retiring = null;
      this.listener.link('up');
    } else if (state === 'disconnected') {
      this.listener.link('interrupted');
      this.after(ICE_RESTART_DELAY_MS);
    } else if (state === 'failed') {
      this.trouble();
    }
  }

  private after(milliseconds: number): void {
    clearTimeout(this.timer);
    this.timer = window.setTimeout(() => this.trouble(), milliseconds);
  }

  /** Takes the next recovery step. */
  private trouble(): void {
    clearTimeout(this.timer);
    const peer = this.peer;
    if (!peer || !this.stream) return;
    if (this.wasUp) this.listener.link('interrupted');
    // Without a seat no offer reaches the TV; regaining the seat starts a new connection.
    if (!this.listener.ready()) return;
    if (this.wasUp && this.step === 'none') {
      this.step = 'restart';
      this.after(ICE_RESTART_TIMEOUT_MS);
      if (this.config) peer.configure(this.config);
      void this.offer(peer, { iceRestart: true });
    } else if (this.wasUp && this.step === 'restart') {
      void this.afresh(RECONNECT_TIMEOUT_MS);
    } else {
      this.retiring?.close();
      this.retiring = null;
      this.listener.link('failed');
    }
  }

  private async tune(): Promise<void> {
    const pc = this.pc;
    if (!pc) return;
    const quality = QUALITY[this.preset];
    const sender = pc.getSenders().filter((one) => one.track && one.track.kind === 'video')[0];
    if (!sender || !sender.getParameters) return;
    try {
      const parameters = sender.getParameters();
      if (!parameters.encodings || !parameters.encodings.length) parameters.encodings = [{}];
      const encoding = parameters.encodings[0]!;
      encoding.maxBitrate = quality.maxBitrate;
      encoding.maxFramerate = quality.frameRate;
      parameters.degradationPreference = quality.degradation;
      await sender.setParameters(parameters);
    } catch (error) {
      // Some engines reject these parameters at times; the content hint still applies.
      console.debug('castway: setParameters refused', error);
    }
  }
}
