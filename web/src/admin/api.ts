import { at } from '../lib/base';
import { language } from '../lib/i18n';

const ANSWER_TIMEOUT_MS = 20_000;

/** An answer that is no success, or none. */
export class Refusal extends Error {
  /** `sentence`: the server's own, in the page's language if it has it. */
  constructor(readonly code: string, readonly sentence: string, readonly retryAfter: number) {
    super(sentence);
    // Transpiled classes lose their prototype where they extend Error.
    Object.setPrototypeOf(this, Refusal.prototype);
  }
}

/** The URL of a path of this page's API. */
export const apiUrl = (path: string) => at(`/admin/api/${path}`);

let token: string | null = null;
let outdated: (refusal: Refusal) => void = () => {};

/** Takes the token that each change of a session needs; `ended` is called when the server no longer knows the session, or the token. */
export function useSession(csrf: string | null, ended: (refusal: Refusal) => void): void {
  token = csrf;
  outdated = ended;
}

async function ask<T>(path: string, init: RequestInit): Promise<T> {
  const aborter = new AbortController();
  const timer = setTimeout(() => aborter.abort(), ANSWER_TIMEOUT_MS);
  try {
    const response = await fetch(apiUrl(path), { cache: 'no-store', credentials: 'same-origin', signal: aborter.signal, ...init });
    const body = await response.json().catch(() => null);
    if (response.ok) return body as T;
    throw refusal(response, body);
  } catch (error) {
    if (error instanceof Refusal) throw error;
    throw new Refusal('offline', String(error), 0);
  } finally {
    clearTimeout(timer);
  }
}

function refusal(response: Response, body: { error?: { code?: string; message?: string; zh?: string; retryAfter?: number }; retryAfter?: number } | null): Refusal {
  const { code, message, zh, retryAfter } = (body && body.error) || {};
  const sentence = (language === 'zh' && zh) || message || `${response.status}`;
  const seconds = Number((body && body.retryAfter) ?? retryAfter ?? response.headers.get('retry-after'));
  return new Refusal(code || `status_${response.status}`, sentence, seconds > 0 ? seconds : 0);
}

/** A request within the session. */
async function within<T>(asked: Promise<T>): Promise<T> {
  try {
    return await asked;
  } catch (error) {
    if (error instanceof Refusal && /^(signed_out|csrf|off)$/.test(error.code)) outdated(error);
    throw error;
  }
}

const posted = (body: object): RequestInit => ({
  method: 'POST',
  headers: { 'Content-Type': 'application/json', ...(token && { 'X-Castway-Csrf': token }) },
  body: JSON.stringify(body),
});

/** What needs no session: the state of this page, and a sign-in. */
export const askState = <T>() => ask<T>('state', {});
export const askSignIn = <T>(name: string, password: string) => ask<T>('sign-in', posted({ name, password }));

export const look = <T>(path: string) => within(ask<T>(path, {}));
export const change = <T>(path: string, body: object) => within(ask<T>(path, posted(body)));

/** Shows what was asked for, unless something newer has come in the meantime. */
export class Newest<T> {
  private count = 0;

  constructor(private readonly show: (data: T) => void) {}

  take(data: T): void {
    this.count++;
    this.show(data);
  }

  async ask(asked: () => Promise<T>): Promise<void> {
    const mine = ++this.count;
    const data = await asked();
    if (mine === this.count) this.show(data);
  }
}
