import { store, stored } from './dom';
import { t } from './i18n';
import type { Info } from './info';
import { makeProblem, type Problem } from './problem';

const SEEN = 'castway.certificate';

/** The problem of an insecure page: `title` says what needs HTTPS, and the link opens the same page at a secure address. */
export function insecure(info: Info, title: string): Problem {
  if (info.publicUrl && /^https:/.test(info.publicUrl)) return makeProblem('insecure', title, t.insecurePublic, { link: info.publicUrl + path() });
  if (info.https) {
    const hint = t.insecureOwnHint(info.https.fingerprint);
    return makeProblem('insecure', t.insecureOwn, hint, { tone: 'info', link: secureOrigin(info.https.port) + path() });
  }
  const port = location.port ? `:${location.port}` : '';
  return makeProblem('insecure', title, t.insecureLocal, { link: `http://localhost${port}${path()}` });
}

/** Opens the secure page without a click once the user has followed the link before. */
export function moveOn(info: Info, link: HTMLAnchorElement): void {
  const { https } = info;
  if (window.isSecureContext || info.publicUrl || !https) return;
  if (stored<string>('localStorage', SEEN) === https.fingerprint) location.replace(secureOrigin(https.port) + path());
  else link.addEventListener('click', () => store('localStorage', SEEN, https.fingerprint));
}

const path = () => location.pathname + location.search;

function secureOrigin(port: number): string {
  return `https://${location.hostname}${port === 443 ? '' : `:${port}`}`;
}
