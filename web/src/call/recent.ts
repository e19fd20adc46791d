import { store, stored } from '../lib/dom';

const RECENT_ROOMS_KEY = 'castway.rooms';
const MAX_RECENT_ROOMS = 8;

/** The latest first. */
export function recentRooms(): string[] {
  const saved = stored<unknown>('localStorage', RECENT_ROOMS_KEY);
  return Array.isArray(saved) ? saved.filter(isRoom).slice(0, MAX_RECENT_ROOMS) : [];
}

export function remember(room: string): void {
  store('localStorage', RECENT_ROOMS_KEY, [room].concat(recentRooms().filter((other) => other !== room)).slice(0, MAX_RECENT_ROOMS));
}

export function forget(room: string): void {
  store('localStorage', RECENT_ROOMS_KEY, recentRooms().filter((other) => other !== room));
}

/** What the server takes for the name of a room. */
export function isRoom(name: unknown): name is string {
  return typeof name === 'string' && /^[\w-]{1,256}$/.test(name);
}

/** Three groups of letters that are told apart easily: 12 of them, 54 bits. */
export function freshRoom(): string {
  const letters = 'abcdefghjkmnpqrstuvwxyz';
  const random = window.crypto.getRandomValues(new Uint8Array(256));
  let name = '';
  for (let i = 0; name.length < 14 && i < random.length; i++) {
    // Each letter as likely as any other.
    if (random[i]! >= letters.length * 11) continue;
    if (name.length === 4 || name.length === 9) name += '-';
    name += letters.charAt(random[i]! % letters.length);
  }
  return name;
}
