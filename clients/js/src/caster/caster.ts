import { shownAuth, type AuthSource } from '../auth';
import type { ClientOptions } from '../options';
import type { Peer } from '../peer';
import { PRESETS, type Quality } from '../quality';
import { Reporter } from '../reporter';
import { Signaling, type Reply } from '../signaling';
import { StateEmitter, type StateEvents } from '../state-emitter';
import { Meter, type Figures } from '../stats';
import { store, stored } from '../storage';
import type { Verdict } from '../verdict';
import {
  asCandidate,
  asDescription,
  asIceConfig,
  asTvDetails,
  textOf,
  type CastState,
  type CodeCheck,
  type JoinAck,
  type TvDetails,
  type WireError,
} from '../wire';
import { ofServer, type CastProblem } from './problem';
import { Sender, type LinkState } from './sender';

export interface CasterOptions extends ClientOptions {
  /** The caster's name, which the TV shows, and which other casters are told before they take over. */
  username?: string | undefined;
  /** Where the resume token is kept, so that a reloaded page gets its seat back: a key of sessionStorage, or null. */
  storageKey?: string | null | undefined;
}

export interface CastOptions {
  quality?: Quality | undefined;
}

export type CasterState = 'idle' | 'joining' | 'connecting' | 'sharing' | 'recovering' | 'failed';

export interface CasterEvents extends StateEvents<CasterState> {
  /** The cast has ended, except by `end()`. */
  ended: CastProblem;
}

interface SavedSeat {
  code: string;
  token: string;
}

const STORAGE_KEY = 'castway.cast';
const RETRY_INTERVAL_MS = 2000;
/** Without a new candidate for so long, an attempt has failed. */
const QUIET_MS = 6500;
const UNANSWERED_MS = 15_000;
/** How long a cast waits for a TV to come back. */
const TV_RETURN_TIMEOUT_MS = 120_000;
/** Refusals of a join after which a cast that has begun tries again. */
const PASSING = ['unknown_code', 'timeout', 'rate_limited', 'too_many_attempts', 'server_full', 'unavailable'];

/**
 * Casts to TVs, one at a time: the connection to the server, the seat in the room of a code, and the stream to the TV. It recovers from
 * interruptions of the network, a restart of the server and a reload of the TV.
 */
export class Caster extends StateEmitter<CasterState, CasterEvents> {
  code = '';
  online = false;
  /** The server has said that it restarts. */
  restarting = false;
  tvAway = false;
  /** The room does not exist at the moment, and the caster keeps trying to join. */
  waiting = false;
  /** What keeps the stream from the TV. The cast goes on. */
  problem: CastProblem | null = null;
  /** What is known of the TV. */
  tv: TvDetails | null = null;
  username: string | undefined;
  /** Who the user is. */
  auth: AuthSource;
  private isMuted = false;

  private phase: 'idle' | 'joining' | 'joined' = 'idle';
  private link: LinkState = 'connecting';
  private token: string | null = null;
  private stream: MediaStream | null = null;
  private ceilingKbps: number | null = null;
  private seated = false;
  private attempt = 0;
  private deadline = 0;
  private retryTimer = 0;
  private readonly storageKey: string | null;
  private readonly meter = new Meter('out', null);
  private readonly sender: Sender;
  private readonly reporter: Reporter;
  private readonly signaling: Signaling;

  constructor(options: CasterOptions = {}) {
    super('idle');
    this.username = options.username;
    this.auth = options.auth ?? null;
    this.storageKey = options.storageKey === undefined ? STORAGE_KEY : options.storageKey;
    this.sender = new Sender(
      {
        ready: () => this.seated && this.online && !this.tvAway,
        offer: (offer) => this.signaling.send('CLIENT_OFFER_TO_SERVER', offer),
        candidate: (iceCandidate) => this.signaling.send('RTC_Candidate_Exchange', { iceCandidate }),
        link: (state) => this.linkChanged(state),
        opened: (peer) => this.reporter.watch(peer),
      },
      PRESETS.sharp,
      { relayOnly: options.relayOnly },
    );
    this.reporter = new Reporter(
      {
        send: (report) => this.signaling.request('CAST_REPORT', report),
        changed: () => this.changed(),
        failed: (verdict, peer) => this.failed(verdict, peer),
      },
      QUIET_MS,
      UNANSWERED_MS,
    );
    this.signaling = new Signaling(
      options.server,
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

  /** A cast has begun and has not ended. */
  get active(): boolean {
    return this.phase !== 'idle';
  }

  /** The stream reaches the TV. */
  get flowing(): boolean {
    return this.active && this.link === 'up';
  }

  get paused(): boolean {
    return this.sender.isPaused;
  }

  get muted(): boolean {
    return this.isMuted;
  }

  /** The connection to the TV, for statistics. */
  get pc(): RTCPeerConnection | null {
    return this.sender.pc;
  }

  get state(): CasterState {
    if (this.phase !== 'joined') return this.phase;
    return this.link === 'up' ? 'sharing' : this.link === 'interrupted' ? 'recovering' : this.link;
  }

  /** The attempt that takes long, for a sentence about it. */
  get slow(): Peer | null {
    return this.reporter.slow;
  }

  /** The attempt has failed by the caster's measure, and the browser still tries. */
  get keepsTrying(): boolean {
    return this.state === 'failed' && this.slow !== null && this.slow.isTrying();
  }

  /** The seat that this page had before it was loaded again, if there is one. */
  get resumable(): string | null {
    const saved = this.saved();
    return saved ? saved.code : null;
  }

  /** Asks the server about a code, without a seat. A wrong code counts as a wrong join does. */
  async check(code: string): Promise<Reply<CodeCheck>> {
    const saved = this.saved();
    const proof = saved && saved.code === code ? { resumeToken: saved.token } : {};
    const more = { ...proof, ...(this.auth ? await shownAuth(this.auth) : {}) };
    return this.signaling.request<CodeCheck>('CHECK_CODE', code, ...(Object.keys(more).length ? [more] : []));
  }

  /** Begins to cast to the TV that shows this code. What comes of it is in the events and the properties. */
  cast(code: string, stream: MediaStream, options: CastOptions = {}): void {
    if (this.active) this.end();
    this.code = code;
    this.stream = stream;
    if (options.quality) this.setQuality(options.quality);
    this.phase = 'joining';
    this.link = 'connecting';
    this.problem = null;
    this.deadline = 0;
    this.tvAway = this.waiting = false;
    // After a reload or a crash of the page its seat may still be reserved.
    const saved = this.saved();
    this.token = saved && saved.code === code ? saved.token : null;
    void this.join();
    this.changed();
  }

  /** Sends another stream, such as another window, over the same connection. */
  async replace(stream: MediaStream): Promise<void> {
    if (!this.active) return;
    this.stream = stream;
    this.applySound();
    this.changed();
    await this.sender.replace(stream);
    this.sendState();
  }

  /** The TV keeps the last frame and says that the cast is paused. */
  pause(): void {
    this.setPaused(true);
  }

  resume(): void {
    this.setPaused(false);
  }

  /** Sends silence, or the sound again. */
  setMuted(muted: boolean): void {
    this.isMuted = muted;
    this.applySound();
    this.sendState();
    this.changed();
  }

  setQuality(quality: Quality): void {
    this.sender.setQuality(quality);
  }

  /** What is sent at most: the chosen quality within the limits of the TV and of the server. */
  get sending(): Quality {
    return this.sender.quality;
  }

  /** The server's ceiling in kbit/s, as `/api/info` has it in `maxBitrate`. */
  get ceiling(): number | null {
    return this.ceilingKbps;
  }

  set ceiling(kbps: number | null) {
    this.ceilingKbps = kbps;
    this.applyLimits();
  }

  /** Ends the cast and leaves the seat. The tracks of the stream are not stopped. */
  end(): void {
    this.reporter.end();
    if (this.active) this.signaling.send('LEAVE_ROOM');
    this.save(null);
    this.finish();
  }

  /** Ends the cast and the connection to the server. */
  close(): void {
    this.end();
    this.signaling.close();
  }

  /** Another attempt after `ice_failed`; `tls`: this side uses nothing but the relay over TLS. */
  retry(options: { tls?: boolean } = {}): void {
    if (!this.stream) return;
    this.problem = null;
    this.link = 'connecting';
    if (this.seated) this.sender.start(this.stream, options.tls);
    else void this.join();
    this.changed();
  }

  /** Sends the report of the last failure to the operator; false if the server did not take it. */
  sendReport(): Promise<boolean> {
    return this.reporter.sendToOperator();
  }

  /** Reads the statistics. Rates are differences to the last call. */
  stats(): Promise<Figures> {
    return this.meter.read(this.pc);
  }

  private finish(): void {
    this.attempt++;
    clearTimeout(this.retryTimer);
    this.reporter.end();
    this.sender.stop();
    this.phase = 'idle';
    // The tracks belong to the front end, which may use them again.
    if (this.isMuted) this.enableSound(true);
    this.seated = this.tvAway = this.waiting = this.isMuted = false;
    this.problem = this.token = this.stream = this.tv = null;
    this.changed();
  }

  private stopBecause(why: CastProblem): void {
    this.finish();
    this.emit('ended', why);
  }

  private setPaused(paused: boolean): void {
    if (!this.active || this.paused === paused) return;
    this.sender.setPaused(paused);
    this.sendState();
    this.changed();
  }

  private applySound(): void {
    this.enableSound(!this.isMuted);
  }

  private enableSound(enabled: boolean): void {
    if (this.stream) this.stream.getAudioTracks().forEach((track) => (track.enabled = enabled));
  }

  private applyLimits(): void {
    this.sender.limit(this.tv ? this.tv.screen : null, this.ceilingKbps);
  }

  private sendState(): void {
    const { stream } = this;
    if (!this.seated || !stream) return;
    const state: CastState = { paused: this.paused, sound: !this.isMuted && stream.getAudioTracks().length > 0 };
    this.signaling.send('CAST_STATE', state);
  }

  private async join(): Promise<void> {
    const attempt = ++this.attempt;
    clearTimeout(this.retryTimer);
    const { code, token, username } = this;
    const auth = this.auth ? await shownAuth(this.auth) : {};
    if (attempt !== this.attempt || !this.active) return;
    const more = { ...(token ? { resumeToken: token } : {}), ...(username ? { username } : {}), ...auth };
    const reply = await this.signaling.request<JoinAck>('JOIN_ROOM', code, ...(Object.keys(more).length ? [more] : []));
    if (attempt !== this.attempt || !this.active) return;
    if (!reply.ok) return this.refused(reply.error);
    const first = this.phase === 'joining';
    this.remember(reply.resumeToken);
    this.tv = asTvDetails(reply.tv) ?? this.tv;
    this.applyLimits();
    this.phase = 'joined';
    this.seated = true;
    this.deadline = 0;
    this.waiting = this.tvAway = false;
    this.sendState();
    if (first || this.link === 'failed') this.retry();
    else void this.sender.seatRegained(reply.resumed);
    this.changed();
  }

  private refused(error: WireError): void {
    if (error.code === 'offline') return;
    // The cast was ended while this caster was away; if by an operator, `CAST_ENDED` has said so before.
    if (error.code === 'cast_ended') return this.stopBecause({ code: 'ended_by_tv' });
    const patient = this.phase === 'joined';
    const passing = PASSING.indexOf(error.code) >= 0;
    if (error.code !== 'timeout' && !(patient && passing)) return this.stopBecause(ofServer(error));
    this.waiting = patient;
    if (!this.deadline) this.deadline = Date.now() + TV_RETURN_TIMEOUT_MS;
    if (Date.now() > this.deadline) return this.stopBecause(patient ? { code: 'tv_lost' } : ofServer(error));
    this.retryTimer = window.setTimeout(() => void this.join(), Math.max(RETRY_INTERVAL_MS, (error.retryAfter ?? 0) * 1000));
    this.changed();
  }

  private saved(): SavedSeat | null {
    return this.storageKey === null ? null : stored<SavedSeat>('sessionStorage', this.storageKey);
  }

  private save(seat: SavedSeat | null): void {
    if (this.storageKey !== null) store('sessionStorage', this.storageKey, seat);
  }

  private remember(token: string): void {
    this.token = token;
    this.save({ code: this.code, token });
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
    this.problem = { code: 'ice_failed', verdict, evidence: peer.evidence, canUseTls: this.reporter.canUseTls };
    this.changed();
  }

  /** For events that apply only during a cast. */
  private listenTo(event: string, handler: (payload: unknown) => void): void {
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
    this.listenTo('SERVER_SHUTDOWN', () => (this.restarting = true));
    this.listenTo('RESUME_TOKEN', (payload) => {
      const token = textOf(payload, 'resumeToken');
      if (token) this.remember(token);
    });
    this.listenTo('TV_ANSWER_TO_CLIENT', (payload) => {
      const answer = asDescription(payload, 'answer');
      if (answer) void this.sender.answer(answer);
    });
    this.listenTo('RTC_Candidate_Exchange', (payload) => {
      const candidate = asCandidate(payload);
      if (candidate) this.sender.candidate(candidate);
    });
    this.listenTo('TV_AWAY', () => (this.tvAway = true));
    this.listenTo('TV_BACK', (payload) => this.tvBack(payload));
    this.listenTo('TV_LEFT', (payload) => {
      if (textOf(payload, 'reason') !== 'lost') return this.stopBecause({ code: 'tv_left' });
      // The TV may be asleep: its token gives it the same code when it wakes up.
      this.seated = this.tvAway = false;
      this.waiting = true;
      this.deadline = Date.now() + TV_RETURN_TIMEOUT_MS;
      void this.join();
    });
    this.listenTo('CAST_ENDED', (payload) => this.stopBecause({ code: textOf(payload, 'by') === 'operator' ? 'ended_by_operator' : 'ended_by_tv' }));
    this.listenTo('CAST_TAKEN_OVER', (payload) => this.stopBecause({ code: 'taken_over', by: textOf(payload, 'by') }));
    // Another tab of this browser has taken the seat.
    this.listenTo('CAST_REPLACED', () => this.stopBecause({ code: 'replaced' }));
  }

  private tvBack(payload: unknown): void {
    this.tvAway = false;
    if (!this.seated) return;
    const back = payload as { reloaded?: boolean; tv?: unknown } | null;
    this.tv = asTvDetails(back && back.tv) ?? this.tv;
    this.applyLimits();
    this.sendState();
    const reloaded = !back || back.reloaded !== false;
    if (this.link === 'failed') this.retry();
    else if (reloaded) this.sender.tvBack();
    else void this.sender.seatRegained(true);
  }
}

/** Begins to cast a stream to the TV that shows this code. */
export function castTo(code: string, stream: MediaStream, options: CasterOptions & CastOptions = {}): Caster {
  const caster = new Caster(options);
  caster.cast(code, stream, options);
  return caster;
}
