import 'webrtc-adapter';
import { Caster, NO_FIGURES, PRESETS, type CastProblem, type Preset } from '@castway/client';
import { Meter } from '@castway/client/parts';
import { server } from '../lib/base';
import { byId, show, store, stored } from '../lib/dom';
import '../lib/focus';
import { translate } from '../lib/i18n';
import { DEFAULT_INFO, loadInfo, type Info } from '../lib/info';
import { moveOn } from '../lib/insecure';
import { onVerdict, type Problem } from '../lib/problem';
import { relayOnly } from '../lib/relay-only';
import { keepAwake } from '../lib/wake';
import { canCaptureCamera, canCaptureScreen, capture, switchPreset } from './capture';
import { preflight } from './preflight';
import { ofCast, problems } from './problems';
import { scan } from './scan';
import { describe } from './status';
import { isAboutTheCode, view } from './view';

const PRESET_KEY = 'castway.preset';
const SERVER_TIMEOUT_MS = 5000;

translate('castTitle');

let info: Info = DEFAULT_INFO;
let standing: Problem | null = null;
let passing: Problem | null = null;
let choosing = false;
let stream: MediaStream | null = null;
let serverLate = false;

const meter = new Meter('out', view.preview);
const caster = new Caster({ server, relayOnly });
caster.on('change', update);
caster.on('ended', (why) => {
  // A refused code keeps the chosen screen, so that a typing error doesn't open the picker again.
  const problem = ofCast(why);
  const keep = ['unknown_code', 'room_full', 'server_full', 'too_many_attempts', 'rate_limited', 'server_error'];
  finish(problem, keep.indexOf(problem.id) >= 0);
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
  return choosing ? 'choosing' : caster.state === 'idle' ? 'setup' : caster.state;
}

function update(): void {
  document.body.setAttribute('data-state', state());
  document.body.setAttribute('data-online', String(caster.online));
  const pause = passing && passing.until ? passing.until : 0;
  view.show({
    live: caster.active,
    status: describe(caster),
    busy: choosing,
    kept: stream !== null,
    blocked: Boolean(standing && standing.blocks),
    paused: pause > Date.now(),
    screen: canCaptureScreen(),
    camera: canCaptureCamera(),
    missingSound: caster.active && view.sound && stream !== null && !stream.getAudioTracks().length,
  });
  const noServer = !caster.online && !caster.active && serverLate ? problems.noServer() : null;
  view.problem(standing && standing.blocks ? standing : (castProblem() ?? passing ?? noServer ?? standing));
  awake();
}

function release(): void {
  if (!stream) return;
  stream.getTracks().forEach((track) => {
    track.onended = null;
    track.stop();
  });
  stream = null;
  view.preview.srcObject = null;
}

function finish(why: Problem | null, keepStream: boolean): void {
  if (!keepStream) release();
  passing = why;
  update();
  if (isAboutTheCode(why)) view.codeInput.focus();
}

async function begin(): Promise<void> {
  if (choosing || caster.active || (standing && standing.blocks)) return;
  const { source, preset, sound } = view;
  if (view.code.length !== info.code.length) {
    return finish(view.foreign ? problems.codeLetters() : problems.codeIncomplete(info.code.length), true);
  }
  passing = null;
  store('localStorage', PRESET_KEY, preset);
  if (!stream) {
    choosing = true;
    update();
    try {
      const fresh = await capture(source, preset, sound);
      stream = fresh;
      // The user stopped sharing in the browser's own bar, or closed the shared window.
      fresh.getVideoTracks().forEach((track) => (track.onended = () => stream === fresh && stopSharing()));
    } catch (problem) {
      passing = problem as Problem;
    }
    choosing = false;
  } else {
    void switchPreset(stream, preset);
  }
  if (stream) {
    view.preview.srcObject = stream;
    view.preview.play().catch(() => undefined);
    view.preset = preset;
    caster.cast(view.code, stream, { quality: PRESETS[preset] });
  }
  update();
  byId(caster.active ? 'stop' : 'start').focus({ preventScroll: true });
}

function stopSharing(): void {
  const sharing = caster.active;
  caster.end();
  finish(sharing ? problems.stopped() : null, false);
}

function choosePreset(preset: Preset): void {
  view.preset = preset;
  store('localStorage', PRESET_KEY, preset);
  if (!stream || !caster.active) return;
  void switchPreset(stream, preset);
  caster.setQuality(PRESETS[preset]);
}

view.form.addEventListener('submit', (event) => {
  event.preventDefault();
  if (view.codeField.composing) view.codeField.confirm();
  else void begin();
});
view.onCode(() => {
  if (!passing || !passing.until) passing = view.foreign ? problems.codeLetters() : null;
  update();
});
byId('other-screen').addEventListener('click', () => {
  release();
  void begin();
});
byId('stop').addEventListener('click', stopSharing);
byId('notice-action').addEventListener('click', () => {
  const offer = (castProblem() ?? passing)?.offer;
  if (offer === 'retry') caster.retry();
  else if (offer === 'camera') {
    view.source = 'camera';
    void begin();
  }
});
onVerdict(castProblem, () => caster.sendReport(), () => caster.retry({ tls: true }));
['source-screen', 'source-camera'].forEach((id) =>
  byId(id).addEventListener('change', () => {
    release();
    update();
  }),
);
(['sharp', 'smooth'] as const).forEach((preset) => byId(`live-${preset}`).addEventListener('change', () => choosePreset(preset)));
byId('scan').addEventListener('click', async () => {
  const code = await scan(info.code);
  if (!code) return;
  view.code = code;
  passing = null;
  update();
  byId('start').focus();
});
byId('scanner-close').addEventListener('click', () => byId<HTMLDialogElement>('scanner').close());
window.addEventListener('pagehide', () => {
  if (caster.active) caster.end();
  finish(null, false);
});

function applyInfo(next: Info): void {
  info = next;
  view.codeRule(info.code);
  standing = preflight(info);
  moveOn(info, byId<HTMLAnchorElement>('notice-link'));
  if (!canCaptureScreen() && canCaptureCamera()) view.source = 'camera';
  update();
}

show(byId('relay-only'), relayOnly);
view.figures(NO_FIGURES);
view.preset = stored<Preset>('localStorage', PRESET_KEY) === 'smooth' ? 'smooth' : 'sharp';
applyInfo(info);
if (/[?&]code=/i.test(location.search)) view.code = location.search;
(view.code.length === info.code.length ? byId('start') : view.codeInput).focus({ preventScroll: true });
void loadInfo().then((loaded) => loaded && applyInfo(loaded));
setTimeout(() => {
  serverLate = true;
  update();
}, SERVER_TIMEOUT_MS);
setInterval(() => {
  if (passing && passing.until) {
    if (passing.until <= Date.now()) passing = null;
    update();
  }
  if (caster.pc) void meter.read(caster.pc).then(view.figures);
}, 1000);

(window as unknown as { castway: unknown }).castway = {
  state,
  pc: () => caster.pc,
  stats: () => meter.peek(caster.pc),
  error: () => byId('notice').getAttribute('data-error'),
  online: () => caster.online,
};
