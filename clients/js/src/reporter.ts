import type { Peer } from './peer';
import type { LiveReport, Outcome, Report } from './report';
import { asVerdict, type Verdict } from './verdict';

const TICK_MS = 500;
/** The server accepts one report each two seconds. */
const MIN_INTERVAL_MS = 2000;
/** Gathering may take a minute where a server doesn't answer; the report of it comes earlier. */
const GATHERED_MS = 4000;
/** From here on a sentence says what the page waits for. */
export const SLOW_MS = 5000;
const VERDICT_TIMEOUT_MS = 2500;
/** Statistics of a connection that works are read at this interval, for the last report. */
const TOTALS_INTERVAL_MS = 2000;
/** A connection that works is reported at this interval, so that the server's operator sees how it goes. */
export const LIVE_INTERVAL_MS = 10_000;

interface Listener {
  /** Sends a report and returns the answer; null if there is none. */
  send(report: (Report | LiveReport) & { send?: true }): Promise<unknown>;
  /** `slow` may have changed. */
  changed(): void;
  /** The attempt has failed; the page keeps trying. Without a verdict the server has given none. */
  failed(verdict: Verdict | null, peer: Peer): void;
}

/** Reports each attempt to connect, and asks the server for the verdict when one fails. It observes the newest attempt. */
export class Reporter {
  private peer: Peer | null = null;
  private phase: 'trying' | 'failing' | 'failed' | 'up' = 'trying';
  /** This attempt has succeeded, at least for a time. */
  private worked = false;
  private upSince = 0;
  private sent: Outcome[] = [];
  private lastSent = -MIN_INTERVAL_MS;
  private lastRead = 0;
  private wasUp = false;
  private failure: Report | null = null;
  private verdict: Verdict | null = null;
  private timer = 0;

  /**
   * An attempt has failed after `quietMs` without a new candidate, or if the other side's description has not come for
   * `unansweredMs`.
   */
  constructor(private readonly listener: Listener, private readonly quietMs: number, private readonly unansweredMs = Infinity, private readonly liveMs = LIVE_INTERVAL_MS) {}

  /** The attempt has taken so long that the page says what it waits for. */
  get slow(): Peer | null {
    const peer = this.peer;
    return peer && this.phase !== 'up' && peer.evidence.waited >= SLOW_MS ? peer : null;
  }

  /** The connection works for so long that a picture should have arrived. */
  get upLong(): boolean {
    return this.phase === 'up' && performance.now() - this.upSince >= SLOW_MS;
  }

  get answered(): boolean {
    return this.peer !== null && this.peer.evidence.answered;
  }

  get canUseTls(): boolean {
    return this.peer !== null && this.peer.evidence.hasTls;
  }

  /** Begins with a new attempt. */
  watch(peer: Peer): void {
    this.peer = peer;
    this.phase = 'trying';
    this.worked = false;
    this.sent = [];
    clearInterval(this.timer);
    this.timer = window.setInterval(() => void this.tick(peer), TICK_MS);
  }

  /** The page gives up this attempt. */
  giveUp(): void {
    if (!this.peer) return;
    if (this.phase === 'failed') this.listener.failed(this.verdict, this.peer);
    else if (this.phase !== 'failing') void this.fail(this.peer);
  }

  /** Sends the totals if there was a connection. Nothing is awaited, since the page may be closing. */
  end(): void {
    const { peer } = this;
    clearInterval(this.timer);
    if (peer && this.wasUp) void this.listener.send(peer.evidence.report('ended'));
    this.peer = null;
    this.wasUp = false;
  }

  /** Sends the last failure to the operator; false if the server did not take it. */
  async sendToOperator(): Promise<boolean> {
    if (!this.failure) return false;
    const answer = await this.listener.send({ ...this.failure, send: true });
    return answer !== null && typeof answer === 'object' && (answer as { ok?: unknown }).ok === true;
  }

  private async tick(peer: Peer): Promise<void> {
    if (peer !== this.peer) return;
    if (peer.isUp()) return this.connected(peer);
    if (this.phase === 'up') this.phase = 'trying';
    if (peer.closed) return;
    const { evidence } = peer;
    // Before that the server knows of no connection that the report could belong to.
    const gathered = evidence.answered && (evidence.gathered || evidence.waited >= GATHERED_MS);
    if (gathered && this.phase === 'trying') void this.once(peer, 'gathered');
    const failed = peer.pc.iceConnectionState === 'failed';
    const quiet = evidence.answered ? evidence.quiet >= this.quietMs : evidence.age >= this.unansweredMs;
    // A connection that has worked is recovered by its page, which gives up itself.
    if (!this.worked && this.phase === 'trying' && (failed || quiet)) this.giveUp();
    if (this.slow) this.listener.changed();
  }

  private async connected(peer: Peer): Promise<void> {
    if (this.phase !== 'up') this.upSince = performance.now();
    this.phase = 'up';
    this.worked = this.wasUp = true;
    // A cast of a few seconds has totals, too.
    const due = performance.now() - this.lastRead >= TOTALS_INTERVAL_MS || !peer.evidence.bytes;
    if (!due && this.sent.indexOf('connected') >= 0) return;
    this.lastRead = performance.now();
    this.listener.changed();
    await peer.evidence.refresh();
    const quiet = performance.now() - this.lastSent;
    // A report right after that of the gathering would be refused; a later tick sends it.
    if (peer !== this.peer || quiet < MIN_INTERVAL_MS) return;
    if (this.sent.indexOf('connected') < 0) return this.once(peer, 'connected');
    if (quiet < this.liveMs) return;
    this.lastSent = performance.now();
    void this.listener.send(peer.evidence.live());
  }

  private async once(peer: Peer, outcome: Outcome): Promise<void> {
    if (this.sent.indexOf(outcome) >= 0) return;
    this.sent.push(outcome);
    if (outcome !== 'connected') await peer.evidence.refresh();
    if (peer !== this.peer) return;
    this.lastSent = performance.now();
    await this.listener.send(peer.evidence.report(outcome));
  }

  private async fail(peer: Peer): Promise<void> {
    this.phase = 'failing';
    await peer.evidence.refresh();
    this.lastSent = performance.now();
    this.failure = peer.evidence.report('failed');
    const timer = window.setTimeout(() => this.tell(peer, null), VERDICT_TIMEOUT_MS);
    const answer = await this.listener.send(this.failure).catch(() => null);
    clearTimeout(timer);
    this.tell(peer, answer && typeof answer === 'object' ? asVerdict((answer as { verdict?: unknown }).verdict) : null);
  }

  /** A verdict that comes late replaces what the page says without it, so that both ends say the same. */
  private tell(peer: Peer, verdict: Verdict | null): void {
    // A later attempt has begun, or this one has succeeded after all.
    if (peer !== this.peer || !(this.phase === 'failing' || (this.phase === 'failed' && verdict))) return;
    this.phase = 'failed';
    this.verdict = verdict;
    this.listener.failed(verdict, peer);
  }
}
