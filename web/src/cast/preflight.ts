import { store, stored } from '../lib/dom';
import type { Info } from '../lib/info';
import { canCaptureCamera, canCaptureScreen } from './capture';
import { problems, type Problem } from './problems';

/** What stands in the way before anything has been tried, or null. */
export function preflight(info: Info): Problem | null {
  if (!window.isSecureContext) {
    const query = location.search;
    if (info.publicUrl && /^https:/.test(info.publicUrl)) return problems.insecurePublic(`${info.publicUrl}/cast${query}`);
    if (info.https) return problems.insecureOwn(`${secureOrigin(info.https.port)}/cast${query}`, info.https.fingerprint);
    const port = location.port ? `:${location.port}` : '';
    return problems.insecureLocal(`http://localhost${port}/cast${query}`);
  }
  if (typeof RTCPeerConnection === 'undefined') return problems.noWebrtc();
  if (!canCaptureScreen()) return canCaptureCamera() ? problems.noCapture() : problems.noWebrtc();
  return null;
}

const SEEN = 'castway.certificate';

/** Goes to the secure page by itself once its link was followed, and keeps that in mind. */
export function moveOn(info: Info, link: HTMLAnchorElement): void {
  const { https } = info;
  if (window.isSecureContext || info.publicUrl || !https) return;
  if (stored<string>('localStorage', SEEN) === https.fingerprint) location.replace(`${secureOrigin(https.port)}/cast${location.search}`);
  else link.addEventListener('click', () => store('localStorage', SEEN, https.fingerprint));
}

function secureOrigin(port: number): string {
  return `https://${location.hostname}${port === 443 ? '' : `:${port}`}`;
}
