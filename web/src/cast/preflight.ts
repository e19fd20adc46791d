import { t } from '../lib/i18n';
import type { Info } from '../lib/info';
import { insecure } from '../lib/insecure';
import type { Problem } from '../lib/problem';
import { canCaptureCamera, canCaptureScreen } from './capture';
import { problems } from './problems';

/** The problem that prevents a cast before the user starts one, or null. */
export function preflight(info: Info): Problem | null {
  if (!window.isSecureContext) return { ...insecure(info, t.insecure), blocks: true };
  if (typeof RTCPeerConnection === 'undefined') return problems.noWebrtc();
  if (!canCaptureScreen()) return canCaptureCamera() ? problems.noCapture() : problems.noWebrtc();
  return null;
}
