import type { TvScreen } from '../codecs';
import { later, until } from '../later';
import { Peer, type PeerOptions } from '../peer';
import type { Quality } from '../quality';
import { offerId } from '../sdp';
import { bytesIn } from '../stats';
import type { Answer, IceConfig } from '../wire';
import { Tuning } from './tuning';

type Kind = 'audio' | 'video';
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
/** How often the size of the captured window is read. */
const SIZE_INTERVAL_MS = 3000;

/**
 * Sends one stream to the TV. It recovers in three steps: an ICE restart, then a new connection, then
 * giving up. A new connection is built beside the running one, and replaces it when it is connected.
 */
export class Sender {
  private peer: Peer | null = null;
  private retiring: Peer | null = null;
  private config: IceConfig | null = null;
  private stream: MediaStream | null = null;
  /** Nothing is sent, and the TV keeps the last frame. */
  isPaused = false;
  /** Those of the newest connection. A sender has no track while the cast is paused. */
  private senders: Partial<Record<Kind, RTCRtpSender>> = {};
  private step: 'none' | 'restart' | 'afresh' = 'none';
  private wasUp = false;
  private timer = 0;
  private pending = '';
  private run = 0;
  private tls = false;
  private sizeTimer = 0;
  private readonly tuning: Tuning;

  constructor(private readonly listener: Listener, quality: Quality, private readonly options: PeerOptions = {}) {
    this.tuning = new Tuning(quality);
  }

  get pc(): RTCPeerConnection | null {
    return this.peer ? this.peer.pc : null;
  }

  /** What is sent at most. */
  get quality(): Quality {
    return this.tuning.quality;
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
  start(stream: MediaStream, tls = false): void {
    const { isPaused } = this;
    this.stop();
    this.isPaused = isPaused;
    this.tls = tls;
    this.stream = stream;
    this.sizeTimer = window.setInterval(() => this.tuning.isStale(this.picture) && void this.tune(), SIZE_INTERVAL_MS);
    void this.afresh(CONNECT_TIMEOUT_MS);
  }

  stop(): void {
    this.run++;
    clearTimeout(this.timer);
    clearInterval(this.sizeTimer);
    this.peer?.close();
    this.retiring?.close();
    this.peer = this.retiring = this.stream = null;
    this.wasUp = this.isPaused = false;
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

  setQuality(quality: Quality): void {
    this.tuning.choose(quality);
    void this.tune();
  }

  /** The TV's screen, as far as it is known, and the ceiling of the server's operator in kbit/s. */
  limit(screen: TvScreen | null, ceilingKbps: number | null): void {
    this.tuning.limit(screen, ceilingKbps);
    void this.tune();
  }

  /** Sends another stream over the same connection. Engines without `replaceTrack` get a new connection. */
  async replace(stream: MediaStream): Promise<void> {
    if (!this.stream) return;
    this.stream = stream;
    const peer = this.peer;
    if (!peer) return;
    try {
      const added = await this.replaceTracks(peer.pc, stream);
      if (peer === this.peer && added) await this.offer(peer);
      await this.tune();
    } catch (error) {
      console.debug('castway: track not replaced', error);
      if (peer === this.peer && this.stream) void this.afresh(RECONNECT_TIMEOUT_MS);
    }
  }

  /** Stops or continues to send. The TV keeps the last frame. */
  setPaused(paused: boolean): void {
    this.isPaused = paused;
    const { stream, pc } = this;
    if (stream && pc) void this.replaceTracks(pc, stream).catch((error) => console.debug('castway: not paused', error));
  }

  async answer(answer: Answer): Promise<void> {
    const peer = this.peer;
    if (!peer || peer.pc.signalingState !== 'have-local-offer') return;
    if (answer.inReplyTo && answer.inReplyTo !== this.pending) return;
    try {
      await peer.setRemote({ type: 'answer', sdp: this.tuning.answer(answer.sdp ?? '') });
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

  /** True if a track has no sender yet, so that another offer is due. */
  private async replaceTracks(pc: RTCPeerConnection, stream: MediaStream): Promise<boolean> {
    let added = false;
    for (const kind of ['video', 'audio'] as const) {
      const [track = null] = kind === 'video' ? stream.getVideoTracks() : stream.getAudioTracks();
      const sender = this.senders[kind];
      if (sender) {
        const wanted = this.isPaused ? null : track;
        if (sender.track !== wanted) await sender.replaceTrack(wanted);
      } else if (track) {
        const fresh = (this.senders[kind] = pc.addTrack(track, stream));
        added = true;
        if (this.isPaused) await fresh.replaceTrack(null);
      }
    }
    return added;
  }

  private async afresh(patience: number): Promise<void> {
    const run = ++this.run;
    await until(() => this.config !== null, ICE_CONFIG_TIMEOUT_MS);
    const stream = this.stream;
    if (run !== this.run || !stream) return;
    this.step = 'afresh';
    this.retire();
    const peer = new Peer(this.config, (candidate) => {
      if (peer === this.peer) this.listener.candidate(candidate);
    }, { ...this.options, tls: this.tls });
    this.peer = peer;
    this.listener.opened(peer);
    peer.pc.oniceconnectionstatechange = () => this.iceChanged(peer);
    this.senders = {};
    stream.getVideoTracks().concat(stream.getAudioTracks()).forEach((track) => {
      this.senders[track.kind as Kind] = peer.pc.addTrack(track, stream);
    });
    if (!this.retiring) this.listener.link(this.wasUp ? 'interrupted' : 'connecting');
    this.after(patience);
    await this.tuning.order(peer.pc, this.senders.video);
    if (peer !== this.peer) return;
    await this.offer(peer);
    if (this.isPaused && peer === this.peer) this.setPaused(true);
    await this.tune();
  }

  private retire(): void {
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

  private get picture(): MediaStreamTrack | undefined {
    return this.stream ? this.stream.getVideoTracks()[0] : undefined;
  }

  private async tune(): Promise<void> {
    const sender = this.senders.video;
    if (!sender || !sender.getParameters) return;
    try {
      await this.tuning.apply(sender, this.picture);
    } catch (error) {
      // Some engines reject these parameters at times; the content hint still applies.
      console.debug('castway: setParameters refused', error);
    }
  }
}
