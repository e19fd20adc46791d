import 'webrtc-adapter';
import { Meter, NO_FIGURES, Player } from '@castway/client/parts';
import { moveByArrows } from '../lib/arrows';
import { byId, show, store, stored } from '../lib/dom';
import { showFigures } from '../lib/figures';
import '../lib/focus';
import { t, translate } from '../lib/i18n';
import { DEFAULT_INFO, loadInfo, reachableOrigin, type Info } from '../lib/info';
import { moveOn } from '../lib/insecure';
import { makeProblem, onVerdict, showProblem, type Problem } from '../lib/problem';
import { relayOnly } from '../lib/relay-only';
import { keepAwake } from '../lib/wake';
import { Call } from './call';
import { Devices } from './devices';
import { loopback } from './loopback';
import { obstacle, problems } from './problems';
import { isRoom, remember } from './recent';
import { start, JOIN_ROOM_KEY } from './start';
import { view } from './view';

translate('callTitle');
moveByArrows('a, button:not([disabled]), input');

// The server treats several slashes as one.
const name = decoded(location.pathname.split('/').filter(Boolean)[1] ?? '');
if (isRoom(name)) enterRoom(name);
else start();

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** Runs the page at `/r/ROOM`. */
function enterRoom(room: string): void {
  let info: Info = DEFAULT_INFO;
  let asked = false;
  let preparing: Promise<void> | null = null;
  let passing: Problem | null = null;

  const player = new Player(byId<HTMLVideoElement>('video'), byId<HTMLCanvasElement>('still'), update, update);
  const meter = new Meter('in', player.video);
  const devices = new Devices((kind) => {
    showSelf();
    call.replace(kind);
  });
  const call: Call = new Call(room, devices.tracks, update, (stream) => (stream ? player.present(stream) : player.stop()));
  const awake = keepAwake(() => call.active);

  function update(): void {
    const problem = obstacle(info, asked ? devices.lack : null);
    const blocked = Boolean(problem && problem.blocks);
    view.show(call, devices, player.video.videoWidth > 0, blocked);
    // During a call the missing devices are known already.
    const quiet = call.active && call.state !== 'joining';
    // A connected call needs no signaling.
    const unheard = call.blocked && call.state !== 'talking' ? problems.noWebsocket() : null;
    const lacking = quiet || call.state === 'ended' ? null : problem;
    showProblem(blocked ? problem : (call.problem ?? unheard ?? passing ?? lacking ?? (loopback ? problems.loopback() : null)));
    show(byId('sound'), player.silenced);
    awake();
  }

  function showSelf(): void {
    const { video } = devices.tracks;
    const shown = view.self.srcObject as MediaStream | null;
    if (shown ? shown.getVideoTracks()[0] !== video : video) view.self.srcObject = video ? new MediaStream([video]) : null;
  }

  /** Asks for the devices, once at a time: a second request would leave the first one's camera on. */
  function prepare(): Promise<void> {
    preparing ??= devices.open().then(() => {
      asked = true;
      update();
    }).finally(() => (preparing = null));
    return preparing;
  }

  async function enter(): Promise<void> {
    passing = null;
    store('sessionStorage', JOIN_ROOM_KEY, room);
    remember(room);
    if (!asked) await prepare();
    // The button was pressed again while the browser asked for the devices.
    if (call.active) return;
    call.enter();
    byId('microphone').focus({ preventScroll: true });
  }

  async function leave(): Promise<void> {
    store('sessionStorage', JOIN_ROOM_KEY, null);
    const left = call.leave();
    devices.close();
    asked = false;
    update();
    byId('join').focus({ preventScroll: true });
    await left;
  }

  async function toggleScreen(): Promise<void> {
    passing = null;
    if (devices.sharing) devices.stopScreen();
    else {
      await devices.shareScreen().catch((error: DOMException) => {
        if (error.name !== 'NotAllowedError') passing = makeProblem('screen', t.callScreenFailed, error.message, { tone: 'warn' });
      });
    }
    update();
  }

  const inside = () => call.active;
  const actions: Record<string, () => unknown> = {
    m: () => devices.toggleMicrophone(),
    c: () => devices.toggleCamera(),
    s: () => inside() && !byId('screen').hidden && toggleScreen(),
    i: () => inside() && view.overlay() && meter.peek(call.pc).then((figures) => showFigures(byId('figures'), figures)),
    h: () => inside() && leave(),
  };
  const act = (key: string) => {
    const action = actions[key];
    if (!action) return;
    action();
    update();
  };
  const buttons = { microphone: 'm', camera: 'c', screen: 's', info: 'i', 'hang-up': 'h' };
  Object.entries(buttons).forEach(([id, key]) => byId(id).addEventListener('click', () => act(key)));
  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    act(event.key.toLowerCase());
  });
  byId('join').addEventListener('click', () => void enter());
  byId('notice-action').addEventListener('click', () => {
    if (call.problem) call.retry();
    else void prepare();
  });
  onVerdict(() => call.problem, () => call.sendToOperator(), () => call.retry(true));
  byId('sound').addEventListener('click', () => player.unmute());
  window.addEventListener('pagehide', () => {
    call.abandon();
    devices.close();
  });
  window.addEventListener('pageshow', (event) => {
    if (event.persisted) location.reload();
  });

  setInterval(() => {
    if (!call.pc) return;
    void meter.read(call.pc).then((figures) => showFigures(byId('figures'), figures));
  }, 1000);

  const showLink = () => view.link(room, `${reachableOrigin(info)}/r/${room}`);
  showFigures(byId('figures'), NO_FIGURES);
  show(byId('call'), true);
  show(byId('relay-only'), relayOnly);
  showLink();
  void loadInfo().then((loaded) => {
    if (!loaded) return;
    info = loaded;
    moveOn(info, byId<HTMLAnchorElement>('notice-link'));
    showLink();
    update();
  });
  update();
  byId('join').focus({ preventScroll: true });
  // The room was opened on the start page, or the page was reloaded during the call.
  if (stored('sessionStorage', JOIN_ROOM_KEY) === room) void enter();
  else void prepare();

  (window as unknown as { castway: unknown }).castway = {
    state: () => call.state,
    pc: () => call.pc,
    stats: () => meter.peek(call.pc),
    online: () => call.online,
  };
}
