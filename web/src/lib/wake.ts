const CHECK_INTERVAL_MS = 2000;
const SUSPENDED_AFTER_MS = 8000;

/** Calls back when the page may have slept: the clock has jumped, the page is visible again, or the network is back. */
export function onWake(callback: () => void): void {
  let last = Date.now();
  setInterval(() => {
    const now = Date.now();
    const gap = now - last;
    last = now;
    // Browsers throttle the timers of background tabs, which is not sleep.
    if (gap > SUSPENDED_AFTER_MS && !document.hidden) callback();
  }, CHECK_INTERVAL_MS);
  document.addEventListener('visibilitychange', () => {
    if (!document.hidden) callback();
  });
  window.addEventListener('online', callback);
  window.addEventListener('pageshow', (event) => {
    if (event.persisted) callback();
  });
}

interface LockingNavigator {
  wakeLock?: { request(type: 'screen'): Promise<{ release(): Promise<void> }> };
}

/** Keeps the screen on while `wanted()`; the browser releases the lock whenever the page is hidden. */
export function keepAwake(wanted: () => boolean): () => void {
  const locks = (navigator as LockingNavigator).wakeLock;
  let held: { release(): Promise<void> } | null = null;
  let asking = false;
  const update = () => {
    if (!locks || asking) return;
    if (wanted() && !held && !document.hidden) {
      asking = true;
      locks.request('screen').then(
        (lock) => {
          asking = false;
          held = lock;
          if (!wanted()) update();
        },
        () => (asking = false),
      );
    } else if (!wanted() && held) {
      held.release().catch(() => undefined);
      held = null;
    }
  };
  document.addEventListener('visibilitychange', () => {
    held = null;
    update();
  });
  return update;
}
