import { pagePath } from './base';
import { store, stored } from './dom';
import type { Text } from './text-en';

export type { Text };

type Language = 'en' | 'zh';

const REMEMBERED = 'castway.language';
const PARAMETER = /([?&])lang=([^&]*)/;
const TAGS: Record<Language, string> = { en: 'en', zh: 'zh-CN' };

function isLanguage(name: unknown): name is Language {
  return name === 'en' || name === 'zh';
}

/** The language that the URL asks for, which is remembered, or the one that it asked for before. */
export const chosenLanguage: Language | null = (() => {
  const asked = PARAMETER.exec(location.search);
  if (asked && isLanguage(asked[2])) {
    store('localStorage', REMEMBERED, asked[2]);
    return asked[2];
  }
  const remembered = stored<unknown>('localStorage', REMEMBERED);
  return isLanguage(remembered) ? remembered : null;
})();

function browserLanguage(): Language {
  return /^zh\b/i.test((navigator.languages && navigator.languages[0]) || navigator.language || '') ? 'zh' : 'en';
}

/** The language of the page, as verdicts name it. */
export const language: Language = chosenLanguage || browserLanguage();

/** A page loads the texts of its language alone. */
export const t: Text = language === 'zh' ? (await import('./text-zh')).zh : (await import('./text-en')).en;

/** The query with another language. */
export function inLanguage(query: string, wanted: Language): string {
  if (PARAMETER.test(query)) return query.replace(PARAMETER, `$1lang=${wanted}`);
  return `${query}${query ? '&' : '?'}lang=${wanted}`;
}

/** The keys of texts without arguments, which the markup may use. */
type Plain = { [K in keyof Text]: Text[K] extends string ? K : never }[keyof Text];

/** Sets the text of every element with `data-t`, the label of every element with `data-t-label`, and the link to the other language. */
export function translate(title: Plain): void {
  translateWith(t as { [K in Plain]: string }, t[title]);
}

/** The same with the texts of one page. */
export function translateWith(all: Record<string, unknown>, title: string): void {
  document.documentElement.lang = TAGS[language];
  document.title = title;
  const texts = document.querySelectorAll('[data-t]');
  for (let i = 0; i < texts.length; i++) texts[i]!.textContent = all[texts[i]!.getAttribute('data-t')!] as string;
  const labels = document.querySelectorAll('[data-t-label]');
  for (let i = 0; i < labels.length; i++) {
    labels[i]!.setAttribute('aria-label', all[labels[i]!.getAttribute('data-t-label')!] as string);
  }
  const link = document.getElementById('language') as HTMLAnchorElement | null;
  if (!link) return;
  offerOther(link);
  addEventListener('hashchange', () => offerOther(link));
}

function offerOther(link: HTMLAnchorElement): void {
  const other: Language = language === 'zh' ? 'en' : 'zh';
  link.lang = link.hreflang = TAGS[other];
  link.textContent = other === 'zh' ? '中文' : 'English';
  link.href = pagePath() + inLanguage(location.search, other) + location.hash;
}
