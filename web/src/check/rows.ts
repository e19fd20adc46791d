import { setText } from '../lib/dom';
import { t } from '../lib/i18n';

export type State = 'waiting' | 'running' | 'ok' | 'failed' | 'untested';

const MARKS: Record<State, string> = { waiting: '·', running: '…', ok: '✔', failed: '✘', untested: '?' };

const words = (state: State) =>
  ({ waiting: t.checkStateWaiting, running: t.checkStateRunning, ok: t.checkStateOk, failed: t.checkStateFailed, untested: t.checkStateUntested })[state];

/** One result: a mark, a name, a value, and a sentence where something needs one. */
export class Row {
  private readonly element = document.createElement('li');
  private readonly mark = document.createElement('span');
  private readonly value = document.createElement('span');
  private readonly why = document.createElement('span');

  constructor(into: HTMLElement, attribute: string, kind: string, name: string) {
    const label = document.createElement('span');
    label.className = 'name';
    label.textContent = name;
    this.mark.className = 'sign';
    this.mark.setAttribute('role', 'img');
    this.value.className = 'value';
    this.why.className = 'why';
    [this.mark, label, this.value, this.why].forEach((part) => this.element.appendChild(part));
    this.element.setAttribute(attribute, kind);
    this.set('waiting');
    into.appendChild(this.element);
  }

  set(state: State, value = '', why = ''): void {
    this.element.setAttribute('data-state', state);
    this.mark.setAttribute('aria-label', words(state));
    setText(this.mark, MARKS[state]);
    setText(this.value, value || (state === 'ok' || state === 'waiting' ? '' : words(state)));
    setText(this.why, why);
  }
}
