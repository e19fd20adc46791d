import { byId, show, store, stored } from './dom';
import { t } from './i18n';
import type { Info } from './info';
import { makeProblem, type Problem } from './problem';
import { samePath, securePage, showSecurePage } from './secure';

const SEEN = 'castway.certificate';

/**
 * The problem of an insecure page: `title` says what needs HTTPS, and the notice leads to the same page at a secure address. `query`: the
 * query of this page, if the page has removed it from its URL.
 */
export function insecure(info: Info, title: string, query?: string): Problem {
  const secure = securePage(info, query);
  if (secure) return makeProblem('insecure', title, secure.fingerprint ? '' : t.insecurePublic, { tone: 'info', link: secure.url, secure });
  const port = location.port ? `:${location.port}` : '';
  return makeProblem('insecure', title, t.insecureLocal, { link: `http://localhost${port}${samePath(query)}` });
}

/** Opens the secure page without a click once the user has followed the link before. */
export function moveOn(info: Info, link: HTMLAnchorElement, query?: string): void {
  const secure = window.isSecureContext || info.publicUrl ? null : securePage(info, query);
  if (!secure) return;
  const { fingerprint } = info.https!;
  if (stored<string>('localStorage', SEEN) === fingerprint) location.replace(secure.url);
  else link.addEventListener('click', () => store('localStorage', SEEN, fingerprint));
}

/** Leads to the secure page from a page that works without HTTPS, too. */
export function offerSecurePage(info: Info, query?: string): void {
  const secure = window.isSecureContext ? null : securePage(info, query);
  if (!secure) return;
  showSecurePage(secure);
  show(byId('offer'), true);
}
