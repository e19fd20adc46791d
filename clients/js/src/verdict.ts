/** Whose side the cause is on. */
export type Side = 'caster' | 'tv' | 'both' | 'server' | 'unknown';

/** The sentences of a verdict in one language. */
export interface VerdictText {
  title: string;
  text: string;
  /** What the operator can do; empty if there is nothing. */
  fix: string;
}

/** What the server has found out about a connection that failed. */
export interface Verdict {
  /** One of the codes in Castway's docs/troubleshooting.md. */
  code: string;
  side: Side;
  /** A command that the operator can run; empty if there is none. */
  command: string;
  /** The texts by language, `en` and `zh`. */
  texts: Record<string, VerdictText>;
}

const string = (value: unknown) => (typeof value === 'string' ? value : '');

export function asSide(value: unknown): Side {
  return value === 'caster' || value === 'tv' || value === 'both' || value === 'server' ? value : 'unknown';
}

/** Null for anything but a verdict of the server. */
export function asVerdict(value: unknown): Verdict | null {
  if (!value || typeof value !== 'object') return null;
  const outer = value as Record<string, unknown>;
  const code = string(outer['code']);
  const texts: Record<string, VerdictText> = {};
  ['en', 'zh'].forEach((language) => {
    const words = outer[language] as Record<string, unknown> | null | undefined;
    if (!words || typeof words !== 'object' || !string(words['title'])) return;
    texts[language] = { title: string(words['title']), text: string(words['text']), fix: string(words['fix']) };
  });
  if (!code || !Object.keys(texts).length) return null;
  return { code, side: asSide(outer['side']), command: string(outer['command']), texts };
}

/** The verdict in the language, or else in any. */
export function verdictText(verdict: Verdict, language: string): VerdictText {
  return verdict.texts[language] ?? verdict.texts['en'] ?? verdict.texts[Object.keys(verdict.texts)[0]!]!;
}
