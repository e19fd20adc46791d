import { copyText, setText, show } from '../lib/dom';
import { drawQr } from '../lib/qr';
import { asVerdict } from '../lib/verdict';
import { announce } from './announce';
import { change, look, Newest } from './api';
import { button, make } from './build';
import { showLines, type Line } from './cells';
import { sentenceOf } from './dialog';
import { absolute, ago, clock, duration, shown } from './format';
import { List, nothing, type Column } from './list';
import type { Rows } from './rows';
import { a } from './texts';
import type { View } from './view';

interface CheckRow {
  at: number;
  kind: string;
  address: string;
  result: unknown;
}

interface Key {
  key: string;
  url: string;
  expires: number;
}

const KINDS: Record<string, string> = { check: a.checkKindCheck, cast: a.checkKindCast, call: a.checkKindCall };

/** The verdict in a result, in the language of the page. */
function verdictLines(result: unknown): (Line | null)[] {
  const verdict = asVerdict((result as { verdict?: unknown } | null)?.verdict);
  if (!verdict) return [{ text: a.none }];
  const { title, text, fix, command } = verdict;
  return [{ text: shown(title) }, ...[text, fix, command].map((more) => (more ? { text: shown(more), hint: true } : null))];
}

const COLUMNS: Column<CheckRow>[] = [
  { name: 'at', label: a.checkWhen, show: (cell, { at }) => showLines(cell, [{ text: ago(at), title: absolute(at) }]) },
  {
    name: 'kind', label: a.checkKind, heads: true,
    show: (cell, { kind, address }) => showLines(cell, [{ text: KINDS[kind] ?? shown(kind) }, { text: address, hint: true }]),
  },
  { name: 'result', label: a.checkResult, show: (cell, { result }) => showLines(cell, verdictLines(result)) },
];

class KeyCard {
  readonly element: HTMLElement;
  private readonly link = make('a', { target: '_blank', rel: 'noopener' });
  private readonly qr = make('div', { class: 'qr' });
  private readonly expires = make('p', { class: 'hint' });
  private key: Key | null = null;

  constructor() {
    const copy = button(a.checkCopyLink, {}, async () => {
      setText(copy, (await copyText(this.link)) ? a.copied : a.checkCopyLink);
      window.setTimeout(() => setText(copy, a.checkCopyLink), 3000);
    });
    const text = make('div', {}, make('p', {}, a.checkKeyHint), make('p', { class: 'address' }, this.link), this.expires, copy);
    this.element = make('section', { class: 'card', id: 'check-key' }, make('h2', { tabindex: '-1' }, a.checkKeyTitle), make('div', { class: 'key' }, text, this.qr));
    this.element.hidden = true;
  }

  show(key: Key): void {
    this.key = key;
    setText(this.link, key.url);
    this.link.href = key.url;
    drawQr(this.qr, key.url, a.checkKeyQr);
    this.tick();
    show(this.element, true);
    this.element.querySelector('h2')!.focus();
  }

  tick(): void {
    if (!this.key) return;
    const left = this.key.expires - clock();
    setText(this.expires, left > 0 ? a.checkKeyExpires(duration(left)) : a.checkKeyExpired);
    show(this.qr, left > 0);
  }
}

export function checkView(): View {
  const card = new KeyCard();
  const list = new List<CheckRow>({
    name: 'checks', caption: a.checksCaption, idOf: ({ at, kind, address }) => `${at} ${kind} ${address}`, columns: COLUMNS,
    none: nothing(a.checksNone, a.checksNoneHint), ordered: true,
  });
  const newest = new Newest<Rows<CheckRow>>(({ rows }) => list.update(rows));
  const newKey = button(a.checkNewKey, { id: 'new-key', class: 'primary' }, async () => {
    try {
      card.show(await change<Key>('checks/key', {}));
    } catch (error) {
      announce(sentenceOf(error));
    }
  });
  return {
    name: 'check', title: a.viewCheck, stream: 'now', everySeconds: 4,
    element: make('div', {}, make('div', { class: 'tools' }, newKey), card.element, list.element),
    load: () => newest.ask(() => look('checks')),
    tick: () => {
      card.tick();
      list.tick();
    },
  };
}
