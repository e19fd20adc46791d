const POLL_MS = 100;

export function later(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/** Waits until `done` says so; false if it did not in time. It looks again and again, since old engines miss some events. */
export async function until(done: () => boolean, milliseconds: number): Promise<boolean> {
  const end = performance.now() + milliseconds;
  while (!done()) {
    if (performance.now() > end) return false;
    await later(POLL_MS);
  }
  return true;
}
