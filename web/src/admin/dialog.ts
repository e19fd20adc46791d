import { setText, show } from '../lib/dom';
import { Refusal } from './api';
import { announce } from './announce';
import { button, make } from './build';
import { focusHeading } from './list';
import { a } from './texts';

export interface Choice {
  value: string;
  label: string;
}

export type Field =
  | { kind: 'choice'; name: string; label: string; choices: Choice[] }
  | { kind: 'text'; name: string; label: string; value?: string; placeholder?: string };

export type Values = Record<string, string>;

export interface Question {
  title: string;
  hint: string;
  fields?: Field[];
  /** The label of the button that does it. */
  confirm: string;
  /** It takes something away from somebody. */
  ends?: boolean;
  /** A sentence about a value that can't be right. */
  check?: (values: Values) => string | null;
  /** Does it, and returns a sentence for whoever can't see that it was done. */
  act: (values: Values) => Promise<string>;
  /** What is shown next. */
  after?: () => void;
}

/** The sentence about something that was not done. */
export function sentenceOf(error: unknown): string {
  if (!(error instanceof Refusal)) return a.failedServer(String(error));
  const own: Record<string, string> = {
    offline: a.failedOffline,
    busy: a.failedBusy,
    too_many_attempts: a.failedTooMany,
    csrf: a.failedCsrf,
    not_found: a.failedGone,
    too_large: a.failedTooLarge,
    failed: a.failedInside(error.sentence),
  };
  return own[error.code] ?? a.failedServer(error.sentence);
}

let opened = 0;

/** A modal dialog: the browser keeps the focus in it, closes it on Escape, and gives the focus back. */
function open(title: string, hint: string, content: Node): HTMLDialogElement {
  const id = `dialog-${++opened}`;
  const dialog = make('dialog', { 'aria-labelledby': `${id}-title`, 'aria-describedby': hint ? `${id}-hint` : null });
  dialog.append(make('h2', { id: `${id}-title` }, title));
  if (hint) dialog.append(make('p', { id: `${id}-hint` }, hint));
  dialog.append(content);
  document.body.append(dialog);
  dialog.addEventListener('close', () => {
    dialog.remove();
    // The button that opened it may have gone with its row.
    if (document.activeElement === document.body) focusHeading();
  });
  dialog.addEventListener('click', (event) => event.target === dialog && dialog.close());
  dialog.showModal();
  return dialog;
}

export function closeDialogs(): void {
  document.querySelectorAll('dialog').forEach((dialog) => dialog.close());
}

function choiceField({ name, label, choices }: Field & { kind: 'choice' }): HTMLElement {
  const group = make('fieldset', {}, make('legend', {}, label));
  choices.forEach(({ value, label: text }, at) => {
    const input = make('input', { type: 'radio', name, value });
    input.checked = at === 0;
    group.append(make('label', { class: 'choice' }, input, make('bdi', {}, text)));
  });
  return group;
}

function textField({ name, label, value, placeholder }: Field & { kind: 'text' }): HTMLElement {
  const input = make('input', {
    type: 'text', name, value: value ?? '', placeholder: placeholder ?? null, autocomplete: 'off', autocapitalize: 'none', spellcheck: 'false',
  });
  return make('label', { class: 'field' }, make('span', { class: 'label' }, label), input);
}

function valuesOf(form: HTMLFormElement): Values {
  const values: Values = {};
  new FormData(form).forEach((value, name) => (values[name] = String(value).trim()));
  return values;
}

/** Asks before something is done, does it, and announces it. */
export function askTo(question: Question): void {
  const form = make('form', { novalidate: '' });
  (question.fields ?? []).forEach((field) => form.append(field.kind === 'choice' ? choiceField(field) : textField(field)));
  const alert = make('p', { role: 'alert', class: 'error' });
  alert.hidden = true;
  const confirm = make('button', { type: 'submit', class: question.ends ? 'danger' : 'primary' }, question.confirm);
  form.append(alert, make('div', { class: 'buttons' }, confirm, button(a.cancel, {}, () => dialog.close())));
  const complain = (sentence: string) => {
    setText(alert, sentence);
    show(alert, true);
  };
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    if (confirm.getAttribute('aria-disabled') === 'true') return;
    const values = valuesOf(form);
    const wrong = question.check && question.check(values);
    if (wrong) return complain(wrong);
    // A disabled button would lose the focus.
    confirm.setAttribute('aria-disabled', 'true');
    show(alert, false);
    try {
      const done = await question.act(values);
      dialog.close();
      announce(done);
      question.after?.();
    } catch (error) {
      complain(sentenceOf(error));
      confirm.removeAttribute('aria-disabled');
    }
  });
  const dialog = open(question.title, question.hint, form);
  if (!question.fields) confirm.focus();
}

/** Shows something that is there to be read. */
export function tell(title: string, hint: string, content: HTMLElement): void {
  content.append(make('div', { class: 'buttons' }, button(a.close, { class: 'primary' }, () => dialog.close())));
  const dialog = open(title, hint, content);
}
