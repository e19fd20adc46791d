import { shownName } from '@castway/client';
import { store, stored } from '../lib/dom';

const STORAGE_KEY = 'castway.tv.name';

/** The TV's name: `?name=` of the address, which is remembered, or the remembered one. An empty `?name=` removes it. */
export function ownName(): string | null {
  const given = new URLSearchParams(location.search).get('name');
  if (given === null) return shownName(stored<string>('localStorage', STORAGE_KEY));
  const name = shownName(given);
  store('localStorage', STORAGE_KEY, name);
  return name;
}
