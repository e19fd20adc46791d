import { t } from '../lib/i18n';
import type { Info } from '../lib/info';
import { insecure } from '../lib/insecure';
import { makeProblem, type Problem } from '../lib/problem';
import type { Verdict } from '../lib/verdict';
import type { DeviceKind, Lack } from './devices';
import type { Refusal } from './room';
import { openedQuery } from './token';

export const problems = {
  noWebsocket: () => makeProblem('no_websocket', t.callNoWebsocket, t.callNoWebsocketHint),
  loopback: () => makeProblem('loopback', t.callLoopback, t.callLoopbackHint, { tone: 'info' }),
  loopbackTaken: () => makeProblem('loopback_taken', t.callLoopbackTaken, t.callLoopbackTakenHint),
  closed: () => makeProblem('closed_by_operator', t.callClosed, t.callClosedHint, { tone: 'warn' }),
  /** `inside`: this page still has its place in the room, so that the server takes its report. */
  iceFailed: (verdict: Verdict, tls: boolean, inside: boolean) =>
    makeProblem('ice_failed', verdict.title, verdict.text, inside ? { verdict, tls, sends: true, offer: 'retry' } : { verdict, tls }),
};

/** `reason`: a sentence of the operator's. */
export function refusal(why: Exclude<Refusal, 'full'>, reason?: string): Problem {
  switch (why) {
    case 'server_full':
      return makeProblem(why, t.serverFull, t.callServerFullHint);
    case 'not_allowed':
      return makeProblem(why, t.callNotAllowed, reason || t.notAllowedHint);
    case 'not_decided':
      return makeProblem(why, t.callNotDecided, t.notDecidedHint);
    case 'server_error':
      return makeProblem(why, t.serverError, t.callServerErrorHint);
  }
}

/** A device ended during its use, or did not open; `instead` is used now. */
export function gone(kind: DeviceKind, label: string, instead: string | null): Problem {
  const none = { audioinput: t.callNoMicrophoneNow, videoinput: t.callNoCameraNow, audiooutput: '' }[kind];
  const title = label ? t.callDeviceGone(label) : kind === 'videoinput' ? t.callCameraFailed : t.callMicrophoneFailed;
  return makeProblem('device_gone', title, instead ? t.callDeviceInstead(instead) : none, { tone: 'warn' });
}

/** The problem that prevents a call, or keeps this side from being seen and heard. */
export function obstacle(info: Info, lack: Lack): Problem | null {
  if (typeof RTCPeerConnection === 'undefined' || !RTCPeerConnection.prototype.addTransceiver) {
    return makeProblem('no_webrtc', t.callNoWebrtc, t.noWebrtcHint, { blocks: true });
  }
  if (!window.isSecureContext) {
    const problem = insecure(info, t.callInsecure, openedQuery);
    return { ...problem, tone: problem.tone === 'bad' ? 'warn' : problem.tone };
  }
  switch (lack) {
    case 'refused':
      return makeProblem('refused', t.callRefused, t.callRefusedHint, { tone: 'warn', offer: 'retry' });
    case 'nothing':
      return makeProblem('nothing', t.callNothing, t.callNothingHint, { tone: 'warn', offer: 'retry' });
    case 'no_camera':
      return makeProblem('no_camera', t.callNoCamera, t.callNoCameraHint, { tone: 'warn', offer: 'retry' });
    case 'no_microphone':
      return makeProblem('no_microphone', t.callNoMicrophone, t.callNoMicrophoneHint, { tone: 'warn', offer: 'retry' });
    case null:
      return null;
  }
}
