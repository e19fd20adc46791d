const CHECK_INTERVAL_MS = 2000;
const SUSPENDED_AFTER_MS = 8000;

/** Calls back when the page may have slept: the clock has jumped, the page is visible again, or the network is back. The result ends that. */
export function onWake(callback: () => void): () => void {
  let last = Date.now();
  const timer = setInterval(() => {
    const now = Date.now();
    const gap = now - last;
    last = now;
    // Browsers throttle the timers of background tabs, which is not sleep.
    if (gap > SUSPENDED_AFTER_MS && !document.hidden) callback();
  }, CHECK_INTERVAL_MS);
  const shown = () => {
    if (!document.hidden) callback();
  };
  const restored = (event: PageTransitionEvent) => {
    if (event.persisted) callback();
  };
  document.addEventListener('visibilitychange', shown);
  window.addEventListener('online', callback);
  window.addEventListener('pageshow', restored);
  return () => {
    clearInterval(timer);
    document.removeEventListener('visibilitychange', shown);
    window.removeEventListener('online', callback);
    window.removeEventListener('pageshow', restored);
  };
}
