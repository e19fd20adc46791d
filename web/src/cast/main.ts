import 'webrtc-adapter';
import { Caster, CodeChecker, deviceName, NO_FIGURES, PRESETS, shownName, type CastProblem, type Preset } from '@castway/client';
import { Meter } from '@castway/client/parts';
import { server } from '../lib/base';
import { byId, show, store, stored } from '../lib/dom';
import '../lib/focus';
import { t, translate } from '../lib/i18n';
import { DEFAULT_INFO, loadInfo, reachableOrigin, type Info } from '../lib/info';
import { moveOn } from '../lib/insecure';
import { onVerdict, type Problem } from '../lib/problem';
import { relayOnly } from '../lib/relay-only';
import { keepAwake } from '../lib/wake';
import { canCaptureCamera, canCaptureScreen, type Wish } from './capture';
import { codeStatus, replacedBy } from './code-text';
import { offerElsewhere } from './elsewhere';
import { preflight } from './preflight';
import { ofCast, problems } from './problems';
import { interrupted, remember, type SavedCast } from './saved';
import { scan } from './scan';
import { Share } from './share';
import { SignInForm } from './sign-in';
import { describe } from './status';
import { isAboutTheCode, view } from './view';

const PRESET_KEY = 'castway.preset';
const NAME_KEY = 'castway.name';
const SERVER_TIMEOUT_MS = 5000;
/** How long the picker waits for the check of the code: engines open it only soon after a click. */
const CLICK_LASTS_MS = 2500;
/** How long a chosen screen waits for it. */
const CHECK_TIMEOUT_MS = 10_000;
/** Refusals that keep the chosen screen, so that a typing error doesn't open the picker again. */
const CORRECTABLE = ['unknown_code', 'room_full', 'server_full', 'too_many_attempts', 'rate_limited', 'server_error', 'sign_in_required', 'unavailable'];

translate('castTitle');

let info: Info = DEFAULT_INFO;
let standing: Problem | null = null;
let passing: Problem | null = null;
/** A start waits for the check of its code. */
let starting = false;
let before: SavedCast | null = interrupted();
let serverLate = false;

const meter = new Meter('out', view.preview);
const user = new SignInForm(update);
const caster = new Caster({ server, relayOnly, auth: () => user.auth });
const checker = new CodeChecker((code) => caster.check(code), update);
const share = new Share(caster, {
  changed: update,
  ended: stopSharing,
  problem: (problem) => {
    passing = problem;
    update();
  },
});
caster.on('change', update);
caster.on('ended', (why) => {
  const problem = ofCast(why);
  if (problem.id === 'sign_in_required') {
    user.forget(true);
    finish(null, true);
    return user.focus();
  }
  finish(problem, CORRECTABLE.indexOf(problem.id) >= 0);
});
const awake = keepAwake(() => caster.active);

/** The problem of the running cast, made once, so that what was said about it stays with it. */
let shown: { of: CastProblem; problem: Problem } | null = null;

function castProblem(): Problem | null {
  const of = caster.problem;
  if (!of) return null;
  if (!shown || shown.of !== of) shown = { of, problem: ofCast(of) };
  return shown.problem;
}

function state(): string {
  return caster.state !== 'idle' ? caster.state : share.choosing ? 'choosing' : 'setup';
}

const isAgain = () => before !== null && before.code === view.code;
/** The TV may have another code since, as `CASTWAY_NEW_CODE` says. */
const canGoOn = () => isAgain() && checker.state.kind !== 'unknown';

function update(): void {
  document.body.setAttribute('data-state', state());
  document.body.setAttribute('data-online', String(caster.online));
  checker.setResting(caster.active);
  checker.setOnline(caster.online);
  if (caster.active) share.adapt(caster.sending);
  const { state: code } = checker;
  const pause = Math.max((passing && passing.until) || 0, code.kind === 'refused' ? code.until : 0);
  view.show({
    live: caster.active,
    status: describe(caster),
    code: codeStatus(code),
    busy: share.choosing || starting,
    kept: share.capture !== null,
    blocked: Boolean(standing && standing.blocks) || user.missing,
    waiting: pause > Date.now(),
    again: canGoOn(),
    screen: canCaptureScreen(),
    camera: canCaptureCamera(),
    paused: caster.paused,
    muted: share.muted,
    hasSound: share.hasSound,
    microphone: share.microphone,
    canAddMicrophone: share.canAddMicrophone,
    shared: share.source,
  });
  user.show(caster.active || Boolean(standing && standing.blocks));
  view.note(caster.active && view.sound && !share.hasSound && !share.microphone ? t.castAudioMissing : '');
  view.problem(problem(), code.kind === 'unknown');
  const failed = passing !== null && passing.offer === 'camera';
  offerElsewhere(!caster.active && !(standing && standing.blocks) && (!canCaptureScreen() || failed), `${reachableOrigin(info)}/cast`, completeCode());
  awake();
}

function problem(): Problem | null {
  if (standing && standing.blocks) return standing;
  const { state: code } = checker;
  const refused = code.kind === 'refused' && !caster.active ? { ...ofCast(code.error), until: code.until } : null;
  const noServer = !caster.online && !caster.active && serverLate ? problems.noServer() : null;
  const again = before && isAgain() && !caster.active ? problems.interrupted(canGoOn()) : null;
  return castProblem() ?? refused ?? passing ?? noServer ?? again ?? standing;
}

function completeCode(): string {
  return view.code.length === info.code.length ? view.code : '';
}

function wish(): Wish {
  const { source, facing, sound } = view;
  return { source, facing, sound, quality: PRESETS[view.preset] };
}

function finish(why: Problem | null, keepStream: boolean): void {
  if (!keepStream) {
    share.release();
    view.preview.srcObject = null;
  }
  passing = why;
  update();
  if (isAboutTheCode(why)) view.codeInput.focus();
}

/** What the server says of the code, unless it is what the user has been told. True if the cast may begin. */
async function confirmed(replaced: string | null, milliseconds: number): Promise<boolean> {
  const code = await checker.confirm(milliseconds);
  if (code.kind === 'unknown') finish(ofCast({ code: 'unknown_code' }), true);
  else if (code.kind === 'known' && !code.check.takeover && replacedBy(code) !== null) update();
  else if (replacedBy(code) !== null && replacedBy(code) !== replaced) byId('start').focus();
  else return code.kind !== 'refused';
  return false;
}

async function begin(): Promise<void> {
  if (starting || share.choosing || caster.active || user.missing || (standing && standing.blocks) || byId<HTMLButtonElement>('start').disabled) return;
  if (!completeCode()) return finish(view.foreign ? problems.codeLetters() : problems.codeIncomplete(info.code.length), true);
  passing = null;
  const replaced = replacedBy(checker.state);
  // Some engines open the picker only right after the click, so what is known already is checked again after it.
  starting = true;
  update();
  try {
    if (checker.state.kind !== 'known' && !(await confirmed(replaced, CLICK_LASTS_MS))) return;
    if (!share.capture && !(await share.choose(wish()))) return;
    if (!(await confirmed(replaced, CHECK_TIMEOUT_MS))) return;
  } finally {
    starting = false;
    update();
  }
  cast();
  byId(caster.active ? 'stop' : 'start').focus({ preventScroll: true });
}

function cast(): void {
  const stream = share.compose();
  if (!stream) return;
  const { code, preset, sound } = view;
  store('localStorage', PRESET_KEY, preset);
  before = null;
  remember({ code, source: share.source, preset, sound });
  showPreview();
  view.preset = preset;
  caster.username = shownName(view.name) ?? (deviceName(navigator.userAgent, t.deviceName) || undefined);
  caster.cast(code, stream, { quality: PRESETS[preset] });
  update();
}

function showPreview(): void {
  view.preview.srcObject = share.capture;
  view.preview.play().catch(() => undefined);
}

function stopSharing(): void {
  const sharing = caster.active;
  caster.end();
  remember(null);
  finish(sharing ? problems.stopped() : null, false);
}

/** Shares another screen or window, or the other camera. */
async function chooseElse(sound: boolean): Promise<void> {
  passing = null;
  view.sound = sound;
  const facing = share.source === 'camera' && share.facing === 'environment' ? 'user' : 'environment';
  view.facing = facing;
  await share.chooseElse({ ...wish(), source: share.source, facing });
  if (caster.active && !caster.paused) showPreview();
}

function pause(): void {
  if (caster.paused) {
    caster.resume();
    showPreview();
  } else {
    caster.pause();
    view.preview.pause();
  }
}

function choosePreset(preset: Preset): void {
  view.preset = preset;
  store('localStorage', PRESET_KEY, preset);
  if (!caster.active) return;
  caster.setQuality(PRESETS[preset]);
  share.adapt(caster.sending);
  const { code, sound } = view;
  remember({ code, source: share.source, preset, sound });
}

view.form.addEventListener('submit', (event) => {
  event.preventDefault();
  if (view.codeField.composing) view.codeField.confirm();
  else void begin();
});
view.onCode(() => {
  if (!passing || !passing.until) passing = view.foreign ? problems.codeLetters() : null;
  checker.setCode(completeCode());
  update();
});
view.onName(() => store('localStorage', NAME_KEY, shownName(view.name) ?? ''));
byId('other-screen').addEventListener('click', () => {
  share.release();
  void begin();
});
byId('stop').addEventListener('click', stopSharing);
byId('pause').addEventListener('click', pause);
byId('share-else').addEventListener('click', () => void chooseElse(view.sound));
byId('mute').addEventListener('click', () => (share.hasSound ? share.mute(!share.muted) : void chooseElse(true)));
byId('microphone').addEventListener('click', () => void share.toggleMicrophone());
byId('notice-action').addEventListener('click', () => {
  const offer = (castProblem() ?? passing)?.offer;
  if (offer === 'retry') return caster.retry();
  view.source = 'camera';
  void begin();
});
onVerdict(
  () => castProblem() ?? passing,
  () => caster.sendReport(),
  () => caster.retry({ tls: true }),
);
['source-screen', 'source-camera', 'sound', 'facing-environment', 'facing-user'].forEach((id) =>
  byId(id).addEventListener('change', () => {
    share.release();
    update();
  }),
);
(Object.keys(PRESETS) as Preset[]).forEach((preset) => byId(`live-${preset}`).addEventListener('change', () => choosePreset(preset)));
byId('scan').addEventListener('click', async () => {
  const code = await scan(info.code);
  if (!code) return;
  view.code = code;
  passing = null;
  checker.setCode(completeCode());
  update();
  byId('start').focus();
});
byId('scanner-close').addEventListener('click', () => byId<HTMLDialogElement>('scanner').close());
document.addEventListener('visibilitychange', () => !document.hidden && checker.refresh());
window.addEventListener('beforeunload', (event) => {
  if (!caster.active) return;
  event.preventDefault();
  // Older engines ask only then.
  event.returnValue = true;
});
window.addEventListener('pagehide', () => {
  // The TV shows its code at once. What a page that is loaded again needs stays remembered.
  if (caster.active) caster.end();
  finish(null, false);
  before = interrupted();
});

function applyInfo(next: Info): void {
  info = next;
  view.codeRule(info.code);
  caster.ceiling = info.maxBitrate;
  standing = preflight(info);
  user.need(info.castAccess === 'users');
  moveOn(info, byId<HTMLAnchorElement>('notice-link'));
  if (!canCaptureScreen() && canCaptureCamera()) view.source = 'camera';
  checker.setCode(completeCode());
  update();
}

show(byId('relay-only'), relayOnly);
view.figures(NO_FIGURES);
const preset = stored<Preset>('localStorage', PRESET_KEY);
view.preset = preset && PRESETS[preset] ? preset : 'sharp';
view.names(stored<string>('localStorage', NAME_KEY) ?? '', deviceName(navigator.userAgent, t.deviceName));
if (before) {
  view.source = before.source;
  view.sound = before.sound;
  view.code = before.code;
}
if (/[?&]code=/i.test(location.search)) view.code = location.search;
applyInfo(info);
(completeCode() ? byId('start') : view.codeInput).focus({ preventScroll: true });
void loadInfo().then((loaded) => {
  if (!loaded) return;
  applyInfo(loaded);
  if (user.missing) user.focus();
});
setTimeout(() => {
  serverLate = true;
  update();
}, SERVER_TIMEOUT_MS);
setInterval(() => {
  if (passing && passing.until && passing.until <= Date.now()) passing = null;
  if ((passing && passing.until) || checker.state.kind === 'refused') update();
  if (caster.pc) void meter.read(caster.pc).then(view.figures);
}, 1000);

(window as unknown as { castway: unknown }).castway = {
  state,
  pc: () => caster.pc,
  stats: () => meter.peek(caster.pc),
  error: () => byId('notice').getAttribute('data-error'),
  online: () => caster.online,
};
