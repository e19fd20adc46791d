import { en, type Text } from './text-en';
import { zh } from './text-zh';

export type { Text };

const chinese = /^zh\b/i.test((navigator.languages && navigator.languages[0]) || navigator.language || '');

/** The language of the page, as verdicts name it. */
export const language: 'en' | 'zh' = chinese ? 'zh' : 'en';

export const t: Text = chinese ? zh : en;

/** The keys of texts without arguments, which the markup may use. */
type Plain = { [K in keyof Text]: Text[K] extends string ? K : never }[keyof Text];

/** Sets the text of every element with `data-t`, and the label of every element with `data-t-label`. */
export function translate(title: Plain): void {
  document.documentElement.lang = chinese ? 'zh-CN' : 'en';
  document.title = t[title];
  const texts = document.querySelectorAll('[data-t]');
  for (let i = 0; i < texts.length; i++) texts[i]!.textContent = t[texts[i]!.getAttribute('data-t') as Plain];
  const labels = document.querySelectorAll('[data-t-label]');
  for (let i = 0; i < labels.length; i++) {
    labels[i]!.setAttribute('aria-label', t[labels[i]!.getAttribute('data-t-label') as Plain]);
  }
}
