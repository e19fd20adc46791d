import { store, stored } from '../lib/dom';
import { isId } from '../lib/room-name';

const RECENT_ROOMS_KEY = 'castway.rooms';
const MAX_RECENT_ROOMS = 8;

/** The ids of rooms, the most recent one first. */
export function recentRooms(): string[] {
  const saved = stored<unknown>('localStorage', RECENT_ROOMS_KEY);
  return Array.isArray(saved) ? saved.filter(isId).slice(0, MAX_RECENT_ROOMS) : [];
}

export function remember(room: string): void {
  store('localStorage', RECENT_ROOMS_KEY, [room].concat(recentRooms().filter((other) => other !== room)).slice(0, MAX_RECENT_ROOMS));
}

export function forget(room: string): void {
  store('localStorage', RECENT_ROOMS_KEY, recentRooms().filter((other) => other !== room));
}

/** 12 easily distinguished letters in three groups, 54 bits. */
export function freshRoom(): string {
  const letters = 'abcdefghjkmnpqrstuvwxyz';
  const random = window.crypto.getRandomValues(new Uint8Array(256));
  let name = '';
  for (let i = 0; name.length < 14 && i < random.length; i++) {
    // Each letter has the same probability.
    if (random[i]! >= letters.length * 11) continue;
    if (name.length === 4 || name.length === 9) name += '-';
    name += letters.charAt(random[i]! % letters.length);
  }
  return name;
}
