import type { CastProblem } from '@castway/client';
import { t } from '../lib/i18n';
import { makeProblem, type Problem } from '../lib/problem';
import { quoted } from '../lib/quoted';
import { localized, ownVerdict } from '../lib/verdict';

export type SoundProblem = 'denied' | 'missing';

export const problems = {
  noWebrtc: () => makeProblem('no_webrtc', t.noWebrtc, t.noWebrtcHint, { blocks: true }),
  noCapture: () => makeProblem('no_capture', t.noCapture, t.noCaptureHint, { tone: 'info' }),
  captureFailed: (detail: string) =>
    makeProblem('capture_failed', t.captureFailed, `${t.captureFailedHint}${detail ? ` ${t.captureError(detail)}` : ''}`, { offer: 'camera' }),
  captureCancelled: () => makeProblem('capture_cancelled', t.captureCancelled, t.captureCancelledHint, { tone: 'info' }),
  captureDenied: () => makeProblem('capture_denied', t.captureDenied, t.captureDeniedHint),
  cameraDenied: () => makeProblem('camera_denied', t.cameraDenied, t.cameraDeniedHint),
  cameraMissing: () => makeProblem('camera_missing', t.cameraMissing, t.cameraMissingHint),
  noServer: () => makeProblem('no_server', t.noServer, t.noServerHint),
  codeIncomplete: (length: number) => makeProblem('code_incomplete', t.castNeedCode(length), '', { tone: 'warn' }),
  codeLetters: () => makeProblem('code_letters', t.castCodeLetters, t.castCodeLettersHint, { tone: 'warn' }),
  microphone: (why: SoundProblem) => makeProblem(`microphone_${why}`, why === 'denied' ? t.microphoneDenied : t.microphoneMissing, '', { tone: 'warn' }),
  /** `known`: the TV still has the code of the cast. */
  interrupted: (known: boolean) => makeProblem('interrupted', t.interrupted, known ? t.interruptedHint : t.interruptedNewCode, { tone: 'info' }),
  stopped: () => makeProblem('stopped', t.stopped, t.stoppedHint, { tone: 'info' }),
};

/** Why a cast was refused, has ended, or does not reach the TV. */
export function ofCast(problem: CastProblem): Problem {
  switch (problem.code) {
    case 'ice_failed': {
      const verdict = problem.verdict ? localized(problem.verdict) : ownVerdict(t.iceFailed, problem.evidence ?? null);
      const tls = problem.canUseTls === true;
      return makeProblem('ice_failed', verdict.title, verdict.text, { offer: 'retry', verdict, tls, sends: true });
    }
    case 'taken_over': {
      const by = quoted(problem.by);
      return makeProblem('taken_over', by ? t.takenOverBy(by) : t.takenOver, t.takenOverHint, { tone: 'warn' });
    }
    case 'replaced':
      return makeProblem('replaced', t.castReplaced, t.castReplacedHint, { tone: 'warn' });
    case 'ended_by_tv':
      return makeProblem('ended_by_tv', t.endedByTv, t.endedByTvHint, { tone: 'info' });
    case 'ended_by_operator':
      return makeProblem('ended_by_operator', t.endedByOperator, t.endedByOperatorHint, { tone: 'warn' });
    case 'tv_left':
      return makeProblem('tv_left', t.tvLeft, t.tvLeftHint, { tone: 'warn' });
    case 'tv_lost':
      return makeProblem('tv_lost', t.tvLost, t.tvLostHint);
    case 'unknown_code':
      return makeProblem(problem.code, t.unknownCode, t.unknownCodeHint);
    case 'room_full':
      return makeProblem(problem.code, t.roomFull, t.roomFullHint, { tone: 'warn' });
    case 'sign_in_required':
      return makeProblem(problem.code, t.signInTitle, t.signInAgain, { tone: 'warn' });
    case 'refused':
      return makeProblem(problem.code, t.notAllowed, problem.reason || t.notAllowedHint);
    case 'unavailable':
      return makeProblem(problem.code, t.notDecided, t.notDecidedHint);
    case 'server_full':
      return makeProblem(problem.code, t.serverFull, t.serverFullHint);
    case 'too_many_attempts':
    case 'rate_limited': {
      const seconds = Math.ceil(problem.retryAfter ?? 10);
      return makeProblem(problem.code, t.tooMany, t.tooManyHint(seconds), { until: Date.now() + seconds * 1000 });
    }
    default:
      return makeProblem('server_error', t.serverError, t.serverErrorHint(problem.code));
  }
}
