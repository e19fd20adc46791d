import { until } from '../later';
import { Peer, type PeerOptions } from '../peer';
import { forOldEngines, offerId, sessionId } from '../sdp';
import type { Answer, IceConfig } from '../wire';

const MAX_EARLY_CANDIDATES = 128;
/**
 * When a connection is closed. The page says long before that there is no picture; each limit is long enough for a late success,
 * or for the caster to restart ICE and then to make a new connection.
 */
const CLOSE_AFTER_MS = { new: 40_000, disconnected: 30_000, failed: 20_000 };
const ORPHAN_TIMEOUT_MS = 4000;
const ICE_CONFIG_TIMEOUT_MS = 3000;

interface Link {
  peer: Peer;
  session: string;
  stream: MediaStream | null;
  timer: number;
}

interface Listener {
  candidate(candidate: RTCIceCandidateInit): void;
  answer(answer: Answer): void;
  /** Shows this stream. */
  picture(stream: MediaStream): void;
  interrupted(now: boolean): void;
  /** A new connection begins. */
  opened(peer: Peer): void;
  /** No connection is left; `failed` if ICE has failed. */
  ended(failed: boolean): void;
}

/**
 * Answers offers. The connection of a new session is built beside the one that is showing, and replaces it
 * when it is connected, so that a new offer does not interrupt the running video.
 */
export class Receiver {
  private current: Link | null = null;
  private next: Link | null = null;
  private early: RTCIceCandidateInit[] = [];
  private config: IceConfig | null = null;
  private queue: Promise<void> = Promise.resolve();
  private generation = 0;
  private orphaned = false;

  constructor(private readonly listener: Listener, private readonly options: PeerOptions = {}) {}

  get pc(): RTCPeerConnection | null {
    const link = this.current ?? this.next;
    return link ? link.peer.pc : null;
  }

  get active(): boolean {
    return this.current !== null;
  }

  get up(): boolean {
    return this.current !== null && this.current.peer.isUp();
  }

  configure(config: IceConfig): void {
    this.config = config;
    this.current?.peer.configure(config);
    this.next?.peer.configure(config);
  }

  offer(offer: RTCSessionDescriptionInit): void {
    const generation = this.generation;
    this.enqueue(async () => {
      if (generation === this.generation) await this.take(offer);
    });
  }

  candidate(candidate: RTCIceCandidateInit): void {
    this.enqueue(async () => {
      const link = this.next ?? this.current;
      if (link && link.peer.expects(candidate)) await link.peer.candidate(candidate);
      else if (this.early.length < MAX_EARLY_CANDIDATES) this.early.push(candidate);
    });
  }

  /** The caster has lost its seat and can't recover the connection, so keep it only while it works. */
  orphan(): void {
    this.orphaned = true;
    if (this.current && !this.current.peer.isUp()) this.giveUpAfter(this.current, ORPHAN_TIMEOUT_MS);
  }

  close(): void {
    this.generation++;
    this.orphaned = false;
    this.early = [];
    this.drop(this.next);
    this.drop(this.current);
    this.next = this.current = null;
  }

  /** Messages are handled in order: an offer takes several steps, and candidates follow it. */
  private enqueue(step: () => Promise<void>): void {
    this.queue = this.queue.then(step).catch((error) => console.warn('castway: negotiation failed', error));
  }

  private async take(offer: RTCSessionDescriptionInit): Promise<void> {
    this.orphaned = false;
    await until(() => this.config !== null, ICE_CONFIG_TIMEOUT_MS);
    const session = sessionId(offer.sdp ?? '');
    const known = [this.next, this.current].filter((link) => link && link.session === session)[0];
    if (known && known.peer.pc.signalingState !== 'closed') {
      try {
        return await this.negotiate(known, offer);
      } catch (error) {
        console.warn('castway: renegotiation failed, starting afresh', error);
        if (known === this.next) this.next = null;
        else this.current = null;
        this.drop(known);
      }
    }
    this.drop(this.next);
    this.next = null;
    const link = this.open(session);
    if (this.current) this.next = link;
    else this.current = link;
    try {
      await this.negotiate(link, offer);
    } catch (error) {
      this.fail(link);
      throw error;
    }
  }

  private async negotiate(link: Link, offer: RTCSessionDescriptionInit): Promise<void> {
    const { peer } = link;
    const sdp = forOldEngines(offer.sdp ?? '');
    const early = this.early;
    this.early = [];
    for (let i = 0; i < early.length; i++) await peer.candidate(early[i]!);
    peer.hold();
    await peer.setRemote({ type: 'offer', sdp });
    const answer = await peer.pc.createAnswer();
    await peer.pc.setLocalDescription(answer);
    this.listener.answer({ type: 'answer', sdp: answer.sdp ?? '', inReplyTo: offerId(sdp) });
    peer.release();
  }

  private open(session: string): Link {
    const peer = new Peer(this.config, (candidate) => this.listener.candidate(candidate), this.options);
    const link: Link = { peer, session, stream: null, timer: 0 };
    this.listener.opened(peer);
    this.giveUpAfter(link, CLOSE_AFTER_MS.new);
    const { pc } = peer;
    const arrived = (stream: MediaStream) => {
      link.stream = stream;
      if (link === this.current) this.listener.picture(stream);
      else if (peer.isUp()) this.promote();
    };
    if ('ontrack' in pc) {
      const loose = new MediaStream();
      pc.ontrack = (event) => {
        const stream = event.streams[0];
        if (!stream) loose.addTrack(event.track);
        arrived(stream ?? loose);
      };
    } else {
      (pc as unknown as { onaddstream: (event: { stream: MediaStream }) => void }).onaddstream = (event) =>
        arrived(event.stream);
    }
    pc.oniceconnectionstatechange = () => this.iceChanged(link);
    return link;
  }

  private iceChanged(link: Link): void {
    const state = link.peer.pc.iceConnectionState;
    if (link.peer.isUp()) {
      clearTimeout(link.timer);
      if (link === this.next && link.stream) this.promote();
      else if (link === this.current) this.listener.interrupted(false);
    } else if (state === 'disconnected' || state === 'failed') {
      this.giveUpAfter(link, this.orphaned ? ORPHAN_TIMEOUT_MS : CLOSE_AFTER_MS[state]);
      if (link === this.current && link.stream) this.listener.interrupted(true);
    }
  }

  private giveUpAfter(link: Link, milliseconds: number): void {
    clearTimeout(link.timer);
    link.timer = window.setTimeout(() => this.fail(link), milliseconds);
  }

  private promote(): void {
    const link = this.next;
    if (!link) return;
    this.drop(this.current);
    this.current = link;
    this.next = null;
    if (link.stream) this.listener.picture(link.stream);
    this.listener.interrupted(false);
  }

  private fail(link: Link): void {
    if (link === this.next) {
      this.next = null;
      this.drop(link);
    } else if (link === this.current) {
      if (this.next) return this.promote();
      this.close();
      this.listener.ended(true);
    }
  }

  private drop(link: Link | null): void {
    if (!link) return;
    clearTimeout(link.timer);
    link.peer.close();
  }
}
