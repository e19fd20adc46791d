import { serverAddress } from './server';
import type { Reply } from './signaling';

/** What shows who the user is: a token, or a name and a password. */
export interface Auth {
  /** Of `signIn`, or one that the operator's own server understands. */
  token?: string | undefined;
  name?: string | undefined;
  password?: string | undefined;
}

/** An object, or a function that makes one whenever the client asks for its seat. */
export type AuthSource = Auth | null | (() => Auth | null | Promise<Auth | null>);

/** What `signIn` brings. */
export interface SignedIn {
  ok: true;
  /** Good until `expires`, and as long as the user has this password. */
  token: string;
  name: string;
  /** In seconds since 1970. */
  expires: number;
}

/** The member of an event that shows the user. Without one the server says what it needs. */
export async function shownAuth(source: AuthSource): Promise<{ auth?: Auth }> {
  try {
    const auth = typeof source === 'function' ? await source() : source;
    return auth ? { auth } : {};
  } catch {
    return {};
  }
}

/**
 * Asks a server whose casters have to sign in (`castAccess: "users"` in `/api/info`) for a token. Codes of errors: `wrong_password`,
 * `too_many_attempts` (with `retryAfter`), `off` (anyone may cast), `offline`.
 */
export async function signIn(server: string | undefined, name: string, password: string): Promise<Reply<SignedIn>> {
  const { origin, path } = serverAddress(server);
  try {
    const response = await fetch(`${origin}${path}/api/sign-in`, { method: 'POST', credentials: 'omit', body: JSON.stringify({ name, password }) });
    const body = (await response.json()) as Partial<SignedIn> & { error?: { code: string; message?: string; retryAfter?: number } };
    if (response.ok && body.token) return { ok: true, token: body.token, name: body.name ?? name, expires: body.expires ?? 0 };
    return { ok: false, error: body.error && body.error.code ? body.error : { code: 'offline' } };
  } catch {
    return { ok: false, error: { code: 'offline' } };
  }
}
