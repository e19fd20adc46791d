import { store, stored } from '../lib/dom';
import type { Peer } from '../lib/peer';
import type { Problem } from '../lib/problem';
import { Reporter } from '../lib/reporter';
import { Signaling } from '../lib/signaling';
import { t } from '../lib/i18n';
import { ownVerdict, type Verdict } from '../lib/verdict';
import { asCandidate, asDescription, asIceConfig, type ResumeToken, type SeatAck, type WireError } from '../lib/wire';
import type { Preset } from './capture';
import { problems, refusal } from './problems';
import { Sender, type LinkState } from './sender';

type Phase = 'setup' | 'joining' | 'joined';

const RESUME_TOKEN_KEY = 'castway.cast';
const RETRY_INTERVAL_MS = 2000;
/** Without a new candidate for so long, an attempt has failed. */
const QUIET_MS = 6500;
const UNANSWERED_MS = 15_000;
/** How long the session waits for a TV to come back. */
const TV_RETURN_TIMEOUT_MS = 120_000;

/** One cast from the code to its end: the seat in the room, and the stream to the TV. */
export class Session {
  code = '';
  online = false;
  restarting = false;
  tvAway = false;
  /** The room does not exist at the moment, and the page keeps trying to join. */
  waiting = false;
  problem: Problem | null = null;

  private phase: Phase = 'setup';
  private link: LinkState = 'connecting';
  private token: string | null = null;
  private stream: MediaStream | null = null;
  private preset: Preset = 'sharp';
  private seated = false;
  private attempt = 0;
  private deadline = 0;
  private retryTimer = 0;

  private readonly sender = new Sender({
    ready: () => this.seated && this.online && !this.tvAway,
    offer: (offer) => this.signaling.send('CLIENT_OFFER_TO_SERVER', offer),
    candidate: (iceCandidate) => this.signaling.send('RTC_Candidate_Exchange', { iceCandidate }),
    link: (state) => this.linkChanged(state),
    opened: (peer) => this.reporter.watch(peer),
  });
  private readonly reporter = new Reporter(
    {
      send: (report) => this.signaling.request('CAST_REPORT', report),
      changed: () => this.changed(),
      failed: (verdict, peer) => this.failed(verdict, peer),
    },
    QUIET_MS,
    UNANSWERED_MS,
  );
  private readonly signaling: Signaling;

  /** `ended` receives the cause, unless `leave` ends the session. */
  constructor(private readonly changed: () => void, private readonly ended: (why: Problem) => void) {
    this.signaling = new Signaling(
      () => {
        this.online = true;
        this.restarting = false;
        if (this.active) void this.join();
        this.changed();
      },
      () => {
        this.online = this.seated = false;
        this.attempt++;
        clearTimeout(this.retryTimer);
        this.changed();
      },
    );
    this.listen();
  }

  get active(): boolean {
    return this.phase !== 'setup';
  }

  get flowing(): boolean {
    return this.active && this.link === 'up';
  }

  get pc(): RTCPeerConnection | null {
    return this.sender.pc;
  }

  get state(): 'setup' | 'joining' | 'connecting' | 'sharing' | 'recovering' | 'failed' {
    if (this.phase !== 'joined') return this.phase;
    return this.link === 'up' ? 'sharing' : this.link === 'interrupted' ? 'recovering' : this.link;
  }

  /** The attempt that takes long, for the sentence about it. */
  get slow(): Peer | null {
    return this.reporter.slow;
  }

  /** The attempt has failed by the page's measure, and the browser still tries. */
  get keepsTrying(): boolean {
    return this.state === 'failed' && this.slow !== null && this.slow.isTrying();
  }

  sendToOperator(): Promise<boolean> {
    return this.reporter.sendToOperator();
  }

  begin(code: string, stream: MediaStream, preset: Preset): void {
    this.code = code;
    this.stream = stream;
    this.preset = preset;
    this.phase = 'joining';
    this.link = 'connecting';
    this.problem = null;
    this.deadline = 0;
    this.tvAway = this.waiting = false;
    // After a crash of the page its seat may still be reserved.
    const saved = stored<{ code: string; token: string }>('sessionStorage', RESUME_TOKEN_KEY);
    this.token = saved && saved.code === code ? saved.token : null;
    void this.join();
  }

  /** Leaves the seat. */
  leave(): void {
    this.reporter.end();
    this.signaling.send('LEAVE_ROOM');
    store('sessionStorage', RESUME_TOKEN_KEY, null);
    this.end();
  }

  end(): void {
    this.attempt++;
    clearTimeout(this.retryTimer);
    this.reporter.end();
    this.sender.stop();
    this.phase = 'setup';
    this.seated = this.tvAway = this.waiting = false;
    this.problem = this.token = this.stream = null;
  }

  /** Retries after ICE has failed; `tls`: with nothing but the relay over TLS. */
  retry(tls = false): void {
    if (!this.stream) return;
    this.problem = null;
    this.link = 'connecting';
    if (this.seated) this.sender.start(this.stream, this.preset, tls);
    else void this.join();
    this.changed();
  }

  setPreset(preset: Preset): void {
    this.preset = preset;
    this.sender.setPreset(preset);
  }

  private async join(): Promise<void> {
    const attempt = ++this.attempt;
    clearTimeout(this.retryTimer);
    const { code, token } = this;
    const reply = await this.signaling.request<SeatAck>('JOIN_ROOM', code, ...(token ? [{ resumeToken: token }] : []));
    if (attempt !== this.attempt || !this.active) return;
    if (!reply.ok) return this.refused(reply.error);
    const first = this.phase === 'joining';
    this.remember(reply.resumeToken);
    this.phase = 'joined';
    this.seated = true;
    this.deadline = 0;
    this.waiting = this.tvAway = false;
    if (first || this.link === 'failed') this.retry();
    else void this.sender.seatRegained(reply.resumed);
    this.changed();
  }

  private refused(error: WireError): void {
    if (error.code === 'offline') return;
    const patient = this.phase === 'joined';
    const passing = ['unknown_code', 'timeout', 'rate_limited', 'too_many_attempts', 'server_full'].indexOf(error.code) >= 0;
    if (error.code !== 'timeout' && !(patient && passing)) return this.ended(refusal(error));
    this.waiting = patient;
    if (!this.deadline) this.deadline = Date.now() + TV_RETURN_TIMEOUT_MS;
    if (Date.now() > this.deadline) return this.ended(patient ? problems.tvLost() : refusal(error));
    this.retryTimer = window.setTimeout(() => void this.join(), Math.max(RETRY_INTERVAL_MS, (error.retryAfter ?? 0) * 1000));
    this.changed();
  }

  private remember(token: string): void {
    this.token = token;
    store('sessionStorage', RESUME_TOKEN_KEY, { code: this.code, token });
  }

  private linkChanged(state: LinkState): void {
    // The sentence about a failure waits for the verdict.
    if (state === 'failed') return this.reporter.giveUp();
    if (this.link === 'failed' && state !== 'up') return;
    this.link = state;
    this.problem = null;
    this.changed();
  }

  /** The connection stays open, since it may succeed late. */
  private failed(verdict: Verdict | null, peer: Peer): void {
    // While signaling is interrupted or the TV is away, another sentence says so, and a new attempt follows.
    const waiting = !this.online || !this.seated || this.tvAway;
    if (!this.active || waiting || this.sender.carries) return;
    this.link = 'failed';
    this.problem = problems.iceFailed(verdict ?? ownVerdict(t.iceFailed, peer.evidence), this.reporter.canUseTls);
    this.changed();
  }

  /** For events that apply only during a cast. */
  private on(event: string, handler: (payload: unknown) => void): void {
    this.signaling.on(event, (payload) => {
      if (!this.active) return;
      handler(payload);
      this.changed();
    });
  }

  private listen(): void {
    this.signaling.on('CONFIG_FEEDBACK', (payload) => {
      const config = asIceConfig(payload);
      if (config) this.sender.configure(config);
    });
    this.on('SERVER_SHUTDOWN', () => (this.restarting = true));
    this.on('RESUME_TOKEN', (payload) => this.remember((payload as ResumeToken).resumeToken));
    this.on('TV_ANSWER_TO_CLIENT', (payload) => {
      const answer = asDescription(payload, 'answer');
      if (answer) void this.sender.answer(answer);
    });
    this.on('RTC_Candidate_Exchange', (payload) => {
      const candidate = asCandidate(payload);
      if (candidate) this.sender.candidate(candidate);
    });
    this.on('TV_AWAY', () => (this.tvAway = true));
    this.on('TV_BACK', (payload) => {
      this.tvAway = false;
      if (!this.seated) return;
      const reloaded = (payload as { reloaded?: boolean } | null)?.reloaded !== false;
      if (this.link === 'failed') this.retry();
      else if (reloaded) this.sender.tvBack();
      else void this.sender.seatRegained(true);
    });
    this.on('TV_LEFT', (payload) => {
      const reason = (payload as { reason?: string } | null)?.reason;
      if (reason !== 'lost') return this.ended(problems.tvLeft());
      // The TV may be asleep: its token gives it the same code when it wakes up.
      this.seated = this.tvAway = false;
      this.waiting = true;
      this.deadline = Date.now() + TV_RETURN_TIMEOUT_MS;
      void this.join();
    });
    this.on('CAST_TAKEN_OVER', () => this.ended(problems.takenOver()));
    // Another tab of this browser has taken the seat.
    this.on('CAST_REPLACED', () => this.ended(problems.takenOver()));
  }
}
