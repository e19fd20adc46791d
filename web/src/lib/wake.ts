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
