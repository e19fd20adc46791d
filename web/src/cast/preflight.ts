import { t } from '../lib/i18n';
import type { Info } from '../lib/info';
import { insecure } from '../lib/insecure';
import type { Problem } from '../lib/problem';
import { canCaptureCamera, canCaptureScreen } from './capture';
import { problems } from './problems';

/** What stands in the way before anything has been tried, or null. */
export function preflight(info: Info): Problem | null {
  if (!window.isSecureContext) return { ...insecure(info, t.insecure), blocks: true };
  if (typeof RTCPeerConnection === 'undefined') return problems.noWebrtc();
  if (!canCaptureScreen()) return canCaptureCamera() ? problems.noCapture() : problems.noWebrtc();
  return null;
}
