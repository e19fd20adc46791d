import { ownPath } from './base';
import { byId, setText, show } from './dom';
import { chosenLanguage, inLanguage, t } from './i18n';
import type { Info } from './info';

/** This page at a secure address. */
export interface SecurePage {
  url: string;
  /** Of the certificate, if browsers warn of it. */
  fingerprint: string | null;
}

/** `query`: the query of this page, if the page has removed it from its URL. */
export function securePage({ publicUrl, https }: Info, query = location.search): SecurePage | null {
  if (publicUrl && /^https:/.test(publicUrl)) return { url: publicUrl + samePath(query, ownPath()), fingerprint: null };
  if (!https) return null;
  const origin = `https://${location.hostname}${https.port === 443 ? '' : `:${https.port}`}`;
  return { url: origin + samePath(query), fingerprint: https.selfSigned ? https.fingerprint : null };
}

/** The path of this page with its query. Another origin does not remember the language. */
export function samePath(query = location.search, path = location.pathname): string {
  return path + (chosenLanguage ? inLanguage(query, chosenLanguage) : query);
}

/** What this browser says of a certificate whose issuer it does not know. */
function warning(host: string): string {
  const agent = navigator.userAgent;
  if (/Edg(A|iOS)?\//.test(agent)) return t.secureSaysEdge(host);
  if (/Firefox\/|FxiOS\//.test(agent)) return t.secureSaysFirefox;
  if (/Safari\//.test(agent) && !/Chrom(e|ium)\/|CriOS\/|Android/.test(agent)) return t.secureSaysSafari;
  return t.secureSaysChromium(host);
}

/** Makes the notice's link a button to the secure page, and says what the browser will say there. */
export function showSecurePage(page: SecurePage | null): void {
  const link = byId<HTMLAnchorElement>('notice-link');
  link.className = page ? 'button primary' : '';
  if (page) {
    link.href = page.url;
    setText(link, t.secureContinue);
    show(link, true);
  }
  const fingerprint = page ? page.fingerprint : null;
  setText(byId('notice-says'), fingerprint ? warning(location.hostname) : '');
  show(byId('notice-says'), Boolean(fingerprint));
  setText(byId('notice-fingerprint'), fingerprint || '');
  show(byId('notice-certificate'), Boolean(fingerprint));
}
