import type { TvScreen } from '../codecs';
import { later } from '../later';
import { Reporter, SLOW_MS } from '../reporter';
import type { Peer } from '../peer';
import { Signaling, type Reply } from '../signaling';
import { StateEmitter } from '../state-emitter';
import { store, stored } from '../storage';
import { asSide } from '../verdict';
import {
  asCandidate,
  asCastState,
  asDescription,
  asIceConfig,
  SUPPORTED_EVENTS,
  textOf,
  type SeatAck,
  type WireError,
} from '../wire';
import { shownAuth } from '../auth';
import type { CastEnd, CasterDetails, TvEvents, TvFailure, TvOptions, TvState } from './model';
import { shownName } from './name';
import { Receiver } from './receiver';

interface SavedSeat {
  resumeToken: string;
  code: string;
}

const STORAGE_KEY = 'castway.tv';
const RETRY_INTERVAL_MS = 3000;
/** How long a TV waits that the operator's server has refused. */
const REFUSED_INTERVAL_MS = 30_000;
/** Without a new candidate for so long, an attempt has failed. The TV's report has to be there before the caster asks for the verdict. */
const QUIET_MS = 5500;
/** So long the seat waits for what the TV says of its screen, which is told later otherwise. */
const SCREEN_TIMEOUT_MS = 1000;

/**
 * A TV: the connection to the server, the code, and the connection of each cast. It keeps its code over reloads, interruptions of the
 * network and restarts of the server. The page that shows the stream calls `showsPicture`; `receive` does that for a video element.
 */
export class Tv extends StateEmitter<TvState, TvEvents> {
  code = '';
  online = false;
  /** The server has said that it restarts. */
  restarting = false;
  /** Another window of this browser has the code. */
  replaced = false;
  /** Who casts, or is about to; null if nobody does. */
  caster: CasterDetails | null = null;
  casterAway = false;
  /** One caster has taken over from another, who is still shown. */
  takeover = false;
  /** Why the server gives no code at the moment. */
  refused: WireError | null = null;
  failure: TvFailure | null = null;
  /** The path of the picture is interrupted. */
  interrupted = false;
  /** The picture is there. */
  picture = false;
  /** The caster has paused. */
  paused = false;
  /** Whether the caster sends sound; null if it does not say. */
  sound: boolean | null = null;
  /** The server gives a new code on request. */
  canRenew = true;

  private joinedAt = 0;
  /** The caster whose cast another one has just taken over. */
  private displaced: { name: string | null } | null = null;
  private screen: TvScreen | null = null;
  /** The seat has been asked for without what the TV says of its screen. */
  private screenDue = false;
  private readonly screenRead: Promise<void>;
  /** A cast was running when the connection was lost: its caster comes back to the same code. */
  private casting = false;
  private attempt = 0;
  private readonly storageKey: string | null;
  private readonly receiver: Receiver;
  private readonly reporter: Reporter;
  private readonly signaling: Signaling | null;
  private retryTimer = 0;

  constructor(private readonly options: TvOptions = {}) {
    super('connecting');
    this.storageKey = options.storageKey === undefined ? STORAGE_KEY : options.storageKey;
    const read = Promise.resolve(options.screen ?? null).then((screen) => this.takeScreen(screen));
    this.screenRead = Promise.race([read.catch(() => undefined), later(SCREEN_TIMEOUT_MS)]);
    const saved = this.saved();
    // The server will most likely assign this code again: it may be shown while the server can't be reached.
    if (saved && saved.code && this.supported) this.code = saved.code;
    this.receiver = new Receiver(
      {
        candidate: (iceCandidate) => this.signaling?.send('RTC_Candidate_Exchange', { iceCandidate }),
        answer: (answer) => this.signaling?.send('TV_ANSWER_TO_SERVER', answer),
        picture: (stream) => this.emit('stream', stream),
        interrupted: (now) => {
          this.interrupted = now;
          this.changed();
        },
        opened: (peer) => this.reporter.watch(peer),
        ended: () => this.endCastBecause('ice_failed'),
      },
      { relayOnly: options.relayOnly },
    );
    this.reporter = new Reporter(
      {
        send: (report) => (this.signaling ? this.signaling.request('CAST_REPORT', report) : Promise.resolve(null)),
        changed: () => this.changed(),
        failed: (verdict) => {
          // The caster's verdict knows more than this one.
          if (!this.picture && !this.failure) {
            this.failure = { code: verdict ? verdict.code : 'unknown', side: verdict ? verdict.side : 'unknown', told: false };
          }
          this.changed();
        },
      },
      QUIET_MS,
    );
    this.signaling = this.supported ? this.connect() : null;
  }

  /** This browser has WebRTC. */
  get supported(): boolean {
    return typeof RTCPeerConnection !== 'undefined';
  }

  get state(): TvState {
    if (!this.supported) return 'unsupported';
    if (this.replaced) return 'replaced';
    if (this.picture) return 'playing';
    if (!this.code) return 'connecting';
    return this.connecting || this.caster ? 'starting' : 'waiting';
  }

  /** There is a connection to a caster, or an attempt at one. */
  get connecting(): boolean {
    return this.receiver.active;
  }

  /** The connection to the caster, for statistics. */
  get pc(): RTCPeerConnection | null {
    return this.receiver.pc;
  }

  /** The attempt that takes long, for a sentence about it. */
  get slow(): Peer | null {
    return this.reporter.slow;
  }

  /** The connection works for so long that a picture should have arrived. */
  get upLong(): boolean {
    return this.reporter.upLong;
  }

  /** A caster has joined some time ago, and has not offered a connection. */
  get offerLate(): boolean {
    return this.caster !== null && performance.now() - this.joinedAt >= SLOW_MS;
  }

  /** The stream shows a picture. */
  showsPicture(): void {
    this.picture = true;
    this.failure = null;
    this.changed();
  }

  /** Asks for another code. The event `code` brings it. */
  async newCode(): Promise<Reply<object>> {
    const reply = await this.request('NEW_CODE');
    if (!reply.ok && reply.error.code === 'unknown_event') this.canRenew = false;
    this.changed();
    return reply;
  }

  /** Ends the running cast, also if the server can't tell the caster. */
  async endCast(): Promise<Reply<object>> {
    const reply = await this.request('END_CAST');
    // The server knows no caster any more whose video has outlived its seat.
    if (!reply.ok && (this.picture || this.connecting)) this.endCastBecause('ended');
    return reply;
  }

  /** Ends the running cast, so that its caster can't come back, and asks for another code. */
  async endCastAndRenew(): Promise<Reply<object>> {
    const { code } = this;
    await this.endCast();
    // With `CASTWAY_NEW_CODE=after-cast` the server has changed it already.
    return code === this.code ? this.newCode() : { ok: true };
  }

  /** Takes the code back from the other window that has it. */
  takeBack(): void {
    this.replaced = false;
    if (this.online) void this.takeSeat();
    this.changed();
  }

  /** Gives the connection to the server up, and with it the code. */
  close(): void {
    this.attempt++;
    clearTimeout(this.retryTimer);
    this.endPicture();
    this.signaling?.close();
  }

  private request(event: string): Promise<Reply<object>> {
    return this.signaling ? this.signaling.request<object>(event) : Promise.resolve({ ok: false, error: { code: 'offline' } });
  }

  private connect(): Signaling {
    const signaling = new Signaling(
      this.options.server,
      () => {
        this.online = true;
        this.casting = this.casting || this.caster !== null || this.picture || this.receiver.active;
        // A caster that is still present announces itself again; a running video shows whether it works.
        this.restarting = this.takeover = this.casterAway = false;
        this.caster = null;
        if (!this.replaced) void this.takeSeat();
        this.changed();
      },
      () => {
        this.online = false;
        this.changed();
      },
    );
    this.listen(signaling);
    return signaling;
  }

  private saved(): SavedSeat | null {
    return this.storageKey === null ? null : stored<SavedSeat>('localStorage', this.storageKey);
  }

  private remember(resumeToken: string | null): void {
    if (resumeToken && this.code && this.storageKey !== null) store('localStorage', this.storageKey, { resumeToken, code: this.code });
  }

  private async takeSeat(): Promise<void> {
    const attempt = ++this.attempt;
    clearTimeout(this.retryTimer);
    await this.screenRead;
    if (attempt !== this.attempt || this.replaced) return;
    const { screen } = this;
    this.screenDue = screen === null;
    const name = shownName(this.options.name);
    const how = { live: this.picture && this.receiver.up, casting: this.casting, understands: SUPPORTED_EVENTS };
    const auth = this.options.auth ? await shownAuth(this.options.auth) : {};
    if (attempt !== this.attempt || this.replaced) return;
    const own = { ...auth, ...(name ? { name } : {}), ...(screen ? { screen } : {}) };
    const reply = await this.signaling!.request<SeatAck>('TV_INIT', { ...this.saved(), ...how, ...own });
    if (attempt !== this.attempt || this.replaced) return;
    if (reply.ok) {
      this.refused = null;
      this.casting = false;
      this.takeCode(reply.code, null);
      this.remember(reply.resumeToken);
    } else if (reply.error.code !== 'offline') {
      // Without an answer this TV waits for a place or for its turn, as TV_WAITING said; another request keeps both.
      if (reply.error.code !== 'timeout') this.refused = reply.error;
      const wait = (reply.error.retryAfter ?? 0) * 1000 || (reply.error.code === 'refused' ? REFUSED_INTERVAL_MS : RETRY_INTERVAL_MS);
      this.retryTimer = window.setTimeout(() => {
        if (attempt === this.attempt && this.online && !this.replaced) void this.takeSeat();
      }, wait);
    }
    this.changed();
  }

  private takeScreen(screen: TvScreen | null): void {
    this.screen = screen;
    if (screen && this.screenDue && this.online && !this.replaced) void this.takeSeat();
  }

  private takeCode(code: string, reason: string | null): void {
    if (code === this.code && reason === null) return;
    this.code = code;
    this.emit('code', { code, reason });
  }

  private endPicture(): void {
    this.reporter.end();
    this.receiver.close();
    this.failure = this.caster = this.sound = null;
    this.picture = this.interrupted = this.casterAway = this.paused = false;
    this.emit('stream', null);
    this.emit('caster', null);
  }

  private endCastBecause(why: CastEnd): void {
    const { failure } = this;
    this.endPicture();
    this.emit('ended', { why, failure });
    this.changed();
  }

  private listen(signaling: Signaling): void {
    const on = (event: string, handle: (payload: unknown) => void) =>
      signaling.on(event, (payload) => {
        handle(payload);
        this.changed();
      });
    /** Not for a window that has lost its code. */
    const during = (event: string, handle: (payload: unknown) => void) => on(event, (payload) => !this.replaced && handle(payload));
    on('TV_WAITING', (payload) => {
      const code = textOf(payload, 'code');
      if (code) this.refused = { code };
    });
    during('TV_INIT_OK', (payload) => {
      this.refused = null;
      if (typeof payload === 'string' && payload) this.takeCode(payload, null);
    });
    during('TV_CODE_CHANGED', (payload) => {
      const code = textOf(payload, 'code');
      if (!code) return;
      this.takeCode(code, textOf(payload, 'reason'));
      this.remember(textOf(payload, 'resumeToken'));
    });
    on('RESUME_TOKEN', (payload) => this.remember(textOf(payload, 'resumeToken')));
    on('CONFIG_FEEDBACK', (payload) => {
      const config = asIceConfig(payload);
      if (config) this.receiver.configure(config);
    });
    on('SERVER_SHUTDOWN', () => (this.restarting = true));
    on('CAST_REPLACED', () => {
      this.replaced = true;
      this.endPicture();
    });
    during('CASTER_JOINED', (payload) => this.casterJoined(shownName(textOf(payload, 'username')), isResumed(payload)));
    during('CASTER_AWAY', () => (this.casterAway = true));
    during('CASTER_LEFT', (payload) => this.casterLeft(textOf(payload, 'reason'), shownName(textOf(payload, 'username'))));
    during('CAST_STATE', (payload) => {
      const state = asCastState(payload);
      if (!state) return;
      this.paused = state.paused;
      this.sound = state.sound;
    });
    during('CLIENT_OFFER_TO_TV', (payload) => {
      const offer = asDescription(payload, 'offer');
      if (!offer) return;
      // Casters of other servers' kinds do not announce themselves.
      this.caster = this.caster ?? { name: null, displaced: null };
      this.failure = null;
      this.takeover = this.casterAway = false;
      this.receiver.offer(offer);
    });
    during('CAST_VERDICT', (payload) => {
      if (!payload || this.picture) return;
      this.failure = { code: textOf(payload, 'code') ?? 'unknown', side: asSide(textOf(payload, 'side')), told: true };
    });
    during('RTC_Candidate_Exchange', (payload) => {
      const candidate = asCandidate(payload);
      if (candidate) this.receiver.candidate(candidate);
    });
  }

  private casterJoined(name: string | null, resumed: boolean): void {
    const caster = { name, displaced: this.displaced };
    this.caster = caster;
    this.displaced = null;
    this.joinedAt = performance.now();
    window.setTimeout(() => this.changed(), SLOW_MS);
    this.failure = null;
    this.casterAway = this.takeover = false;
    // A caster that comes back after a lost connection has not resumed the picture by that.
    if (!resumed) {
      this.sound = null;
      this.paused = false;
    }
    this.emit('caster', caster);
  }

  private casterLeft(reason: string | null, name: string | null): void {
    this.casterAway = false;
    this.takeover = reason === 'taken_over';
    this.displaced = this.takeover ? { name } : null;
    // Only the caster's signaling has ended: keep showing the video.
    if (reason === 'lost' && this.receiver.up) {
      this.caster = null;
      this.receiver.orphan();
    } else {
      const known = (['taken_over', 'lost', 'ended', 'ended_by_operator'] as const).filter((one) => one === reason)[0];
      this.endCastBecause(known ?? 'left');
    }
  }
}

function isResumed(payload: unknown): boolean {
  return payload !== null && typeof payload === 'object' && (payload as { resumed?: unknown }).resumed === true;
}
