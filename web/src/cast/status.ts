import { spaced } from '../lib/code';
import { t } from '../lib/i18n';
import type { Status } from '../lib/status';
import { progress } from '../lib/verdict';
import type { Session } from './session';

/** The status of a session. If several sentences are true, the worst one is shown. */
export function describe(session: Session): Status {
  const { state } = session;
  if (session.keepsTrying) return { text: t.castKeepsTrying, tone: 'busy' };
  if (state === 'failed') return { text: t.iceFailed, tone: 'bad' };
  if (state === 'joining') return { text: session.online ? t.castJoining : t.castSignalWait, tone: 'busy' };
  if (session.restarting && !session.online && session.flowing) return { text: t.castServerDown, tone: 'busy' };
  if (!session.online) return { text: session.flowing ? t.castSignalLost : t.castSignalWait, tone: 'busy' };
  if (session.waiting) return { text: t.castRejoining, tone: 'busy' };
  if (session.tvAway) return { text: t.castTvAway, tone: 'busy' };
  if (state === 'connecting') {
    const { slow } = session;
    return { text: slow ? progress(slow.evidence, t.castUnanswered) : t.castConnecting, tone: 'busy' };
  }
  if (state === 'recovering') return { text: t.castRecovering, tone: 'busy' };
  return { text: t.castSharing(spaced(session.code)), tone: 'good' };
}
