import 'webrtc-adapter';
import { moveByArrows } from '../lib/arrows';
import { byId, show, store, stored } from '../lib/dom';
import { showFigures } from '../lib/figures';
import '../lib/focus';
import { t, translate } from '../lib/i18n';
import { DEFAULT_INFO, loadInfo, type Info } from '../lib/info';
import { relayOnly } from '../lib/peer';
import { Player } from '../lib/player';
import { Reporter, SLOW_MS } from '../lib/reporter';
import { Signaling } from '../lib/signaling';
import { Meter, NO_FIGURES } from '../lib/stats';
import { asSide, progress } from '../lib/verdict';
import { keepAwake } from '../lib/wake';
import {
  asCandidate,
  asDescription,
  asIceConfig,
  SUPPORTED_EVENTS,
  type CodeChanged,
  type ResumeToken,
  type SeatAck,
  type WireError,
} from '../lib/wire';
import { sentence, type Failure } from './failure';
import { onCommand } from './keys';
import { Receiver } from './receiver';
import { toggleFullScreen, View, type State } from './view';

const RESUME_TOKEN_KEY = 'castway.tv';
const NOTE_SHOWN_MS = 7000;
const NEW_CODE_NOTE_SHOWN_MS = 20_000;
const FAILURE_SHOWN_MS = 60_000;
const RETRY_INTERVAL_MS = 3000;
/** Without a new candidate for so long, an attempt has failed. The TV's report has to be there before the caster asks for the verdict. */
const QUIET_MS = 5500;

translate('tvTitle');
const view = new View();
const supported = typeof RTCPeerConnection !== 'undefined';

let info: Info = DEFAULT_INFO;
let infoLoaded = false;
let code = '';
let online = false;
let restarting = false;
let replaced = false;
let joined = false;
let joinedAt = 0;
let takeover = false;
let casterAway = false;
let picture = false;
let interrupted = false;
/** A cast was running when the connection was lost: its caster comes back to the same code. */
let casting = false;
let canRenew = true;
let refused: string | null = null;
/** A note about the cast that has just ended, shown for a moment instead of "Ready". */
let note: string | null = null;
let noteTimer = 0;
/** Why there is no picture. The page still tries. */
let failure: Failure | null = null;
let seat = 0;

const player = new Player(view.video, view.still, () => update(playing()), () => update());
const meter = new Meter('in', view.video);
const receiver = new Receiver({
  candidate: (iceCandidate) => signaling.send('RTC_Candidate_Exchange', { iceCandidate }),
  answer: (answer) => signaling.send('TV_ANSWER_TO_SERVER', answer),
  picture: (stream) => player.present(stream),
  interrupted: (now) => update((interrupted = now)),
  opened: (peer) => reporter.watch(peer),
  ended: (failed) => gaveUp(failed),
});
const reporter = new Reporter(
  {
    send: (report) => signaling.request('CAST_REPORT', report),
    changed: () => update(),
    failed: (verdict) => {
      // The caster's verdict knows more than this one.
      if (!picture && !failure) failure = { code: verdict ? verdict.code : 'unknown', side: verdict ? verdict.side : 'unknown', told: false };
      update();
    },
  },
  QUIET_MS,
);
const awake = keepAwake(() => supported && !replaced);
const signaling = new Signaling(
  () => {
    online = true;
    casting = casting || joined || picture || receiver.active;
    // A caster that is still present announces itself again; a running video shows whether it works.
    restarting = joined = takeover = casterAway = false;
    if (!infoLoaded) void readInfo();
    if (!replaced) void takeSeat();
    update();
  },
  () => update((online = false)),
);

function state(): State {
  if (!supported) return 'unsupported';
  if (replaced) return 'replaced';
  if (picture) return 'playing';
  if (!code) return 'connecting';
  return receiver.active || joined ? 'starting' : 'waiting';
}

function update(_changed?: unknown): void {
  const now = state();
  view.state(now);
  document.body.setAttribute('data-online', String(online));
  if (!online) view.status(restarting ? t.tvServerDown : code ? t.tvOffline : t.tvConnecting, code ? 'bad' : 'busy');
  else if (refused) view.status(t.tvRefused(refused), 'bad');
  else if (!code) view.status(t.tvConnecting, 'busy');
  else if (failure && !picture) view.status(sentence(failure), 'bad');
  else if (receiver.active) view.status(starting(), 'busy');
  else if (takeover) view.status(t.tvTakeover, 'busy');
  else if (joined) view.status(performance.now() - joinedAt < SLOW_MS ? t.tvJoined : t.tvNoOffer, 'busy');
  else view.status(note ?? t.tvReady, 'good');
  view.failure(online && code && !refused && !picture ? failure : null);
  let banner: string | null = null;
  if (now === 'playing') {
    if (interrupted) banner = t.tvInterrupted;
    else if (!online) banner = t.tvSignalLost;
    else if (casterAway) banner = t.tvCasterAway;
  }
  view.banner(banner);
  view.newCodeButton(now === 'waiting' && online && !refused && canRenew);
  view.soundHint(now === 'playing' && player.silenced);
  awake();
}

function starting(): string {
  if (reporter.slow) return progress(reporter.slow.evidence, t.tvStarting);
  return reporter.upLong ? t.tvNoFrames : t.tvStarting;
}

function playing(): void {
  picture = true;
  failure = null;
}

/** What stands in the way of the picture stays on the page for a while after the last attempt. */
function gaveUp(failed: boolean): void {
  const why = failure;
  endPicture(failed && !why ? t.tvIceFailed : null);
  if (!why) return;
  failure = why;
  say(sentence(why), FAILURE_SHOWN_MS);
}

function endPicture(why: string | null): void {
  reporter.end();
  receiver.close();
  failure = null;
  player.stop();
  picture = interrupted = joined = casterAway = false;
  say(why);
}

function say(what: string | null, milliseconds = NOTE_SHOWN_MS): void {
  note = what;
  view.newCode(what === t.tvNewCodeShown);
  clearTimeout(noteTimer);
  if (what !== null) {
    noteTimer = window.setTimeout(() => {
      if (!receiver.active) failure = null;
      say(null);
    }, milliseconds);
  }
  update();
}

function remember(resumeToken: string): void {
  if (resumeToken && code) store('localStorage', RESUME_TOKEN_KEY, { resumeToken, code });
}

function showCode(next: string): void {
  if (next !== code) {
    code = next;
    view.code(code);
  }
  view.address(info, code);
}

async function readInfo(): Promise<void> {
  const loaded = await loadInfo();
  if (!loaded) return void setTimeout(() => !infoLoaded && online && readInfo(), RETRY_INTERVAL_MS);
  info = loaded;
  infoLoaded = true;
  if (!code) view.noCode(info.code.length);
  view.address(info, code);
}

async function takeSeat(): Promise<void> {
  if (!supported) return;
  const attempt = ++seat;
  const saved = stored<{ resumeToken: string; code: string }>('localStorage', RESUME_TOKEN_KEY);
  const how = { live: picture && receiver.up, casting, understands: SUPPORTED_EVENTS };
  const reply = await signaling.request<SeatAck>('TV_INIT', { ...saved, ...how });
  if (attempt !== seat || replaced) return;
  if (reply.ok) {
    refused = null;
    casting = false;
    showCode(reply.code);
    remember(reply.resumeToken);
  } else if (reply.error.code !== 'offline') {
    // Without an answer this TV waits for a place or for its turn, as TV_WAITING said; another request keeps both.
    if (reply.error.code !== 'timeout') refused = reason(reply.error.code);
    const wait = (reply.error.retryAfter ?? 0) * 1000 || RETRY_INTERVAL_MS;
    setTimeout(() => attempt === seat && online && !replaced && takeSeat(), wait);
  }
  update();
}

function reason(code: string): string {
  const full = t.tvServerFull;
  const reasons: Record<string, string> = { server_full: full, address_full: full, site_full: full, evicted: full, rate_limited: t.tvRateLimited };
  return reasons[code] ?? code;
}

signaling.on('TV_WAITING', (value) => update((refused = reason((value as WireError).code))));
signaling.on('TV_INIT_OK', (value) => {
  refused = null;
  if (typeof value === 'string' && !replaced) showCode(value);
  update();
});
signaling.on('TV_CODE_CHANGED', (value) => {
  const changed = value as CodeChanged;
  if (replaced) return;
  showCode(changed.code);
  remember(changed.resumeToken);
  say(t.tvNewCodeShown, NEW_CODE_NOTE_SHOWN_MS);
});
signaling.on('RESUME_TOKEN', (value) => remember((value as ResumeToken).resumeToken));
signaling.on('CONFIG_FEEDBACK', (value) => {
  const config = asIceConfig(value);
  if (config) receiver.configure(config);
});
signaling.on('SERVER_SHUTDOWN', () => update((restarting = true)));
signaling.on('CAST_REPLACED', () => {
  replaced = true;
  endPicture(null);
});
signaling.on('CASTER_JOINED', () => {
  joined = true;
  joinedAt = performance.now();
  setTimeout(update, SLOW_MS);
  failure = null;
  casterAway = takeover = false;
  say(null);
});
signaling.on('CASTER_AWAY', () => update((casterAway = true)));
signaling.on('CASTER_LEFT', (value) => {
  const reason = (value as { reason?: string } | null)?.reason;
  joined = casterAway = false;
  takeover = reason === 'taken_over';
  // Only the caster's signaling has ended: keep showing the video.
  if (reason === 'lost' && receiver.up) {
    receiver.orphan();
    update();
  } else endPicture(takeover ? null : t.tvCasterLeft);
});
signaling.on('CLIENT_OFFER_TO_TV', (value) => {
  const offer = asDescription(value, 'offer');
  if (!offer || !supported || replaced) return;
  joined = true;
  failure = null;
  takeover = casterAway = false;
  receiver.offer(offer);
  update();
});
signaling.on('CAST_VERDICT', (value) => {
  const verdict = value as { side?: unknown; code?: unknown } | null;
  if (!verdict || picture || replaced) return;
  failure = { code: typeof verdict.code === 'string' ? verdict.code : 'unknown', side: asSide(verdict.side), told: true };
  update();
});
signaling.on('RTC_Candidate_Exchange', (value) => {
  const candidate = asCandidate(value);
  if (candidate && supported && !replaced) receiver.candidate(candidate);
});

async function askForNewCode(): Promise<void> {
  const button = byId<HTMLButtonElement>('new-code');
  button.disabled = true;
  const reply = await signaling.request<SeatAck>('NEW_CODE');
  button.disabled = false;
  // The next press of OK must not request another code.
  button.blur();
  // TV_CODE_CHANGED delivers the code itself.
  if (reply.ok || reply.error.code === 'offline') return;
  canRenew = reply.error.code !== 'unknown_event';
  const wait = reply.error.retryAfter;
  say(wait ? t.tvNewCodeWait(wait) : t.tvNewCodeFailed);
}

function useThisWindow(): void {
  replaced = false;
  if (online) void takeSeat();
  update();
}

onCommand((command) => {
  if (replaced) return command === 'ok' && (useThisWindow(), true);
  if (!picture) return command === 'fullscreen' && (toggleFullScreen(), true);
  const silenced = player.silenced;
  if (silenced) player.unmute();
  if (command === 'fullscreen') toggleFullScreen();
  else if (command === 'info' || (command === 'ok' && !silenced)) refreshFigures(view.overlay());
  else if (command === 'back' && view.overlayShown) view.overlay(false);
  else return command === 'ok';
  return true;
});
byId('message-action').addEventListener('click', useThisWindow);
byId('new-code').addEventListener('click', () => void askForNewCode());
moveByArrows('#new-code');
document.addEventListener('click', () => {
  if (!picture) return;
  if (player.silenced) player.unmute();
  else refreshFigures(view.overlay());
});

function refreshFigures(shown: boolean): void {
  if (shown) void meter.peek(receiver.pc).then((figures) => showFigures(view.figures, figures));
}

setInterval(() => {
  if (!receiver.pc) return;
  void meter.read(receiver.pc).then((figures) => view.overlayShown && showFigures(view.figures, figures));
}, 1000);

show(byId('relay-only'), relayOnly);
showFigures(view.figures, NO_FIGURES);
const saved = stored<{ code: string }>('localStorage', RESUME_TOKEN_KEY);
if (saved && saved.code && supported) {
  // The server will most likely assign this code again: show it while the server can't be reached.
  showCode(saved.code);
} else {
  view.noCode(info.code.length);
}
void readInfo();
update();

(window as unknown as { castway: unknown }).castway = {
  state,
  pc: () => receiver.pc,
  stats: () => meter.peek(receiver.pc),
  code: () => code,
  online: () => online,
};
