import { byId, copyText, later, setText, show } from '../lib/dom';
import { t } from '../lib/i18n';
import { drawQr } from '../lib/qr';
import { roomName } from '../lib/room-name';
import { showStatus, type Status } from '../lib/status';
import { progress } from '../lib/verdict';
import type { Call, State } from './call';
import type { Devices } from './devices';
import { loopback } from './loopback';

const COPIED_LABEL_MS = 2500;

/** The status of a call. If several sentences are true, the worst one is shown. */
function status(call: Call): Status {
  const { state, online } = call;
  if (state === 'joining') return { text: call.unreached ? t.castSignalWait : t.callJoining, tone: 'busy' };
  if (state === 'recovering') return { text: online ? t.callRecovering : t.castSignalWait, tone: 'busy' };
  if (!online && state === 'talking') return { text: t.callSignalLost, tone: 'busy' };
  if (!online) return { text: call.blocked ? t.callNoWebsocketStatus : t.castSignalWait, tone: 'busy' };
  if (state === 'connecting' && call.problem) {
    return call.keepsTrying ? { text: t.callKeepsTrying, tone: 'busy' } : { text: t.callIceFailed, tone: 'bad' };
  }
  if (state === 'connecting' && call.unanswered) return { text: t.callUnanswered, tone: 'busy' };
  if (state === 'connecting' && call.slow) return { text: progress(call.slow.evidence, t.callUnanswered), tone: 'busy' };
  if (state === 'connecting' || (loopback && state === 'waiting')) return { text: t.callConnecting, tone: 'busy' };
  if (call.note) return { text: call.note === 'peer_left' ? t.callPeerLeft : t.callPeerLost, tone: 'bad' };
  if (state === 'waiting') return { text: t.callWaiting, tone: 'busy' };
  return { text: t.callTalking, tone: 'good' };
}

function readable(url: string): string {
  const plain = url.replace(/^https?:\/\//, '');
  try {
    return decodeURI(plain);
  } catch {
    return plain;
  }
}

function panel(call: Call, devices: Devices, asked: boolean): { title: string; hint: string; button: string | null } {
  switch (call.state) {
    case 'lobby':
      if (!asked) return { title: t.callReady, hint: t.callAsking, button: t.callJoinWithout };
      return { title: t.callReady, hint: devices.hasCamera || devices.hasMicrophone ? t.callReadyHint : '', button: t.callJoin };
    case 'full':
      return { title: t.callFull, hint: call.retrying ? t.callFullTrying : t.callFullHint, button: t.castRetry };
    case 'ended':
      return { title: t.callEnded, hint: t.callEndedHint, button: t.callAgain };
    case 'failed':
      return { title: t.callFailed, hint: '', button: t.castRetry };
    case 'connecting':
      return { title: t.callHeading, hint: '', button: null };
    default:
      return { title: t.callHeading, hint: t.callWaitingHint, button: null };
  }
}

/** The buttons that keys press. */
export const KEYS: Record<string, string> = { microphone: 'm', camera: 'c', screen: 's', info: 'i', 'hang-up': 'h' };

/** States in which this page is in the room. */
const INSIDE: State[] = ['joining', 'waiting', 'connecting', 'talking', 'recovering'];

export const view = {
  self: byId<HTMLVideoElement>('self'),

  /** `asked`: the browser has said which devices the page may use. `ready`: the user has seen the preview, or has none. */
  show(call: Call, devices: Devices, { picture, blocked, asked, ready }: Record<'picture' | 'blocked' | 'asked' | 'ready', boolean>): void {
    const { state } = call;
    const inside = INSIDE.indexOf(state) >= 0;
    const meeting = state === 'talking' || state === 'recovering';
    document.body.setAttribute('data-state', state);
    document.body.setAttribute('data-online', String(call.online));
    byId('stage').setAttribute('aria-hidden', String(!meeting));
    view.theirs(call, meeting, picture);

    show(byId('status'), inside);
    showStatus(status(call));

    show(byId('panel'), !meeting && !blocked);
    const { title, hint, button } = panel(call, devices, asked);
    setText(byId('panel-title'), title);
    // In a loopback call nobody else joins.
    const told = loopback && state !== 'full' ? '' : hint;
    setText(byId('panel-hint'), told);
    show(byId('panel-hint'), told !== '');
    show(byId('invite'), state === 'waiting' && !loopback);
    show(byId('join'), button !== null);
    setText(byId('join'), button ?? '');
    byId<HTMLButtonElement>('join').disabled = state === 'lobby' && !ready;
    show(byId('other-room'), !inside);

    const quiet = state === 'ended' || state === 'failed' || blocked;
    show(byId('preview'), !quiet);
    show(byId('controls'), !quiet && state !== 'full');
    view.devices(devices, inside);
    show(byId('info'), meeting);
    if (!meeting) view.overlay(false);
  },

  /** What the other side says that it sends. */
  theirs({ theirs, state }: Call, meeting: boolean, picture: boolean): void {
    const off = theirs !== null && theirs.video === 'off';
    show(byId('no-picture'), (meeting && off) || (state === 'talking' && !picture));
    setText(byId('no-picture-text'), off ? t.callTheirCameraOff : t.callNoPicture);
    const muted = meeting && theirs !== null && !theirs.audio;
    const screen = meeting && theirs !== null && theirs.video === 'screen';
    show(byId('theirs-muted'), muted);
    setText(byId('theirs-muted-text'), muted ? t.callTheyAreMuted : '');
    show(byId('theirs-screen'), screen);
    setText(byId('theirs-screen-text'), screen ? t.callTheyShare : '');
  },

  /** Screen readers tell the keys only while they work. */
  keys(on: boolean): void {
    Object.entries(KEYS).forEach(([id, key]) => {
      if (on) byId(id).setAttribute('aria-keyshortcuts', key);
      else byId(id).removeAttribute('aria-keyshortcuts');
    });
  },

  level(level: number): void {
    const bars = document.querySelectorAll<HTMLElement>('.level > span');
    for (let i = 0; i < bars.length; i++) bars[i]!.style.transform = `scaleX(${level.toFixed(2)})`;
  },

  devices(devices: Devices, inside: boolean): void {
    const set = (id: string, off: boolean, there: boolean, text: string) => {
      const button = byId<HTMLButtonElement>(id);
      button.disabled = !there;
      button.setAttribute('data-off', String(off));
      setText(byId(`${id}-text`), text);
    };
    set('microphone', devices.muted, devices.hasMicrophone, devices.muted ? t.callUnmute : t.callMute);
    set('camera', devices.cameraOff, devices.hasCamera, devices.cameraOff ? t.callCameraOn : t.callCameraOff);
    set('screen', false, true, devices.sharing ? t.callScreenStop : t.callScreen);
    byId('screen').setAttribute('aria-pressed', String(devices.sharing));
    show(byId('screen'), inside && Boolean(navigator.mediaDevices && navigator.mediaDevices.getDisplayMedia));
    show(byId('hang-up'), inside);
    const hidden = devices.cameraOff && !devices.sharing;
    show(byId('self-off'), hidden);
    setText(byId('self-off'), devices.hasCamera ? t.callSelfOff : t.callSelfNone);
    byId('self-box').setAttribute('data-mirrored', String(!devices.sharing));
  },

  link(room: string, url: string): void {
    setText(byId('room-name'), t.callRoomName(roomName(room)));
    // People read the name; the link that is copied has it encoded.
    setText(byId('link'), readable(url));
    drawQr(byId('qr'), url, t.callQrLabel);
    const share = (navigator as { share?: (data: { title: string; url: string }) => Promise<void> }).share;
    show(byId('share'), Boolean(share));
    byId('share').onclick = () => share && void share.call(navigator, { title: t.callHeading, url }).catch(() => undefined);
    byId('copy').onclick = async () => {
      if (!(await copyText(byId('link'), url))) return;
      setText(byId('copy'), t.callCopied);
      await later(COPIED_LABEL_MS);
      setText(byId('copy'), t.callCopy);
    };
  },

  overlay(visible?: boolean): boolean {
    const now = visible ?? Boolean(byId('overlay').hidden);
    show(byId('overlay'), now);
    byId('info').setAttribute('aria-expanded', String(now));
    return now;
  },
};
