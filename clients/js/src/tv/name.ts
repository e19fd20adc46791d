/** The most characters of a name that are shown. */
export const MAX_NAME_CHARACTERS = 40;

/** Line and control characters, and those that change the direction or the look of the text around them. */
const INVISIBLE = /[\u0000-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/g;

function cut(text: string): string {
  let at = 0;
  for (let characters = 0; at < text.length && characters < MAX_NAME_CHARACTERS; characters++) {
    const code = text.charCodeAt(at);
    // The two halves of a character outside the Basic Multilingual Plane stay together.
    at += code >= 0xd800 && code < 0xdc00 && at + 1 < text.length ? 2 : 1;
  }
  return text.slice(0, at);
}

/** A name as it is shown: in NFC, on one line, without invisible characters, and at most 40 characters; null if nothing is left. */
export function shownName(text: string | null | undefined): string | null {
  const line = (text ?? '').normalize('NFC').replace(/[\t-\r\u2028\u2029]+/g, ' ').replace(INVISIBLE, '').trim();
  return cut(line).trim() || null;
}
