import { store, stored } from '../lib/dom';
import type { Devices } from './devices';

const CALL_KEY = 'castway.call';

interface Saved {
  room: string;
  muted: boolean;
  cameraOff: boolean;
}

/** Remembers the call of this tab, for a reload. Null: it is over. */
export function saveCall(room: string, devices: Devices | null): void {
  const saved: Saved | null = devices && { room, muted: devices.muted, cameraOff: devices.cameraOff };
  store('sessionStorage', CALL_KEY, saved);
}

/** The call that the page was in when it was reloaded. Users who come to the page in another way see the lobby first. */
export function rejoining(room: string): Saved | null {
  const saved = stored<Saved>('sessionStorage', CALL_KEY);
  if (!saved || saved.room !== room) return null;
  const [entry] = performance.getEntriesByType ? (performance.getEntriesByType('navigation') as PerformanceNavigationTiming[]) : [];
  const reloaded = entry ? entry.type === 'reload' : performance.navigation.type === performance.navigation.TYPE_RELOAD;
  return reloaded ? saved : null;
}
