import 'webrtc-adapter';
import { Meter, NO_FIGURES, Player } from '@castway/client/parts';
import { moveByArrows } from '../lib/arrows';
import { at, ownPath } from '../lib/base';
import { byId, show } from '../lib/dom';
import { showFigures } from '../lib/figures';
import '../lib/focus';
import { t, translate } from '../lib/i18n';
import { DEFAULT_INFO, loadInfo, reachableOrigin, type Info } from '../lib/info';
import { moveOn } from '../lib/insecure';
import { makeProblem, onVerdict, showProblem, type Problem } from '../lib/problem';
import { relayOnly } from '../lib/relay-only';
import { roomOfPath, roomPath } from '../lib/room-name';
import { keepAwake } from '../lib/wake';
import { Call, type State } from './call';
import { Devices, type DeviceKind } from './devices';
import { HangUp } from './hang-up';
import { Level } from './level';
import { loopback } from './loopback';
import { gone, obstacle, problems } from './problems';
import { remember } from './recent';
import { rejoining, saveCall } from './rejoin';
import { Settings } from './settings';
import { start } from './start';
import { openedQuery } from './token';
import { KEYS, view } from './view';

/** Some browsers leave the question about devices open until the user looks for it. */
const ASKING_TIMEOUT_MS = 8000;
const PASSING_SHOWN_MS = 15_000;

translate('callTitle');
moveByArrows('a, button:not([disabled]), input, select');

const room = roomOfPath(ownPath());
if (room) enterRoom(room);
else start();

/** Runs the page at `/r/ROOM`. */
function enterRoom(room: string): void {
  let info: Info = DEFAULT_INFO;
  let asked = false;
  let waited = false;
  let preparing: Promise<void> | null = null;
  let passing: Problem | null = null;
  let passingTimer = 0;
  let lastState: State = 'lobby';

  const player = new Player(byId<HTMLVideoElement>('video'), byId<HTMLCanvasElement>('still'), update, update);
  const meter = new Meter('in', player.video);
  const level = new Level((value) => view.level(value));
  const devices = new Devices({
    changed: (kind) => {
      showSelf();
      call.replace(kind);
      if (call.active) saveCall(room, devices);
      update();
    },
    gone: deviceGone,
  });
  const call: Call = new Call(room, devices.tracks, () => devices.sending, update, (stream) => (stream ? player.present(stream) : player.stop()));
  const settings: Settings = new Settings(devices, player.video, update, deviceGone);
  const hangUp = new HangUp(() => void leave());
  const awake = keepAwake(() => call.active);

  function update(): void {
    if (call.state !== lastState) {
      lastState = call.state;
      if (lastState === 'failed') closeDevices();
    }
    const problem = obstacle(info, asked ? devices.lack : null);
    const blocked = Boolean(problem && problem.blocks);
    const seen = devices.tracks.video === null || view.self.videoWidth > 0;
    view.show(call, devices, { picture: player.video.videoWidth > 0, blocked, asked, ready: asked ? seen : waited });
    view.keys(settings.keys);
    if (!call.active) hangUp.close();
    // During a call the missing devices are known already.
    const quiet = call.active && call.state !== 'joining';
    // A connected call needs no signaling.
    const unheard = call.blocked && call.state !== 'talking' ? problems.noWebsocket() : null;
    const lacking = quiet || call.state === 'ended' ? null : problem;
    showProblem(blocked ? problem : (call.problem ?? unheard ?? passing ?? lacking ?? (loopback ? problems.loopback() : null)));
    show(byId('sound'), player.silenced);
    level.watch((call.state === 'lobby' || settings.open) && !devices.muted ? devices.tracks.audio : null);
    awake();
  }

  /** Nobody is filmed outside a call, where the page shows no preview. */
  function closeDevices(): void {
    asked = false;
    devices.close();
    showSelf();
  }

  function showSelf(): void {
    const { video } = devices.tracks;
    const shown = view.self.srcObject as MediaStream | null;
    if (shown ? shown.getVideoTracks()[0] !== video : video) view.self.srcObject = video ? new MediaStream([video]) : null;
  }

  function pass(problem: Problem | null): void {
    clearTimeout(passingTimer);
    passing = problem;
    if (problem) passingTimer = window.setTimeout(() => pass(null), PASSING_SHOWN_MS);
    update();
  }

  function deviceGone(kind: DeviceKind, label: string, instead: string | null): void {
    pass(gone(kind, label, instead));
    void settings.list();
  }

  /** Asks for the devices, once at a time: a second request would leave the first one's camera on. */
  function prepare(): Promise<void> {
    preparing ??= devices.open().then(() => {
      asked = true;
      update();
      void settings.list();
    }).finally(() => (preparing = null));
    return preparing;
  }

  function enter(tls = false): void {
    // The page has nothing to show before the browser has answered, and turns nothing on unseen afterwards.
    if (preparing) devices.turnOff(true, true);
    passing = null;
    remember(room);
    call.enter(tls);
    saveCall(room, devices);
    byId('microphone').focus({ preventScroll: true });
  }

  /** Joins from the lobby, or again after the call. */
  async function join(tls = false): Promise<void> {
    if (call.active) return;
    if (!asked && call.state !== 'lobby') await prepare();
    if (!call.active) enter(tls);
  }

  function retry(tls = false): void {
    if (call.active) call.retry(tls);
    else void join(tls);
  }

  async function leave(): Promise<void> {
    saveCall(room, null);
    const left = call.leave();
    closeDevices();
    settings.toggle(false);
    update();
    byId('panel-title').focus({ preventScroll: true });
    await left;
  }

  async function toggleScreen(): Promise<void> {
    pass(null);
    if (devices.sharing) return devices.stopScreen();
    await devices.shareScreen().catch((error: DOMException) => {
      if (error.name !== 'NotAllowedError') pass(makeProblem('screen', t.callScreenFailed, error.message, { tone: 'warn' }));
    });
  }

  function toggleFigures(): void {
    settings.toggle(false);
    if (view.overlay()) void meter.peek(call.pc).then((figures) => showFigures(byId('figures'), figures));
  }

  const inside = () => call.active;
  const actions: Record<string, () => unknown> = {
    microphone: () => devices.toggleMicrophone(),
    camera: () => devices.toggleCamera(),
    screen: () => inside() && !byId('screen').hidden && toggleScreen(),
    info: () => inside() && toggleFigures(),
    'hang-up': () => inside() && leave(),
    preferences: () => {
      view.overlay(false);
      settings.toggle();
    },
  };
  Object.entries(actions).forEach(([id, action]) =>
    byId(id).addEventListener('click', () => {
      action();
      update();
    }),
  );
  document.addEventListener('keydown', (event) => {
    const { tagName } = event.target as Element;
    // A key that is held presses a button once: the next page or state has its buttons in other places.
    if (event.repeat && event.key === 'Enter' && tagName === 'BUTTON') event.preventDefault();
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || event.isComposing) return;
    if (!settings.keys || hangUp.open || /^(INPUT|SELECT|TEXTAREA)$/.test(tagName)) return;
    const id = Object.keys(KEYS).filter((button) => KEYS[button] === event.key.toLowerCase())[0];
    if (!id || byId(id).hidden || byId<HTMLButtonElement>(id).disabled) return;
    if (id === 'hang-up') inside() && hangUp.ask();
    else actions[id]!();
    update();
  });
  byId('join').addEventListener('click', () => void join());
  byId('notice-action').addEventListener('click', () => {
    if (call.problem) retry();
    else void prepare();
  });
  onVerdict(() => call.problem, () => call.sendToOperator(), () => retry(true));
  byId('sound').addEventListener('click', () => player.unmute());
  ['loadeddata', 'resize'].forEach((event) => view.self.addEventListener(event, update));
  window.addEventListener('pagehide', () => {
    call.abandon();
    devices.close();
  });
  window.addEventListener('pageshow', (event) => {
    if (!event.persisted) return;
    // A page that the user comes back to was not reloaded during a call.
    saveCall(room, null);
    location.reload();
  });

  setInterval(() => {
    if (!call.pc) return;
    void meter.read(call.pc).then((figures) => showFigures(byId('figures'), figures));
  }, 1000);

  const showLink = () => view.link(room, `${reachableOrigin(info)}${roomPath(room)}`);
  history.replaceState(history.state, '', `${at(roomPath(room))}${location.search}${location.hash}`);
  showFigures(byId('figures'), NO_FIGURES);
  show(byId('call'), true);
  show(byId('relay-only'), relayOnly);
  showLink();
  void loadInfo().then((loaded) => {
    if (!loaded) return;
    info = loaded;
    moveOn(info, byId<HTMLAnchorElement>('notice-link'), openedQuery);
    showLink();
    update();
  });
  const rejoin = rejoining(room);
  if (rejoin) devices.turnOff(rejoin.muted, rejoin.cameraOff);
  update();
  void prepare().then(() => rejoin && !call.active && enter());
  window.setTimeout(() => {
    waited = true;
    update();
  }, ASKING_TIMEOUT_MS);

  (window as unknown as { castway: unknown }).castway = {
    state: () => call.state,
    pc: () => call.pc,
    stats: () => meter.peek(call.pc),
    online: () => call.online,
  };
}
