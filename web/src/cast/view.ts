import { PRESETS, type Figures, type Preset } from '@castway/client';
import { hasForeignLetters, readCode, spaced } from '../lib/code';
import { byId, setText, show } from '../lib/dom';
import { showFigures } from '../lib/figures';
import { t } from '../lib/i18n';
import { DEFAULT_INFO, type Info } from '../lib/info';
import { showProblem, type Problem } from '../lib/problem';
import { showStatus, type Status } from '../lib/status';
import { TextField } from '../lib/text-field';
import type { Facing, Source } from './capture';
import type { CodeStatus } from './code-text';

export interface Shown {
  live: boolean;
  status: Status;
  /** What the server says of the code. */
  code: CodeStatus;
  busy: boolean;
  /** The user has chosen a stream, which waits for a correct code. */
  kept: boolean;
  /** This browser can't start a cast. */
  blocked: boolean;
  /** The server has set a waiting time. */
  waiting: boolean;
  /** The cast that ran before the page was loaded again can go on. */
  again: boolean;
  screen: boolean;
  camera: boolean;
  paused: boolean;
  muted: boolean;
  hasSound: boolean;
  microphone: boolean;
  canAddMicrophone: boolean;
  /** What is shared at the moment. */
  shared: Source;
}

const ALL = Object.keys(PRESETS) as Preset[];
const checked = (prefix: string) => ALL.filter((name) => byId<HTMLInputElement>(`${prefix}-${name}`).checked)[0] ?? 'sharp';
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
const nameInput = byId<HTMLInputElement>('name-input');
new TextField(nameInput, () => undefined);

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
    return checked(byId('live').hidden ? 'preset' : 'live');
  },

  set preset(value: Preset) {
    byId<HTMLInputElement>(`preset-${value}`).checked = true;
    byId<HTMLInputElement>(`live-${value}`).checked = true;
  },

  get sound(): boolean {
    return byId<HTMLInputElement>('sound').checked;
  },

  set sound(wanted: boolean) {
    byId<HTMLInputElement>('sound').checked = wanted;
  },

  get facing(): Facing {
    return byId<HTMLInputElement>('facing-user').checked ? 'user' : 'environment';
  },

  set facing(value: Facing) {
    byId<HTMLInputElement>(`facing-${value}`).checked = true;
  },

  get name(): string {
    return nameInput.value;
  },

  names(own: string, device: string): void {
    nameInput.value = own;
    nameInput.placeholder = device;
  },

  onName(handle: () => void): void {
    nameInput.addEventListener('change', handle);
  },

  problem(problem: Problem | null, unknown: boolean): void {
    codeInput.setAttribute('aria-invalid', String(unknown || isAboutTheCode(problem)));
    showProblem(problem);
  },

  show(shown: Shown): void {
    show(form, !shown.live && !shown.blocked);
    show(byId('live'), shown.live);
    showStatus(shown.status);
    const camera = view.source === 'camera';
    const start = byId<HTMLButtonElement>('start');
    start.disabled = shown.busy || shown.waiting || shown.code.id === 'taken';
    setText(start, startLabel(shown, camera));
    show(byId('other-screen'), shown.kept && !camera && !shown.busy);
    byId<HTMLInputElement>('source-screen').disabled = !shown.screen;
    byId<HTMLInputElement>('source-camera').disabled = !shown.camera;
    // The scanner is a dialog, which some engines lack.
    show(byId('scan'), shown.camera && 'showModal' in byId('scanner'));
    // Computers have one camera, which faces the user.
    show(byId('facing'), camera && !shown.screen);
    show(byId('sound-hint'), !camera);
    const code = byId('code-status');
    code.setAttribute('data-code-state', shown.code.id);
    code.setAttribute('data-tone', shown.code.tone);
    setText(code, shown.code.text);
    if (shown.live) controls(shown);
  },

  note(text: string): void {
    setText(byId('live-note'), text);
  },

  figures(figures: Figures): void {
    showFigures(byId('figures'), figures);
  },
};

function startLabel(shown: Shown, camera: boolean): string {
  if (shown.busy) return t.castChoosing;
  if (shown.code.id === 'busy') return t.castTakeOver;
  if (shown.kept) return camera ? t.castStartKeptCamera : t.castStartKept;
  if (shown.again) return camera ? t.castAgainCamera : t.castAgain;
  return camera ? t.castStartCamera : t.castStart;
}

function controls(shown: Shown): void {
  document.body.setAttribute('data-paused', String(shown.paused));
  show(byId('paused-mark'), shown.paused);
  setText(byId('pause'), shown.paused ? t.castResume : t.castPause);
  const camera = shown.shared === 'camera';
  const other = byId<HTMLButtonElement>('share-else');
  setText(other, camera ? t.castSwitchCamera : t.castShareElse);
  // A computer's second camera is chosen in the browser's settings.
  show(other, !camera || !shown.screen);
  other.disabled = shown.busy;
  const mute = byId('mute');
  // A camera's sound is the microphone's, which has a button of its own.
  show(mute, shown.hasSound || !camera);
  setText(mute, !shown.hasSound ? t.castAddSound : shown.muted ? t.castUnmute : t.castMute);
  const microphone = byId('microphone');
  show(microphone, shown.microphone || (shown.canAddMicrophone && !(camera && shown.hasSound)));
  setText(microphone, shown.microphone ? t.castMicOff : t.castMicOn);
}
