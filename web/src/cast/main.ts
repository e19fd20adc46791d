import 'webrtc-adapter';
import { byId, show, store, stored } from '../lib/dom';
import '../lib/focus';
import { translate } from '../lib/i18n';
import { DEFAULT_INFO, loadInfo, type Info } from '../lib/info';
import { moveOn } from '../lib/insecure';
import { relayOnly } from '../lib/peer';
import { onVerdict, type Problem } from '../lib/problem';
import { Meter, NO_FIGURES } from '../lib/stats';
import { keepAwake } from '../lib/wake';
import { canCaptureCamera, canCaptureScreen, capture, switchPreset, type Preset } from './capture';
import { preflight } from './preflight';
import { problems } from './problems';
import { scan } from './scan';
import { Session } from './session';
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
const session = new Session(update, (why) => {
  // A refused code keeps the chosen screen, so that a typing error doesn't open the picker again.
  const keep = ['unknown_code', 'room_full', 'server_full', 'too_many_attempts', 'rate_limited', 'server_error'];
  finish(why, keep.indexOf(why.id) >= 0);
});
const awake = keepAwake(() => session.active);

function state(): string {
  return choosing ? 'choosing' : session.state;
}

function update(): void {
  document.body.setAttribute('data-state', state());
  document.body.setAttribute('data-online', String(session.online));
  const pause = passing && passing.until ? passing.until : 0;
  view.show({
    live: session.active,
    status: describe(session),
    busy: choosing,
    kept: stream !== null,
    blocked: Boolean(standing && standing.blocks),
    paused: pause > Date.now(),
    screen: canCaptureScreen(),
    camera: canCaptureCamera(),
    missingSound: session.active && view.sound && stream !== null && !stream.getAudioTracks().length,
  });
  const noServer = !session.online && !session.active && serverLate ? problems.noServer() : null;
  view.problem(standing && standing.blocks ? standing : (session.problem ?? passing ?? noServer ?? standing));
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
  session.end();
  if (!keepStream) release();
  passing = why;
  update();
  if (isAboutTheCode(why)) view.codeInput.focus();
}

async function begin(): Promise<void> {
  if (choosing || session.active || (standing && standing.blocks)) return;
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
    session.begin(view.code, stream, preset);
  }
  update();
  byId(session.active ? 'stop' : 'start').focus({ preventScroll: true });
}

function stopSharing(): void {
  const sharing = session.active;
  session.leave();
  finish(sharing ? problems.stopped() : null, false);
}

function choosePreset(preset: Preset): void {
  view.preset = preset;
  store('localStorage', PRESET_KEY, preset);
  if (!stream || !session.active) return;
  void switchPreset(stream, preset);
  session.setPreset(preset);
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
  const offer = (session.problem ?? passing)?.offer;
  if (offer === 'retry') session.retry();
  else if (offer === 'camera') {
    view.source = 'camera';
    void begin();
  }
});
onVerdict(() => session.problem, () => session.sendToOperator(), () => session.retry(true));
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
  if (session.active) session.leave();
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
  if (session.pc) void meter.read(session.pc).then(view.figures);
}, 1000);

(window as unknown as { castway: unknown }).castway = {
  state,
  pc: () => session.pc,
  stats: () => meter.peek(session.pc),
  error: () => byId('notice').getAttribute('data-error'),
  online: () => session.online,
};
