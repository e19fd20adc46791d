import { t } from '../lib/i18n';
import { bad, type Problem } from '../lib/problem';
import type { WireError } from '../lib/wire';

export const problems = {
  noWebrtc: () => bad('no_webrtc', t.noWebrtc, t.noWebrtcHint, { blocks: true }),
  noCapture: () => bad('no_capture', t.noCapture, t.noCaptureHint, { tone: 'warn' }),
  captureFailed: (detail: string) =>
    bad('capture_failed', t.captureFailed, `${t.captureFailedHint}${detail ? ` ${t.captureError(detail)}` : ''}`, { offer: 'camera' }),
  captureCancelled: () => bad('capture_cancelled', t.captureCancelled, t.captureCancelledHint, { tone: 'info' }),
  captureDenied: () => bad('capture_denied', t.captureDenied, t.captureDeniedHint),
  cameraDenied: () => bad('camera_denied', t.cameraDenied, t.cameraDeniedHint),
  cameraMissing: () => bad('camera_missing', t.cameraMissing, t.cameraMissingHint),
  noServer: () => bad('no_server', t.noServer, t.noServerHint),
  codeIncomplete: (length: number) => bad('code_incomplete', t.castNeedCode(length), '', { tone: 'warn' }),
  codeLetters: () => bad('code_letters', t.castCodeLetters, t.castCodeLettersHint, { tone: 'warn' }),
  iceFailed: (addresses: string[]) =>
    bad('ice_failed', t.iceFailed, addresses.length ? t.iceFailedHint(addresses.join(', ')) : t.iceFailedNoRelay, { offer: 'retry' }),
  takenOver: () => bad('taken_over', t.takenOver, t.takenOverHint, { tone: 'warn' }),
  tvLeft: () => bad('tv_left', t.tvLeft, t.tvLeftHint, { tone: 'warn' }),
  tvLost: () => bad('tv_lost', t.tvLost, t.tvLostHint),
  stopped: () => bad('stopped', t.stopped, t.stoppedHint, { tone: 'info' }),
};

export function refusal(error: WireError): Problem {
  switch (error.code) {
    case 'unknown_code':
      return bad(error.code, t.unknownCode, t.unknownCodeHint);
    case 'room_full':
      return bad(error.code, t.roomFull, t.roomFullHint, { tone: 'warn' });
    case 'server_full':
      return bad(error.code, t.serverFull, t.serverFullHint);
    case 'too_many_attempts':
    case 'rate_limited': {
      const seconds = Math.ceil(error.retryAfter ?? 10);
      return bad(error.code, t.tooMany, t.tooManyHint(seconds), { until: Date.now() + seconds * 1000 });
    }
    default:
      return bad('server_error', t.serverError, t.serverErrorHint(error.code));
  }
}
