import 'webrtc-adapter';
import { NO_FIGURES, readScreen, receive, type Reply, type TvFailure, type WireError } from '@castway/client';
import { moveByArrows } from '../lib/arrows';
import { server } from '../lib/base';
import { byId, show } from '../lib/dom';
import { showFigures } from '../lib/figures';
import '../lib/focus';
import { t, translate } from '../lib/i18n';
import { DEFAULT_INFO, loadInfo, type Info } from '../lib/info';
import { relayOnly } from '../lib/relay-only';
import type { Tone } from '../lib/status';
import { progress } from '../lib/verdict';
import { keepAwake } from '../lib/wake';
import { BackHistory } from './back';
import { sentence } from './failure';
import { onCommand, type Command } from './keys';
import { ownName } from './name';
import { plain, withNames, type Sentence } from './sentence';
import { toggleFullScreen, View } from './view';
import { whoCasts, whoJoins, whoPaused } from './who';

const NOTE_SHOWN_MS = 7000;
const NEW_CODE_NOTE_SHOWN_MS = 20_000;
const FAILURE_SHOWN_MS = 60_000;
const WHO_SHOWN_MS = 8000;
/** Back ends the cast if it is pressed again within so long. */
const BACK_AGAIN_MS = 3000;
const RETRY_INTERVAL_MS = 3000;

translate('tvTitle');
const view = new View();
const name = ownName();
const tv = receive(view.video, { still: view.still, server, relayOnly, name, screen: readScreen(window) });

let info: Info = DEFAULT_INFO;
let infoLoaded = false;
/** A note about the cast that has just ended, shown for a moment instead of "Ready". */
let note: string | null = null;
let noteTimer = 0;
/** What kept the last cast from being shown stays on the page for a while. */
let lastFailure: TvFailure | null = null;
/** The name of who casts, also while the connection to the server is interrupted. */
let casterName: string | null = null;
/** Who casts, at the beginning of a picture. */
let who: Sentence | null = null;
let whoTimer = 0;
/** When Back was pressed for the first time; 0 if the next press would be the first one. */
let backTimer = 0;

const awake = keepAwake(() => tv.supported && !tv.replaced);
const casting = () => tv.picture || tv.caster !== null;
const backHistory = new BackHistory(casting, back);

function update(): void {
  const { state, online, code, failure, picture } = tv;
  view.state(state);
  document.body.setAttribute('data-online', String(online));
  const [said, tone] = status();
  view.status(said, tone);
  view.failure(online && code && !tv.refused && !picture ? failure ?? lastFailure : null);
  const paused = state === 'playing' && tv.paused;
  view.banner(paused ? whoPaused(casterName) : state === 'playing' ? banner() : null, paused);
  if (!casting()) forgetBack();
  view.newCodeButton(state === 'waiting' && online && !tv.refused && tv.canRenew);
  view.soundHint(state === 'playing' && tv.silenced && !backTimer);
  backHistory.update();
  awake();
}

function status(): [Sentence, Tone] {
  const { online, code, failure } = tv;
  if (!online) return [plain(tv.restarting ? t.tvServerDown : code ? t.tvOffline : t.tvConnecting), code ? 'bad' : 'busy'];
  if (tv.refused) return [refusal(tv.refused), 'bad'];
  if (!code) return [plain(t.tvConnecting), 'busy'];
  if (failure && !tv.picture) return [plain(sentence(failure)), 'bad'];
  if (tv.paused && casting()) return [whoPaused(casterName), 'good'];
  if (tv.connecting) return [plain(starting()), 'busy'];
  if (tv.takeover) return [plain(t.tvTakeover), 'busy'];
  if (tv.caster) return [tv.offerLate ? plain(t.tvNoOffer) : whoJoins(tv.caster.name), 'busy'];
  return [plain(note ?? t.tvReady), lastFailure ? 'bad' : 'good'];
}

function banner(): Sentence | null {
  if (tv.interrupted) return plain(t.tvInterrupted);
  if (!tv.online) return plain(t.tvSignalLost);
  return tv.casterAway ? plain(t.tvCasterAway) : who;
}

function starting(): string {
  if (tv.slow) return progress(tv.slow.evidence, t.tvStarting);
  return tv.upLong ? t.tvNoFrames : t.tvStarting;
}

function refusal({ code, reason: theirs }: WireError): Sentence {
  return theirs ? withNames(t.tvRefusedBecause, theirs) : plain(t.tvRefused(reason(code)));
}

function reason(code: string): string {
  const full = t.tvServerFull;
  const reasons: Record<string, string> = { server_full: full, address_full: full, site_full: full, evicted: full, rate_limited: t.tvRateLimited, refused: t.tvNotAllowed, unavailable: t.tvNotDecided };
  return reasons[code] ?? code;
}

function say(what: string | null, milliseconds = NOTE_SHOWN_MS): void {
  note = what;
  view.newCode(what === t.tvNewCodeShown);
  clearTimeout(noteTimer);
  if (what !== null) {
    noteTimer = window.setTimeout(() => {
      lastFailure = null;
      say(null);
    }, milliseconds);
  }
  update();
}

tv.on('change', update);
tv.on('code', ({ code, reason: why }) => {
  view.code(code);
  view.address(info, code);
  if (why) say(t.tvNewCodeShown, NEW_CODE_NOTE_SHOWN_MS);
});
tv.on('caster', (caster) => {
  casterName = caster ? caster.name : null;
  if (!caster) return;
  lastFailure = null;
  say(null);
});
tv.on('ended', ({ why, failure }) => {
  lastFailure = why === 'ice_failed' ? failure : null;
  if (lastFailure) say(sentence(lastFailure), FAILURE_SHOWN_MS);
  else if (why === 'ended') say(t.tvEndedHere);
  else if (why === 'ended_by_operator') say(t.tvEndedByOperator);
  else say(why === 'ice_failed' ? t.tvIceFailed : why === 'taken_over' ? null : t.tvCasterLeft);
});
tv.on('state', (state) => {
  clearTimeout(whoTimer);
  who = state === 'playing' && tv.caster ? whoCasts(tv.caster) : null;
  if (who) {
    whoTimer = window.setTimeout(() => {
      who = null;
      update();
    }, WHO_SHOWN_MS);
  }
  update();
});

async function readInfo(): Promise<void> {
  const loaded = await loadInfo();
  if (!loaded) return void setTimeout(() => !infoLoaded && readInfo(), RETRY_INTERVAL_MS);
  info = loaded;
  infoLoaded = true;
  if (!tv.code) view.noCode(info.code.length);
  view.address(info, tv.code);
}

async function askForNewCode(): Promise<void> {
  const button = byId<HTMLButtonElement>('new-code');
  button.disabled = true;
  const reply = await tv.newCode();
  button.disabled = false;
  // The next press of OK must not request another code.
  button.blur();
  sayIfRefused(reply);
}

function sayIfRefused(reply: Reply<object>): void {
  // The event `code` brings the code itself.
  if (reply.ok || reply.error.code === 'offline') return;
  const wait = reply.error.retryAfter;
  say(wait ? t.tvNewCodeWait(wait) : t.tvNewCodeFailed);
}

function back(): void {
  if (view.menu.shown) return view.menu.close();
  if (view.detailsShown) return void view.details(false);
  if (backTimer) {
    forgetBack();
    void tv.endCast();
  } else {
    view.prompt(t.tvBackAgain);
    backTimer = window.setTimeout(() => {
      forgetBack();
      update();
    }, BACK_AGAIN_MS);
  }
  update();
}

function forgetBack(): void {
  clearTimeout(backTimer);
  backTimer = 0;
  view.prompt(null);
}

/** True if the press was for the sound. */
function unmute(): boolean {
  const { silenced } = tv;
  // A sound that comes later may use the press, too.
  if (tv.player.silenced) tv.unmute();
  return silenced;
}

function toggleDetails(): void {
  view.menu.close();
  refreshFigures(view.details(!view.detailsShown));
}

function toggleMenu(): void {
  if (view.menu.shown) view.menu.close();
  else view.menu.open();
}

/** Whether it used the command. */
function duringPicture(command: Command, wasForSound: boolean): boolean {
  if (command === 'ok' && view.menu.shown) view.menu.press();
  else if (command === 'ok' && !wasForSound) view.menu.open();
  else if (command === 'menu') toggleMenu();
  else if (command === 'info') toggleDetails();
  return command !== 'other';
}

onCommand((command) => {
  if (tv.replaced) return command === 'ok' && (tv.takeBack(), true);
  const wasForSound = tv.picture && unmute();
  if (command === 'fullscreen') return toggleFullScreen(), true;
  if (command === 'back' && casting()) {
    if (backHistory.countsKey()) back();
    return true;
  }
  return tv.picture && duringPicture(command, wasForSound);
});
byId('message-action').addEventListener('click', () => tv.takeBack());
byId('new-code').addEventListener('click', () => void askForNewCode());
byId('menu-code').addEventListener('click', () => {
  view.menu.close();
  void tv.endCastAndRenew().then(sayIfRefused);
});
byId('menu-end').addEventListener('click', () => {
  view.menu.close();
  void tv.endCast();
});
byId('menu-details').addEventListener('click', toggleDetails);
moveByArrows('#new-code, #menu button');
document.addEventListener('click', (event) => {
  if (!tv.picture || byId('menu').contains(event.target as Node)) return;
  if (view.menu.shown) view.menu.close();
  else if (!unmute()) view.menu.open();
});

function refreshFigures(shown: boolean): void {
  if (shown) void tv.peek().then((figures) => showFigures(view.figures, figures));
}

setInterval(() => {
  if (!tv.pc) return;
  void tv.stats().then((figures) => view.detailsShown && showFigures(view.figures, figures));
}, 1000);

show(byId('relay-only'), relayOnly);
showFigures(view.figures, NO_FIGURES);
if (name) view.name(name);
if (tv.code) view.code(tv.code);
else view.noCode(info.code.length);
view.address(info, tv.code);
void readInfo();
update();

(window as unknown as { castway: unknown }).castway = {
  state: () => tv.state,
  pc: () => tv.pc,
  stats: () => tv.peek(),
  code: () => tv.code,
  online: () => tv.online,
};
