import type { Info } from './info';

const LOOKALIKES: Record<string, string> = { O: '0', I: '1', L: '1' };

/** What was meant: no spaces or dashes, upper case, a letter that no code has read as the digit it looks like. */
export function normalize(text: string, alphabet: string): string {
  let result = '';
  const upper = text.toUpperCase();
  for (let i = 0; i < upper.length; i++) {
    const char = upper.charAt(i);
    if (!/[A-Z0-9]/.test(char)) continue;
    const other = LOOKALIKES[char];
    result += alphabet.indexOf(char) < 0 && other ? other : char;
  }
  return result;
}

export function groups(code: string): string[] {
  if (code.length < 4) return code ? [code] : [];
  const size = code.length % 4 === 0 && code.length > 4 ? 4 : 3;
  const result: string[] = [];
  for (let i = 0; i < code.length; i += size) result.push(code.slice(i, i + size));
  return result;
}

export function spaced(code: string): string {
  return groups(code).join(' ');
}

/** The code in the text of a scanned QR image: our own link, or the bare code. */
export function fromScan(text: string, rule: Info['code']): string | null {
  const match = /[?&]code=([^&#]+)/.exec(text);
  let raw = text;
  if (match) {
    try {
      raw = decodeURIComponent(match[1]!);
    } catch {
      return null;
    }
  }
  if (!match && raw.length > rule.length + 4) return null;
  const code = normalize(raw, rule.alphabet);
  return code.length === rule.length ? code : null;
}
