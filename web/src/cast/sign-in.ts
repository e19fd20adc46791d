import { signIn, type Auth, type SignedIn } from '@castway/client';
import { server } from '../lib/base';
import { byId, setText, show, store, stored, type StorageArea } from '../lib/dom';
import { t } from '../lib/i18n';

const KEY = 'castway.user';
const AREAS: StorageArea[] = ['localStorage', 'sessionStorage'];

type Saved = Pick<SignedIn, 'token' | 'name' | 'expires'>;

/** The caster's sign-in, on servers whose casters are users. The password is never kept. */
export class SignInForm {
  /** The server wants to know who casts. */
  private needed = false;
  private user: Saved | null = saved();
  private busy = false;
  private readonly form = byId<HTMLFormElement>('sign-in');
  private readonly nameInput = byId<HTMLInputElement>('user-name');
  private readonly password = byId<HTMLInputElement>('user-password');

  constructor(private readonly changed: () => void) {
    this.form.addEventListener('submit', (event) => {
      event.preventDefault();
      void this.send();
    });
    byId('sign-out').addEventListener('click', () => {
      this.forget();
      this.nameInput.focus();
    });
  }

  /** Nobody can cast before the sign-in. */
  get missing(): boolean {
    return this.needed && this.user === null;
  }

  get auth(): Auth | null {
    return this.needed && this.user ? { token: this.user.token } : null;
  }

  need(needed: boolean): void {
    this.needed = needed;
    if (this.user && this.user.expires * 1000 <= Date.now()) this.user = null;
    this.changed();
  }

  /** Signs out. `refused`: the server knows the user no longer. */
  forget(refused = false): void {
    this.user = null;
    AREAS.forEach((area) => store(area, KEY, null));
    this.say(refused ? t.signInAgain : '');
    this.changed();
  }

  /** `active`: a cast runs. */
  show(active: boolean): void {
    show(this.form, this.missing && !active);
    show(byId('signed-in'), this.needed && this.user !== null && !active);
    if (this.user) setText(byId('signed-in-name'), t.signedInAs(this.user.name));
    byId<HTMLButtonElement>('sign-in-button').disabled = this.busy;
  }

  focus(): void {
    (this.nameInput.value ? this.password : this.nameInput).focus({ preventScroll: true });
  }

  private say(text: string): void {
    setText(byId('sign-in-status'), text);
    const invalid = String(text !== '');
    this.nameInput.setAttribute('aria-invalid', invalid);
    this.password.setAttribute('aria-invalid', invalid);
  }

  private async send(): Promise<void> {
    const name = this.nameInput.value.trim();
    const password = this.password.value;
    if (this.busy) return;
    if (!name || !password) {
      this.say(t.signInEmpty);
      return this.focus();
    }
    this.busy = true;
    this.say('');
    this.changed();
    const reply = await signIn(server, name, password);
    this.busy = false;
    if (reply.ok) {
      this.user = { token: reply.token, name: reply.name, expires: reply.expires };
      this.password.value = '';
      store(byId<HTMLInputElement>('stay-signed-in').checked ? 'localStorage' : 'sessionStorage', KEY, this.user);
      this.changed();
      byId('code-input').focus({ preventScroll: true });
      return;
    }
    this.say(sentence(reply.error.code, reply.error.retryAfter));
    this.changed();
    this.password.focus();
    this.password.select();
  }
}

function saved(): Saved | null {
  const found = AREAS.map((area) => stored<Partial<Saved>>(area, KEY)).filter((one) => one !== null)[0];
  const whole = found && typeof found.token === 'string' && typeof found.name === 'string' && typeof found.expires === 'number';
  return whole ? (found as Saved) : null;
}

function sentence(code: string, retryAfter: number | undefined): string {
  if (code === 'wrong_password') return t.signInWrong;
  if (code === 'refused') return t.signInBlocked;
  if (code === 'too_many_attempts') return t.signInTooMany(Math.ceil(retryAfter ?? 10));
  return code === 'offline' ? t.signInOffline : t.serverErrorHint(code);
}
