import { normalize, spaced } from '../lib/code';
import { byId, setText, show } from '../lib/dom';
import { showFigures } from '../lib/figures';
import { t } from '../lib/i18n';
import type { Info } from '../lib/info';
import { showProblem, type Problem } from '../lib/problem';
import type { Figures } from '../lib/stats';
import type { Preset, Source } from './capture';

export type Tone = 'good' | 'busy' | 'bad';

export interface Shown {
  live: boolean;
  status: string;
  tone: Tone;
  busy: boolean;
  /** A stream that was chosen already and waits for the right code. */
  kept: boolean;
  /** Nothing can be started here at all. */
  blocked: boolean;
  /** The server wants a pause first. */
  paused: boolean;
  screen: boolean;
  camera: boolean;
  missingSound: boolean;
}

const form = byId<HTMLFormElement>('setup');
const codeInput = byId<HTMLInputElement>('code-input');
let alphabet = '';

/** Groups the letters while they are typed, and leaves the caret where it was among them. */
function format(): void {
  const caret = codeInput.selectionStart ?? codeInput.value.length;
  const before = normalize(codeInput.value.slice(0, caret), alphabet).length;
  const text = spaced(normalize(codeInput.value, alphabet));
  if (text === codeInput.value) return;
  codeInput.value = text;
  let position = 0;
  for (let count = 0; count < before && position < text.length; position++) {
    if (text.charAt(position) !== ' ') count++;
  }
  codeInput.setSelectionRange(position, position);
}

export const view = {
  form,
  codeInput,
  preview: byId<HTMLVideoElement>('preview'),

  codeRule(rule: Info['code']): void {
    alphabet = rule.alphabet;
    codeInput.inputMode = /^\d+$/.test(alphabet) ? 'numeric' : 'text';
    codeInput.placeholder = spaced('••••••••••••'.slice(0, rule.length));
    format();
  },

  get code(): string {
    return normalize(codeInput.value, alphabet);
  },

  set code(value: string) {
    codeInput.value = value;
    format();
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
    codeInput.setAttribute('aria-invalid', String(problem?.id === 'unknown_code' || problem?.id === 'code_incomplete'));
    showProblem(problem);
  },

  show(shown: Shown): void {
    show(form, !shown.live && !shown.blocked);
    show(byId('live'), shown.live);
    setText(byId('status-text'), shown.status);
    byId('status').setAttribute('data-tone', shown.tone);
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
