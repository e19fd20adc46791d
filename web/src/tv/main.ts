import 'webrtc-adapter';
import { NO_FIGURES, receive, type TvFailure } from '@castway/client';
import { moveByArrows } from '../lib/arrows';
import { server } from '../lib/base';
import { byId, show } from '../lib/dom';
import { showFigures } from '../lib/figures';
import '../lib/focus';
import { t, translate } from '../lib/i18n';
import { DEFAULT_INFO, loadInfo, type Info } from '../lib/info';
import { relayOnly } from '../lib/relay-only';
import { progress } from '../lib/verdict';
import { keepAwake } from '../lib/wake';
import { sentence } from './failure';
import { onCommand } from './keys';
import { toggleFullScreen, View } from './view';

const NOTE_SHOWN_MS = 7000;
const NEW_CODE_NOTE_SHOWN_MS = 20_000;
const FAILURE_SHOWN_MS = 60_000;
const RETRY_INTERVAL_MS = 3000;

translate('tvTitle');
const view = new View();
const tv = receive(view.video, { still: view.still, server, relayOnly });

let info: Info = DEFAULT_INFO;
let infoLoaded = false;
/** A note about the cast that has just ended, shown for a moment instead of "Ready". */
let note: string | null = null;
let noteTimer = 0;
/** What kept the last cast from being shown stays on the page for a while. */
let lastFailure: TvFailure | null = null;

const awake = keepAwake(() => tv.supported && !tv.replaced);

function update(): void {
  const { state, online, code, failure, picture } = tv;
  view.state(state);
  document.body.setAttribute('data-online', String(online));
  if (!online) view.status(tv.restarting ? t.tvServerDown : code ? t.tvOffline : t.tvConnecting, code ? 'bad' : 'busy');
  else if (tv.refused) view.status(t.tvRefused(reason(tv.refused.code)), 'bad');
  else if (!code) view.status(t.tvConnecting, 'busy');
  else if (failure && !picture) view.status(sentence(failure), 'bad');
  else if (tv.connecting) view.status(starting(), 'busy');
  else if (tv.takeover) view.status(t.tvTakeover, 'busy');
  else if (tv.caster) view.status(tv.offerLate ? t.tvNoOffer : t.tvJoined, 'busy');
  else view.status(note ?? t.tvReady, lastFailure ? 'bad' : 'good');
  view.failure(online && code && !tv.refused && !picture ? failure ?? lastFailure : null);
  let banner: string | null = null;
  if (state === 'playing') {
    if (tv.interrupted) banner = t.tvInterrupted;
    else if (!online) banner = t.tvSignalLost;
    else if (tv.casterAway) banner = t.tvCasterAway;
  }
  view.banner(banner);
  view.newCodeButton(state === 'waiting' && online && !tv.refused && tv.canRenew);
  view.soundHint(state === 'playing' && tv.silenced);
  awake();
}

function starting(): string {
  if (tv.slow) return progress(tv.slow.evidence, t.tvStarting);
  return tv.upLong ? t.tvNoFrames : t.tvStarting;
}

function reason(code: string): string {
  const full = t.tvServerFull;
  const reasons: Record<string, string> = { server_full: full, address_full: full, site_full: full, evicted: full, rate_limited: t.tvRateLimited };
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
  if (!caster) return;
  lastFailure = null;
  say(null);
});
tv.on('ended', ({ why, failure }) => {
  lastFailure = why === 'ice_failed' ? failure : null;
  if (lastFailure) say(sentence(lastFailure), FAILURE_SHOWN_MS);
  else say(why === 'ice_failed' ? t.tvIceFailed : why === 'taken_over' ? null : t.tvCasterLeft);
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
  // The event `code` brings the code itself.
  if (reply.ok || reply.error.code === 'offline') return;
  const wait = reply.error.retryAfter;
  say(wait ? t.tvNewCodeWait(wait) : t.tvNewCodeFailed);
}

onCommand((command) => {
  if (tv.replaced) return command === 'ok' && (tv.takeBack(), true);
  if (!tv.picture) return command === 'fullscreen' && (toggleFullScreen(), true);
  const { silenced } = tv;
  if (silenced) tv.unmute();
  if (command === 'fullscreen') toggleFullScreen();
  else if (command === 'info' || (command === 'ok' && !silenced)) refreshFigures(view.overlay());
  else if (command === 'back' && view.overlayShown) view.overlay(false);
  else return command === 'ok';
  return true;
});
byId('message-action').addEventListener('click', () => tv.takeBack());
byId('new-code').addEventListener('click', () => void askForNewCode());
moveByArrows('#new-code');
document.addEventListener('click', () => {
  if (!tv.picture) return;
  if (tv.silenced) tv.unmute();
  else refreshFigures(view.overlay());
});

function refreshFigures(shown: boolean): void {
  if (shown) void tv.peek().then((figures) => showFigures(view.figures, figures));
}

setInterval(() => {
  if (!tv.pc) return;
  void tv.stats().then((figures) => view.overlayShown && showFigures(view.figures, figures));
}, 1000);

show(byId('relay-only'), relayOnly);
showFigures(view.figures, NO_FIGURES);
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
