import { Reporter, SLOW_MS, type Peer, type Verdict as ServerVerdict } from '@castway/client/parts';
import { t } from '../lib/i18n';
import type { Problem } from '../lib/problem';
import { localized, ownVerdict } from '../lib/verdict';
import { IceServers } from './ice';
import { Link, type Tracks } from './link';
import { loopback, Phantom } from './loopback';
import { Presence, type Sending } from './presence';
import { problems, refusal } from './problems';
import { Room, type Refusal } from './room';
import type { Message } from './wire';

export type State = 'lobby' | 'joining' | 'waiting' | 'connecting' | 'talking' | 'recovering' | 'full' | 'failed' | 'ended';
export type Note = 'peer_left' | 'peer_lost' | null;

/** The page's own lost connection may make a room full: its place is free for others after ten seconds. */
const FULL_RETRY_TIMEOUT_MS = 20_000;
const FULL_RETRY_INTERVAL_MS = 3000;
/** After so many attempts the page reports the failure. */
const MAX_LINK_ATTEMPTS = 2;
/** Without a new candidate for so long, an attempt has failed. */
const QUIET_MS = 6500;
const NOTE_SHOWN_MS = 8000;
/** Each report is a request over HTTP, which counts for all callers of an address. */
const LIVE_INTERVAL_MS = 30_000;

/** One call from joining the room to leaving it. */
export class Call {
  problem: Problem | null = null;
  note: Note = null;

  private phase: 'lobby' | 'joining' | 'joined' | 'full' | 'failed' | 'ended' = 'lobby';
  private attempts = 0;
  private fullSince = 0;
  private fullTimer = 0;
  private noteTimer = 0;
  private renewTimer = 0;
  /** The connection that the shown verdict is about. */
  private failed: RTCPeerConnection | null = null;
  /** When this page began to wait for the other side's offer. */
  private expecting = 0;
  private readonly ice = new IceServers();
  private readonly room: Room;
  private readonly link: Link;
  private readonly reporter: Reporter;
  private readonly presence: Presence;
  /** The other side of a loopback call. */
  private phantom: Phantom | null = null;

  constructor(
    name: string,
    tracks: Tracks,
    sending: () => Sending,
    private readonly changed: () => void,
    private readonly picture: (stream: MediaStream | null) => void,
  ) {
    this.presence = new Presence(sending, changed);
    this.room = new Room(name, {
      joined: (messages) => this.joined(messages),
      message: (message) => this.heard(message),
      back: () => this.link.mend(),
      changed: () => this.changed(),
      refused: (why, reason) => this.refused(why, reason),
      closed: () => {
        this.problem = problems.closed();
        this.end('failed');
      },
    });
    this.link = new Link(this.ice, tracks, {
      initiator: () => this.room.initiator,
      send: (message) => this.room.send(message),
      changed: () => this.linkChanged(),
      picture,
      opened: (peer) => {
        this.reporter.watch(peer);
        this.presence.close();
        this.presence.accept(peer.pc);
      },
      offers: ({ pc }) => this.presence.offer(pc),
      informed: () => this.presence.theirs !== null,
      exhausted: () => void this.exhausted(),
    });
    const send: Room['report'] = (report) => this.room.report(report);
    this.reporter = new Reporter({ send, changed, failed: (verdict, peer) => this.showFailure(verdict, peer) }, QUIET_MS, Infinity, LIVE_INTERVAL_MS);
  }

  /** The attempt that takes long, for the sentence about it. */
  get slow(): Peer | null {
    return this.reporter.slow;
  }

  /** The attempt has failed by the page's measure, and the browser still tries. */
  get keepsTrying(): boolean {
    return this.slow !== null && this.slow.isTrying();
  }

  /** The other side's offer has not come for some time. */
  get unanswered(): boolean {
    return this.state === 'connecting' && !this.pc && performance.now() - this.expecting >= SLOW_MS;
  }

  get online(): boolean {
    return this.room.online;
  }

  /** The server answers over HTTP, but no WebSocket connection opens. */
  get blocked(): boolean {
    return this.active && !this.online && this.room.blocked;
  }

  get unreached(): boolean {
    return this.room.unreached;
  }

  get pc(): RTCPeerConnection | null {
    return this.link.pc;
  }

  get active(): boolean {
    return this.phase === 'joining' || this.phase === 'joined';
  }

  get retrying(): boolean {
    return this.phase === 'full' && this.fullSince > 0;
  }

  get state(): State {
    if (this.phase === 'joining' && this.link.state === 'idle') return 'joining';
    if (!this.active) return this.phase as State;
    const states = { idle: 'waiting', offering: 'waiting', connecting: 'connecting', up: 'talking', interrupted: 'recovering' } as const;
    return states[this.link.state];
  }

  /** What the other side sends, if it is a page of ours. */
  get theirs(): Sending | null {
    return this.presence.theirs;
  }

  sendToOperator(): Promise<boolean> {
    return this.reporter.sendToOperator();
  }

  /** Another attempt of a call that goes on; `tls`: this side uses nothing but the relay over TLS. */
  retry(tls = false): void {
    this.problem = null;
    this.link.tls = tls;
    void this.again();
  }

  enter(tls = false): void {
    this.problem = null;
    this.link.tls = tls;
    this.attempts = this.fullSince = 0;
    this.tell(null);
    void this.ice.current();
    this.join();
  }

  async leave(): Promise<void> {
    this.end('ended');
    await this.room.leave();
  }

  /** Ends the call while the page is being closed. */
  abandon(): void {
    if (!this.active) return;
    this.end('ended');
    this.room.abandon();
  }

  /** Sends another track of that kind, or only tells the other side what is sent. */
  replace(kind: 'audio' | 'video' | null): void {
    this.presence.tell();
    if (kind) this.link.replace(kind);
  }

  private join(): void {
    this.phase = 'joining';
    this.changed();
    void this.room.join();
  }

  /** Sends a bye, after which the other side starts a new connection. */
  private async again(): Promise<void> {
    this.drop();
    this.phase = 'joining';
    this.changed();
    await this.room.leave();
    if (this.phase === 'joining') this.join();
  }

  private joined(messages: Message[]): void {
    if (loopback && !this.room.initiator) return void this.fail(problems.loopbackTaken());
    this.phase = 'joined';
    this.fullSince = 0;
    if (this.room.initiator) {
      if (loopback && !this.phantom) this.phantom = new Phantom(this.room.name, this.ice);
      // A working connection continues, and reports its own failure.
      if (!this.link.up) this.link.call();
      this.renew();
    } else {
      if (!this.link.up) this.expect();
      messages.forEach((message) => this.heard(message));
    }
    this.changed();
  }

  private expect(): void {
    this.expecting = performance.now();
    window.setTimeout(() => this.changed(), SLOW_MS);
    this.link.expect();
  }

  /** After a long wait the credentials may have expired, and an offer needs valid ones. */
  private renew(): void {
    clearTimeout(this.renewTimer);
    void this.ice.current().then(() => {
      const { fresh } = this.ice;
      if (fresh > 0) this.renewTimer = window.setTimeout(() => this.state === 'waiting' && this.again(), fresh);
    });
  }

  private heard(message: Message): void {
    if (message.type !== 'bye') {
      // Both sides are initiators: the one that receives an offer becomes the callee.
      if (message.type === 'offer') this.room.initiator = false;
      this.link.receive(message);
      return this.changed();
    }
    this.room.initiator = true;
    this.tell('peer_left');
    // The verdict stays readable; a report would belong to no call any more.
    if (this.problem && this.problem.verdict) this.problem = problems.iceFailed(this.problem.verdict, false, false);
    this.drop();
    this.link.call();
    this.renew();
    this.changed();
  }

  private linkChanged(): void {
    if (this.link.up) {
      this.attempts = 0;
      this.problem = null;
      this.tell(null);
    } else if (this.state === 'connecting' && this.pc && this.pc !== this.failed) {
      this.problem = null;
    }
    this.changed();
  }

  private async exhausted(): Promise<void> {
    // Signaling is down; the link recovers when it is back.
    if (!this.room.online && this.link.state === 'interrupted') return;
    if (this.link.state === 'interrupted') this.tell('peer_lost');
    // Once both descriptions are there, another attempt of the same kind changes nothing.
    const tried = this.link.state === 'connecting' && this.reporter.answered;
    if (!tried && ++this.attempts <= MAX_LINK_ATTEMPTS) return this.again();
    const verdict = (this.problem && this.problem.verdict) ?? ownVerdict(t.callIceFailed, null);
    await this.fail(problems.iceFailed(verdict, this.reporter.canUseTls, false));
  }

  /** The connection stays open, since it may succeed late. */
  private showFailure(verdict: ServerVerdict | null, peer: Peer): void {
    // While nobody else is in the room there is nothing to connect to.
    if (this.state !== 'connecting') return;
    this.failed = peer.pc;
    this.problem = problems.iceFailed(verdict ? localized(verdict) : ownVerdict(t.callIceFailed, peer.evidence), this.reporter.canUseTls, true);
    this.changed();
  }

  private async fail(problem: Problem): Promise<void> {
    this.problem = problem;
    this.end('failed');
    await this.room.leave();
  }

  private refused(why: Refusal, reason?: string): void {
    this.phase = why === 'full' ? 'full' : 'failed';
    this.drop();
    if (why !== 'full') {
      this.problem = refusal(why, reason);
    } else if (!this.fullSince) {
      this.fullSince = Date.now();
    } else if (Date.now() - this.fullSince > FULL_RETRY_TIMEOUT_MS) {
      this.fullSince = 0;
    }
    if (this.retrying) this.fullTimer = window.setTimeout(() => this.retrying && this.room.join(), FULL_RETRY_INTERVAL_MS);
    this.changed();
  }

  private end(phase: 'ended' | 'failed'): void {
    this.phase = phase;
    this.fullSince = 0;
    clearTimeout(this.fullTimer);
    this.tell(null);
    this.drop();
    this.changed();
  }

  private drop(): void {
    clearTimeout(this.renewTimer);
    this.reporter.end();
    this.presence.close();
    this.link.close();
    this.phantom?.close();
    this.phantom = null;
    this.picture(null);
  }

  private tell(note: Note): void {
    clearTimeout(this.noteTimer);
    this.note = note;
    if (!note) return;
    this.noteTimer = window.setTimeout(() => {
      this.note = null;
      this.changed();
    }, NOTE_SHOWN_MS);
  }
}
