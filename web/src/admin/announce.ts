import { byId, setText, show } from '../lib/dom';

const SHOWN_MS = 12_000;

let timer = 0;

/** Says what was done, for eyes and for screen readers. It stays for a while, and longer under a pointer or with the focus. */
export function announce(sentence: string): void {
  const place = byId('done');
  // The same sentence twice is two events.
  setText(byId('done-text'), '');
  setText(byId('done-text'), sentence);
  place.className = '';
  show(byId('done-close'), true);
  clearTimeout(timer);
  timer = window.setTimeout(function hide() {
    if (place.matches(':hover, :focus-within')) timer = window.setTimeout(hide, SHOWN_MS);
    else dismiss();
  }, SHOWN_MS);
}

export function dismiss(): void {
  clearTimeout(timer);
  // Screen readers only hear of changes in what is not hidden from them.
  byId('done').className = 'unseen';
  show(byId('done-close'), false);
  setText(byId('done-text'), '');
}
