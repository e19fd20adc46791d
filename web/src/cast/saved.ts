import type { Preset } from '@castway/client';
import { store, stored } from '../lib/dom';
import type { Source } from './capture';

/** What a page that is loaded again needs to go on. */
export interface SavedCast {
  code: string;
  source: Source;
  preset: Preset;
  sound: boolean;
}

const KEY = 'castway.sharing';

export function remember(cast: SavedCast | null): void {
  store('sessionStorage', KEY, cast);
}

/** The cast that ran when this page was left. */
export function interrupted(): SavedCast | null {
  const saved = stored<Partial<SavedCast>>('sessionStorage', KEY);
  return saved && typeof saved.code === 'string' && saved.code ? (saved as SavedCast) : null;
}
