import type { Caster } from '@castway/client';
import { spaced } from '../lib/code';
import { t } from '../lib/i18n';
import { quoted } from '../lib/quoted';
import type { Status } from '../lib/status';
import { progress } from '../lib/verdict';

/** The status of a cast. If several sentences are true, the worst one is shown. */
export function describe(caster: Caster): Status {
  const { state } = caster;
  if (caster.keepsTrying) return { text: t.castKeepsTrying, tone: 'busy' };
  if (state === 'failed') return { text: t.iceFailed, tone: 'bad' };
  if (state === 'joining') return { text: caster.online ? t.castJoining : t.castSignalWait, tone: 'busy' };
  if (caster.restarting && !caster.online && caster.flowing) return { text: t.castServerDown, tone: 'busy' };
  if (!caster.online) return { text: caster.flowing ? t.castSignalLost : t.castSignalWait, tone: 'busy' };
  if (caster.waiting) return { text: t.castRejoining, tone: 'busy' };
  if (caster.tvAway) return { text: t.castTvAway, tone: 'busy' };
  if (state === 'connecting') {
    const { slow } = caster;
    return { text: slow ? progress(slow.evidence, t.castUnanswered) : t.castConnecting, tone: 'busy' };
  }
  if (state === 'recovering') return { text: t.castRecovering, tone: 'busy' };
  if (caster.paused) return { text: t.castPaused, tone: 'busy' };
  const name = quoted(caster.tv && caster.tv.name);
  return { text: name ? t.castSharingTo(name) : t.castSharing(spaced(caster.code)), tone: 'good' };
}
