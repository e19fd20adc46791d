import { setText, show } from '../lib/dom';
import { button, inPlace, make, setAttribute } from './build';
import { a } from './texts';

export interface Column<R> {
  name: string;
  label: string;
  show: (cell: HTMLElement, row: R) => void;
  /** Figures, which stand below each other. */
  figures?: boolean;
  /** What names the row. */
  heads?: boolean;
}

export interface Action<R> {
  name: string;
  label: string;
  /** What the button acts on, in the middle of a sentence. */
  of: (row: R) => string;
  offered?: (row: R) => boolean;
  /** It takes something away from somebody. */
  ends?: boolean;
  act: (row: R) => void;
}

export interface ListOptions<R> {
  name: string;
  caption: string;
  idOf: (row: R) => string;
  columns: Column<R>[];
  actions?: Action<R>[];
  /** What stands here when there are no rows. */
  none: Node;
  /** The server's order is kept, as in a list that does not change by itself. */
  ordered?: boolean;
}

interface Shown<R> {
  element: HTMLElement;
  cells: HTMLElement[];
  buttons: HTMLButtonElement[];
  row: R;
}

/** A sentence for an empty list, with what to do. `link`: the part of the hint that leads somewhere. */
export function nothing(title: string, hint: string, link?: [string, string]): HTMLElement {
  const [before, after] = link ? hint.split(link[0]) : [hint];
  const text = make('p', { class: 'hint' }, before);
  if (link && after !== undefined) text.append(make('a', { href: link[1] }, link[0]), after);
  return make('div', { class: 'nothing' }, make('p', {}, title), text);
}

/**
 * A table whose rows keep their place, their elements and the focus while their content changes. The roles are explicit, because on phones
 * the style makes cards of rows, which would no longer be a table.
 */
export class List<R> {
  readonly element: HTMLElement;
  private readonly table: HTMLElement;
  private readonly body = make('tbody', { role: 'rowgroup' });
  private shown: Record<string, Shown<R>> = Object.create(null);
  private ids: string[] = [];

  constructor(private readonly options: ListOptions<R>) {
    const { name, caption, none } = options;
    this.table = make('table', { role: 'table', 'data-list': name }, make('caption', { class: 'unseen' }, caption), this.head(), this.body);
    this.element = make('div', { class: 'list' }, this.table, none);
    this.table.hidden = true;
  }

  get count(): number {
    return this.ids.length;
  }

  update(rows: R[]): void {
    const { idOf, none, ordered } = this.options;
    const inOrder = ordered ? rows : inPlace(this.ids, rows, idOf);
    const focus = this.focus();
    const next: Record<string, Shown<R>> = Object.create(null);
    const ids = inOrder.map(idOf);
    // First of all: the other rows would have to move, and whatever moves loses the focus for a moment.
    this.ids.forEach((id) => ids.indexOf(id) < 0 && this.shown[id]!.element.remove());
    inOrder.forEach((row, at) => (next[ids[at]!] = this.place(row, ids[at]!, at)));
    this.shown = next;
    this.ids = ids;
    show(this.table, ids.length > 0);
    show(none as HTMLElement, ids.length === 0);
    if (focus) this.refocus(focus);
  }

  /** Shows the rows again: times have passed. */
  tick(): void {
    this.ids.forEach((id) => this.fill(this.shown[id]!));
  }

  private head(): HTMLElement {
    const row = make('tr', { role: 'row' });
    this.options.columns.forEach(({ label, figures }) => {
      row.append(make('th', { role: 'columnheader', scope: 'col', class: figures ? 'figures' : null }, label));
    });
    if (this.options.actions) row.append(make('th', { role: 'columnheader', scope: 'col' }, make('span', { class: 'unseen' }, a.actions)));
    return make('thead', { role: 'rowgroup' }, row);
  }

  private place(row: R, id: string, at: number): Shown<R> {
    const shown = this.shown[id] ?? this.create(row, id);
    shown.row = row;
    this.fill(shown);
    if (this.body.children[at] !== shown.element) this.body.insertBefore(shown.element, this.body.children[at] ?? null);
    return shown;
  }

  private create(row: R, id: string): Shown<R> {
    const { columns, actions } = this.options;
    const element = make('tr', { role: 'row', 'data-id': id });
    const cells = columns.map(({ name, label, figures, heads }) => {
      const given = { role: heads ? 'rowheader' : 'cell', 'data-cell': name, 'data-label': label, class: figures ? 'figures' : null };
      // The lines have an element of their own, beside the label that cards have.
      const lines = make('div', { class: 'lines' });
      element.append(heads ? make('th', { scope: 'row', ...given }, lines) : make('td', given, lines));
      return lines;
    });
    const shown: Shown<R> = { element, cells, buttons: [], row };
    if (actions) {
      shown.buttons = actions.map((action) =>
        button(action.label, { 'data-act': action.name, class: action.ends ? 'quiet small ends' : 'quiet small' }, () => action.act(shown.row)),
      );
      element.append(make('td', { role: 'cell', class: 'acts' }, make('div', { class: 'buttons' }, ...shown.buttons)));
    }
    return shown;
  }

  private fill({ cells, buttons, row }: Shown<R>): void {
    const { columns, actions } = this.options;
    columns.forEach((column, at) => column.show(cells[at]!, row));
    (actions ?? []).forEach((action, at) => {
      show(buttons[at]!, !action.offered || action.offered(row));
      setAttribute(buttons[at]!, 'aria-label', `${action.label}: ${action.of(row)}`);
    });
  }

  private focus(): { at: number; element: HTMLElement; act: string | null } | null {
    const element = document.activeElement as HTMLElement | null;
    if (!element || !this.body.contains(element)) return null;
    const row = element.closest('tr')!;
    return { at: Array.prototype.indexOf.call(this.body.children, row), element, act: element.getAttribute('data-act') };
  }

  /** A row that has gone gives the focus to the one in its place. */
  private refocus({ at, element, act }: { at: number; element: HTMLElement; act: string | null }): void {
    if (document.activeElement === element) return;
    if (element.isConnected && !element.hidden) return element.focus();
    const row = this.body.children[Math.min(at, this.body.children.length - 1)];
    const buttons = row ? (Array.from(row.querySelectorAll('button:not([hidden])')) as HTMLElement[]) : [];
    const next = buttons.filter((other) => other.getAttribute('data-act') === act)[0] ?? buttons[0];
    if (next) next.focus();
    else focusHeading();
  }
}

/** The heading of the view takes the focus where what had it has gone. */
export function focusHeading(): void {
  document.getElementById('view-title')?.focus();
}

/** The foot of a list that comes in parts. */
export class Pager {
  readonly element: HTMLElement;
  offset = 0;
  private count = 0;
  private readonly text = make('span', { class: 'hint', role: 'status' });
  private readonly back: HTMLButtonElement;
  private readonly on: HTMLButtonElement;

  constructor(private readonly size: number, moved: () => void) {
    const turn = (by: () => number) => () => {
      this.offset = Math.max(0, this.offset + by());
      moved();
    };
    this.back = button(a.previous, { class: 'quiet small' }, turn(() => -size));
    // A part of long rows may have fewer of them.
    this.on = button(a.next, { class: 'quiet small' }, turn(() => this.count));
    this.element = make('div', { class: 'pager' }, this.text, this.back, this.on);
  }

  get query(): string {
    return `offset=${this.offset}&limit=${this.size}`;
  }

  /** False: this part of the list has gone, and the one before it has to be asked for. */
  update(count: number, total: number): boolean {
    if (count === 0 && this.offset > 0) {
      this.offset = Math.max(0, Math.floor((total - 1) / this.size) * this.size);
      return false;
    }
    this.count = count;
    const isPart = count < total;
    setText(this.text, isPart ? a.pageOf(this.offset + 1, this.offset + count, total) : total ? a.total(total) : '');
    show(this.back, isPart);
    show(this.on, isPart);
    this.back.disabled = this.offset === 0;
    this.on.disabled = this.offset + count >= total;
    return true;
  }
}

/** A field that narrows a list down. */
export function searchField(label: string, changed: (text: string) => void): HTMLElement {
  const input = make('input', { type: 'search', autocomplete: 'off', spellcheck: 'false', autocapitalize: 'none' });
  let timer = 0;
  input.addEventListener('input', () => {
    clearTimeout(timer);
    timer = window.setTimeout(() => changed(input.value.trim()), 200);
  });
  return make('label', { class: 'field search' }, make('span', { class: 'label' }, label), input);
}

export function checkbox(label: string, changed: (checked: boolean) => void): HTMLElement {
  const input = make('input', { type: 'checkbox' });
  input.addEventListener('change', () => changed(input.checked));
  return make('label', { class: 'tick' }, input, make('span', {}, label));
}
