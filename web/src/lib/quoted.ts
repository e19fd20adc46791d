import { shownName } from '@castway/client';

/** A stranger's name for the middle of a sentence: its direction of writing does not affect the rest. Null if it shows nothing. */
export function quoted(name: string | null | undefined): string | null {
  const shown = shownName(name);
  return shown && `\u2068${shown}\u2069`;
}
