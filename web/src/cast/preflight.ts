import type { Info } from '../lib/info';
import { canCaptureCamera, canCaptureScreen } from './capture';
import { problems, type Problem } from './problems';

/** What stands in the way before anything has been tried, or null. */
export function preflight(info: Info): Problem | null {
  if (!window.isSecureContext) {
    const query = location.search;
    if (info.publicUrl && /^https:/.test(info.publicUrl)) return problems.insecurePublic(`${info.publicUrl}/cast${query}`);
    const port = location.port ? `:${location.port}` : '';
    return problems.insecureLocal(`http://localhost${port}/cast${query}`);
  }
  if (typeof RTCPeerConnection === 'undefined') return problems.noWebrtc();
  if (!canCaptureScreen()) return canCaptureCamera() ? problems.noCapture() : problems.noWebrtc();
  return null;
}
