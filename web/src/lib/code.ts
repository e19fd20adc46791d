import { groups } from '@castway/client/parts';
import type { Info } from './info';

const LOOKALIKES: Record<string, string> = { O: '0', I: '1', L: '1' };
const PARAMETER = /[?&]code=/i;
/** The characters of a typed code: letters, digits, spaces, dashes, and invisible characters. */
const SPELLING = /^[\w\s\u00ad\u200b-\u2015\u2060\u2212\ufeff-]*/;
/** Letters of other scripts. The Japanese long vowel sign (U+30FC) is not among them, since people type it for a dash. */
const FOREIGN = /[\u0370-\u1fff\u2e80-\u2fff\u3040-\u30fb\u30fd-\udfff\uf900-\ufaff]/;

/** Converts the full-width letters and digits of input methods to ordinary ones. */
const halfWidth = (text: string) => text.normalize('NFKC');

/** Normalizes a code: no spaces or dashes, upper case, and letters outside the alphabet become the digits that they look like. */
export function normalize(text: string, alphabet: string): string {
  let result = '';
  const upper = halfWidth(text).toUpperCase();
  for (let i = 0; i < upper.length; i++) {
    const char = upper.charAt(i);
    if (!/[A-Z0-9]/.test(char)) continue;
    const other = LOOKALIKES[char];
    result += alphabet.indexOf(char) < 0 && other ? other : char;
  }
  return result;
}

/** Like decodeURIComponent, but keeps the ASCII characters of a text that is not UTF-8 instead of throwing. */
function decode(text: string): string {
  return text.replace(/(?:%[0-9a-f]{2})+/gi, (encoded) => {
    try {
      return decodeURIComponent(encoded);
    } catch {
      return decodeURIComponent(encoded.replace(/%[89a-f]./gi, ''));
    }
  });
}

/** The value of `code=` in a link, which may be encoded or surrounded by other text; null without such a link. */
function inLink(text: string): string | null {
  const read = [text, decode(text)].map(halfWidth).filter((way) => PARAMETER.test(way))[0];
  if (read === undefined) return null;
  const given = /^[^&#\s]*/.exec(read.split(PARAMETER).pop()!)![0];
  const value = halfWidth(decode(given.replace(/\+/g, ' ')));
  return inLink(value) ?? SPELLING.exec(value)![0];
}

/** The code in a typed or pasted text, which is the code itself or a link that contains it. */
export function readCode(text: string, alphabet: string): string {
  return normalize(inLink(text) ?? text, alphabet);
}

export function hasForeignLetters(text: string): boolean {
  return FOREIGN.test(halfWidth(text));
}

export function spaced(code: string): string {
  return groups(code).join(' ');
}

/** The code in a scanned QR code: a link to this page, or the bare code. */
export function fromScan(text: string, rule: Info['code']): string | null {
  if (inLink(text) === null && text.length > rule.length + 4) return null;
  const code = readCode(text, rule.alphabet);
  return code.length === rule.length ? code : null;
}
