import { forOldEngines, offerId, Peer, sessionId } from '@castway/client/parts';
import { relayOnly } from '../lib/relay-only';
import type { IceServers } from './ice';
import { blackTrack } from './black';
import { fromCandidate, toCandidate, type Message } from './wire';

const MAX_EARLY_CANDIDATES = 128;
/** How long to wait for the other side's offer. */
const OFFER_TIMEOUT_MS = 20_000;
/** The page says long before that an attempt has failed. In between a late success counts, and the server takes the report of it. */
const CONNECT_TIMEOUT_MS = 60_000;
/** A short interruption often ends without an ICE restart. */
const ICE_RESTART_DELAY_MS = 3000;
const ICE_RESTART_TIMEOUT_MS = 10_000;
/** Only the initiator restarts ICE, so the callee waits longer. */
const CALLEE_RESTART_TIMEOUT_MS = 16_000;

export type LinkState = 'idle' | 'offering' | 'connecting' | 'up' | 'interrupted';

export interface Tracks {
  audio: MediaStreamTrack | null;
  video: MediaStreamTrack | null;
}

interface Listener {
  initiator(): boolean;
  send(message: Message): void;
  changed(): void;
  picture(stream: MediaStream): void;
  /** A new connection begins. */
  opened(peer: Peer): void;
  /** This page's first offer on the connection will be made. */
  offers(peer: Peer): void;
  /** The other side knows when nothing is sent, and shows it. */
  informed(): boolean;
  /** All recovery steps have failed. */
  exhausted(): void;
}

/**
 * The connection to the other side, in either role. It is independent of signaling: losing the place in the room does not affect
 * a connection that works.
 */
export class Link {
  /** New connections use nothing but the relay over TLS on this side. */
  tls = false;

  private peer: Peer | null = null;
  /** The session id of the other side's description. */
  private theirs = '';
  /** This page's offer that waits for its answer. */
  private pending = '';
  private awaited = false;
  private wasUp = false;
  private restarted = false;
  private early: RTCIceCandidateInit[] = [];
  private queue: Promise<void> = Promise.resolve();
  private generation = 0;
  private timer = 0;
  /** One stream, so that sound and video stay synchronized. */
  private readonly ours = new MediaStream();
  /** What is sent in place of a camera that is off. */
  private black: MediaStreamTrack | null = null;

  constructor(private readonly ice: IceServers, private readonly tracks: Tracks, private readonly listener: Listener) {}

  get pc(): RTCPeerConnection | null {
    return this.peer ? this.peer.pc : null;
  }

  get up(): boolean {
    return this.peer !== null && this.peer.isUp();
  }

  get state(): LinkState {
    if (this.up) return 'up';
    if (this.wasUp) return 'interrupted';
    if (!this.peer) return this.awaited ? 'connecting' : 'idle';
    return this.theirs ? 'connecting' : 'offering';
  }

  /** Offers a new connection. */
  call(): void {
    this.close();
    this.enqueue(async () => {
      const peer = await this.open();
      if (!peer) return;
      (['audio', 'video'] as const).forEach((kind) =>
        peer.pc.addTransceiver(this.tracks[kind] ?? kind, { direction: 'sendrecv', streams: [this.ours] }),
      );
      this.listener.offers(peer);
      await this.offer(peer);
    });
  }

  /** Waits for an offer of the other side. */
  expect(): void {
    this.awaited = true;
    this.after(OFFER_TIMEOUT_MS);
  }

  receive(message: Message): void {
    if (message.type === 'candidate') this.enqueue(() => this.candidate(toCandidate(message)));
    else if (message.type === 'offer') this.enqueue(() => this.answer(message.sdp));
    else if (message.type === 'answer') this.enqueue(() => this.answered(message.sdp, message.inReplyTo));
  }

  /** Recovers a connection that failed while signaling was interrupted. */
  mend(): void {
    if (!this.wasUp || this.up) return;
    if (!this.listener.initiator()) return this.after(CALLEE_RESTART_TIMEOUT_MS);
    this.restarted = false;
    this.trouble();
  }

  replace(kind: 'audio' | 'video'): void {
    const transceiver = this.transceiver(kind);
    if (!transceiver) return;
    const { sender } = transceiver;
    let track = this.tracks[kind];
    if (kind === 'video') {
      const { black } = this;
      // Other clients would keep showing the last frame.
      this.black = !track && sender.track && !this.listener.informed() ? blackTrack() : null;
      black?.stop();
      track = track ?? this.black;
    }
    void sender.replaceTrack(track).catch((error) => console.warn('castway: track refused', error));
  }

  close(): void {
    this.generation++;
    clearTimeout(this.timer);
    this.peer?.close();
    this.peer = null;
    this.black?.stop();
    this.black = null;
    this.theirs = this.pending = '';
    this.awaited = this.wasUp = this.restarted = false;
    this.early = [];
  }

  /** Messages are handled in order: a description takes several steps, and candidates follow it. */
  private enqueue(step: () => Promise<void>): void {
    const generation = this.generation;
    this.queue = this.queue
      .then(() => (generation === this.generation ? step() : undefined))
      .catch((error) => {
        console.warn('castway: negotiation failed', error);
        if (generation === this.generation) this.listener.exhausted();
      });
  }

  private async open(): Promise<Peer | null> {
    const { generation } = this;
    const config = await this.ice.current();
    if (generation !== this.generation) return null;
    const peer = new Peer(config, (candidate) => {
      if (peer === this.peer) this.listener.send(fromCandidate(candidate));
    }, { relayOnly, tls: this.tls });
    this.peer?.close();
    this.peer = peer;
    this.theirs = '';
    this.wasUp = this.restarted = false;
    this.listener.opened(peer);
    const stream = new MediaStream();
    peer.pc.ontrack = (event) => {
      stream.addTrack(event.track);
      this.listener.picture(stream);
    };
    peer.pc.oniceconnectionstatechange = () => this.iceChanged(peer);
    return peer;
  }

  private async offer(peer: Peer, options?: RTCOfferOptions): Promise<void> {
    peer.hold();
    const offer = await peer.pc.createOffer(options);
    await peer.pc.setLocalDescription(offer);
    if (peer !== this.peer) return;
    const sdp = offer.sdp ?? '';
    this.pending = offerId(sdp);
    this.listener.send({ type: 'offer', sdp });
    peer.release();
    this.listener.changed();
  }

  private async answer(sdp: string): Promise<void> {
    const session = sessionId(sdp);
    const known = this.peer !== null && this.theirs === session && this.peer.pc.signalingState === 'stable';
    const peer = known ? this.peer : await this.open();
    if (!peer) return;
    this.awaited = false;
    this.theirs = session;
    const early = this.early;
    this.early = [];
    for (let i = 0; i < early.length; i++) await peer.candidate(early[i]!);
    peer.hold();
    await peer.setRemote({ type: 'offer', sdp: forOldEngines(sdp) });
    for (const kind of ['audio', 'video'] as const) {
      const transceiver = this.transceiver(kind);
      if (!transceiver) continue;
      transceiver.direction = 'sendrecv';
      if (transceiver.sender.setStreams) transceiver.sender.setStreams(this.ours);
      await transceiver.sender.replaceTrack(this.tracks[kind]);
    }
    const answer = await peer.pc.createAnswer();
    await peer.pc.setLocalDescription(answer);
    if (peer !== this.peer) return;
    this.listener.send({ type: 'answer', sdp: answer.sdp ?? '', inReplyTo: offerId(sdp) });
    peer.release();
    this.negotiated(peer);
  }

  private async answered(sdp: string, inReplyTo?: string): Promise<void> {
    const peer = this.peer;
    if (!peer || peer.pc.signalingState !== 'have-local-offer') return;
    if (inReplyTo && inReplyTo !== this.pending) return;
    const session = sessionId(sdp);
    // A client other than the previous one can't continue this connection.
    if (this.theirs && this.theirs !== session) return this.call();
    this.theirs = session;
    await peer.setRemote({ type: 'answer', sdp });
    this.negotiated(peer);
  }

  private negotiated(peer: Peer): void {
    // After an ICE restart that selects the same path, no other event fires.
    if (peer.isUp()) this.iceChanged(peer);
    else this.after(this.wasUp ? ICE_RESTART_TIMEOUT_MS : CONNECT_TIMEOUT_MS);
    this.listener.changed();
  }

  private async candidate(candidate: RTCIceCandidateInit): Promise<void> {
    if (this.peer && this.peer.expects(candidate)) await this.peer.candidate(candidate);
    else if (this.early.length < MAX_EARLY_CANDIDATES) this.early.push(candidate);
  }

  private transceiver(kind: 'audio' | 'video'): RTCRtpTransceiver | undefined {
    const all = this.peer ? this.peer.pc.getTransceivers() : [];
    return all.filter((one) => one.receiver.track.kind === kind && one.currentDirection !== 'stopped')[0];
  }

  private iceChanged(peer: Peer): void {
    if (peer !== this.peer) return;
    const state = peer.pc.iceConnectionState;
    if (peer.isUp()) {
      clearTimeout(this.timer);
      this.wasUp = true;
      this.restarted = false;
    } else if (state === 'disconnected') {
      this.after(this.listener.initiator() ? ICE_RESTART_DELAY_MS : CALLEE_RESTART_TIMEOUT_MS);
    } else if (state === 'failed' && this.wasUp && this.listener.initiator()) {
      this.trouble();
    }
    this.listener.changed();
  }

  private after(milliseconds: number): void {
    clearTimeout(this.timer);
    this.timer = window.setTimeout(() => this.trouble(), milliseconds);
  }

  private trouble(): void {
    clearTimeout(this.timer);
    const peer = this.peer;
    if (!peer || !this.wasUp || this.restarted || !this.listener.initiator()) return this.listener.exhausted();
    this.restarted = true;
    this.after(ICE_RESTART_TIMEOUT_MS);
    this.enqueue(async () => {
      const config = await this.ice.current();
      if (peer !== this.peer) return;
      if (config) peer.configure(config);
      await this.offer(peer, { iceRestart: true });
    });
  }
}
