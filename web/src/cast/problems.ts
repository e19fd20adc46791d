import { t } from '../lib/i18n';
import { makeProblem, type Problem } from '../lib/problem';
import type { Verdict } from '../lib/verdict';
import type { WireError } from '../lib/wire';

export const problems = {
  noWebrtc: () => makeProblem('no_webrtc', t.noWebrtc, t.noWebrtcHint, { blocks: true }),
  noCapture: () => makeProblem('no_capture', t.noCapture, t.noCaptureHint, { tone: 'warn' }),
  captureFailed: (detail: string) =>
    makeProblem('capture_failed', t.captureFailed, `${t.captureFailedHint}${detail ? ` ${t.captureError(detail)}` : ''}`, { offer: 'camera' }),
  captureCancelled: () => makeProblem('capture_cancelled', t.captureCancelled, t.captureCancelledHint, { tone: 'info' }),
  captureDenied: () => makeProblem('capture_denied', t.captureDenied, t.captureDeniedHint),
  cameraDenied: () => makeProblem('camera_denied', t.cameraDenied, t.cameraDeniedHint),
  cameraMissing: () => makeProblem('camera_missing', t.cameraMissing, t.cameraMissingHint),
  noServer: () => makeProblem('no_server', t.noServer, t.noServerHint),
  codeIncomplete: (length: number) => makeProblem('code_incomplete', t.castNeedCode(length), '', { tone: 'warn' }),
  codeLetters: () => makeProblem('code_letters', t.castCodeLetters, t.castCodeLettersHint, { tone: 'warn' }),
  iceFailed: (verdict: Verdict, tls: boolean) => makeProblem('ice_failed', verdict.title, verdict.text, { offer: 'retry', verdict, tls, sends: true }),
  takenOver: () => makeProblem('taken_over', t.takenOver, t.takenOverHint, { tone: 'warn' }),
  tvLeft: () => makeProblem('tv_left', t.tvLeft, t.tvLeftHint, { tone: 'warn' }),
  tvLost: () => makeProblem('tv_lost', t.tvLost, t.tvLostHint),
  stopped: () => makeProblem('stopped', t.stopped, t.stoppedHint, { tone: 'info' }),
};

export function refusal(error: WireError): Problem {
  switch (error.code) {
    case 'unknown_code':
      return makeProblem(error.code, t.unknownCode, t.unknownCodeHint);
    case 'room_full':
      return makeProblem(error.code, t.roomFull, t.roomFullHint, { tone: 'warn' });
    case 'server_full':
      return makeProblem(error.code, t.serverFull, t.serverFullHint);
    case 'too_many_attempts':
    case 'rate_limited': {
      const seconds = Math.ceil(error.retryAfter ?? 10);
      return makeProblem(error.code, t.tooMany, t.tooManyHint(seconds), { until: Date.now() + seconds * 1000 });
    }
    default:
      return makeProblem('server_error', t.serverError, t.serverErrorHint(error.code));
  }
}
