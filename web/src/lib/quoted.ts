import { shownName } from '@castway/client';

/** A stranger's name for the middle of a sentence: its direction of writing does not affect the rest. */
export function quoted(name: string): string {
  return `\u2068${shownName(name) ?? ''}\u2069`;
}
