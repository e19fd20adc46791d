import type { Info } from './info';

const LOOKALIKES: Record<string, string> = { O: '0', I: '1', L: '1' };
const PARAMETER = /[?&]code=/i;
/** What a code may be written with: letters, digits, spaces, dashes, and what is not seen at all. */
const SPELLING = /^[\w\s\u00ad\u200b-\u2015\u2060\u2212\ufeff-]*/;
/** Letters of scripts that no code is written in. The long vowel sign of Japanese (U+30FC) is typed for a dash. */
const FOREIGN = /[\u0370-\u1fff\u2e80-\u2fff\u3040-\u30fb\u30fd-\udfff\uf900-\ufaff]/;

/** Full-width letters and digits, which input methods write, as the usual ones. */
const halfWidth = (text: string) => text.normalize('NFKC');

/** What was meant: no spaces or dashes, upper case, a letter that no code has read as the digit it looks like. */
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

/** As decodeURIComponent, which throws where the text is not UTF-8: of such a sequence only what is ASCII is taken. */
function decode(text: string): string {
  return text.replace(/(?:%[0-9a-f]{2})+/gi, (encoded) => {
    try {
      return decodeURIComponent(encoded);
    } catch {
      return decodeURIComponent(encoded.replace(/%[89a-f]./gi, ''));
    }
  });
}

/** What follows `code=` in a link, also where there is other text around it or the link is encoded. Null: no such link. */
function inLink(text: string): string | null {
  const read = [text, decode(text)].map(halfWidth).filter((way) => PARAMETER.test(way))[0];
  if (read === undefined) return null;
  const given = /^[^&#\s]*/.exec(read.split(PARAMETER).pop()!)![0];
  const value = halfWidth(decode(given.replace(/\+/g, ' ')));
  return inLink(value) ?? SPELLING.exec(value)![0];
}

/** The code in what was typed or pasted: the code itself, or a link that has it. */
export function readCode(text: string, alphabet: string): string {
  return normalize(inLink(text) ?? text, alphabet);
}

export function hasForeignLetters(text: string): boolean {
  return FOREIGN.test(halfWidth(text));
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
  if (inLink(text) === null && text.length > rule.length + 4) return null;
  const code = readCode(text, rule.alphabet);
  return code.length === rule.length ? code : null;
}
