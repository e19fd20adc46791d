import { byId, setText, show } from '../lib/dom';
import { askSignIn, Refusal } from './api';
import { sentenceOf } from './dialog';
import { a } from './texts';

const field = (id: string) => byId<HTMLInputElement>(id);

let until = 0;
let timer = 0;

function complain(sentence: string, wrong: boolean): void {
  setText(byId('sign-in-error'), sentence);
  show(byId('sign-in-error'), sentence !== '');
  ['name', 'password'].forEach((id) => {
    if (wrong) field(id).setAttribute('aria-invalid', 'true');
    else field(id).removeAttribute('aria-invalid');
  });
}

/** Counts down in the button, which a screen reader reads when it is reached, and not each second. */
function count(): void {
  const seconds = Math.ceil((until - Date.now()) / 1000);
  const submit = byId('sign-in-submit');
  setText(submit, seconds > 0 ? a.signInIn(seconds) : a.signIn);
  submit.setAttribute('aria-disabled', String(seconds > 0));
  clearTimeout(timer);
  if (seconds > 0) timer = window.setTimeout(count, 500);
}

function refuse(error: unknown): void {
  const code = error instanceof Refusal ? error.code : '';
  if (error instanceof Refusal && code === 'too_many_attempts') {
    until = Date.now() + 1000 * (error.retryAfter || 30);
    complain(a.signInTooMany, false);
    return count();
  }
  if (code === 'wrong_password') {
    complain(a.signInWrong, true);
    field('password').select();
  } else complain(code === 'busy' ? a.signInBusy : sentenceOf(error), false);
}

/** `entered` is called with every session that begins. */
export function enableSignIn(entered: (session: { operator: string; csrf: string }) => void): void {
  let asking = false;
  byId('sign-in').addEventListener('submit', async (event) => {
    event.preventDefault();
    const [name, password] = [field('name').value.trim(), field('password').value];
    if (asking || until > Date.now()) return;
    if (!name || !password) {
      complain(a.signInMissing, false);
      return field(name ? 'password' : 'name').focus();
    }
    asking = true;
    try {
      const session = await askSignIn<{ operator: string; csrf: string }>(name, password);
      clear();
      entered(session);
    } catch (error) {
      refuse(error);
    } finally {
      asking = false;
    }
  });
  field('password-shown').addEventListener('change', () => {
    field('password').type = field('password-shown').checked ? 'text' : 'password';
  });
}

/** The password does not stay in the page. */
export function clear(): void {
  field('password').value = '';
  field('password').type = 'password';
  field('password-shown').checked = false;
  complain('', false);
}
