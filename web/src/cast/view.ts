import type { Figures, Preset } from '@castway/client';
import { hasForeignLetters, readCode, spaced } from '../lib/code';
import { byId, setText, show } from '../lib/dom';
import { showFigures } from '../lib/figures';
import { t } from '../lib/i18n';
import { DEFAULT_INFO, type Info } from '../lib/info';
import { showProblem, type Problem } from '../lib/problem';
import { showStatus, type Status } from '../lib/status';
import { TextField } from '../lib/text-field';
import type { Source } from './capture';

export interface Shown {
  live: boolean;
  status: Status;
  busy: boolean;
  /** The user has chosen a stream, which waits for a correct code. */
  kept: boolean;
  /** This browser can't start a cast. */
  blocked: boolean;
  /** The server has set a waiting time. */
  paused: boolean;
  screen: boolean;
  camera: boolean;
  missingSound: boolean;
}

const form = byId<HTMLFormElement>('setup');
const codeInput = byId<HTMLInputElement>('code-input');
let rule = DEFAULT_INFO.code;
let typed: () => void = () => undefined;
const codeField = new TextField(codeInput, () => {
  tidy();
  typed();
});
/** Ids of the problems with the code. */
const CODE_PROBLEMS = ['unknown_code', 'code_incomplete', 'code_letters'];

const isComplete = () => view.code.length === rule.length;

/** Groups the letters during typing, and keeps the caret between the same letters. */
function tidy(): void {
  // Writing into a field ends a composition, and the composed text is lost.
  if (codeField.composing || view.foreign) return;
  const caret = codeInput.selectionStart ?? codeInput.value.length;
  const before = readCode(codeInput.value.slice(0, caret), rule.alphabet).length;
  const text = spaced(view.code);
  if (text === codeInput.value) return;
  codeInput.value = text;
  let position = 0;
  for (let count = 0; count < before && position < text.length; position++) {
    if (text.charAt(position) !== ' ') count++;
  }
  // In Safari, setting the selection would focus the field.
  if (document.activeElement === codeInput) codeInput.setSelectionRange(position, position);
}
codeInput.addEventListener('change', tidy);

export const isAboutTheCode = (problem: Problem | null) => problem !== null && CODE_PROBLEMS.indexOf(problem.id) >= 0;

export const view = {
  form,
  codeInput,
  codeField,
  preview: byId<HTMLVideoElement>('preview'),

  codeRule(next: Info['code']): void {
    rule = next;
    codeInput.inputMode = /^\d+$/.test(rule.alphabet) ? 'numeric' : 'text';
    codeInput.placeholder = spaced('••••••••••••'.slice(0, rule.length));
    tidy();
  },

  /** Calls `handle` when the user types or pastes into the code's field. */
  onCode(handle: () => void): void {
    typed = handle;
  },

  get code(): string {
    return readCode(codeInput.value, rule.alphabet);
  },

  /** Accepts a code, or a link that contains one. */
  set code(value: string) {
    codeInput.value = value;
    tidy();
  },

  /** The field has letters that no code has, and no complete code. They stay visible, so that the user can correct them. */
  get foreign(): boolean {
    return !isComplete() && hasForeignLetters(codeInput.value);
  },

  get source(): Source {
    return byId<HTMLInputElement>('source-camera').checked ? 'camera' : 'screen';
  },

  set source(value: Source) {
    byId<HTMLInputElement>(`source-${value}`).checked = true;
  },

  get preset(): Preset {
    const live = !byId('live').hidden;
    return byId<HTMLInputElement>(live ? 'live-smooth' : 'preset-smooth').checked ? 'smooth' : 'sharp';
  },

  set preset(value: Preset) {
    byId<HTMLInputElement>(`preset-${value}`).checked = true;
    byId<HTMLInputElement>(`live-${value}`).checked = true;
  },

  get sound(): boolean {
    return byId<HTMLInputElement>('sound').checked;
  },

  problem(problem: Problem | null): void {
    codeInput.setAttribute('aria-invalid', String(isAboutTheCode(problem)));
    showProblem(problem);
  },

  show(shown: Shown): void {
    show(form, !shown.live && !shown.blocked);
    show(byId('live'), shown.live);
    showStatus(shown.status);
    const camera = view.source === 'camera';
    const start = byId<HTMLButtonElement>('start');
    start.disabled = shown.busy || shown.paused;
    const label = shown.kept ? (camera ? t.castStartKeptCamera : t.castStartKept) : camera ? t.castStartCamera : t.castStart;
    setText(start, shown.busy ? t.castChoosing : label);
    show(byId('other-screen'), shown.kept && !camera && !shown.busy);
    byId<HTMLInputElement>('source-screen').disabled = !shown.screen;
    byId<HTMLInputElement>('source-camera').disabled = !shown.camera;
    show(byId('scan'), shown.camera);
    show(byId('sound-hint'), !camera);
    show(byId('sound-missing'), shown.missingSound);
  },

  figures(figures: Figures): void {
    showFigures(byId('figures'), figures);
  },
};
