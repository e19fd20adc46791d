export type StorageArea = 'localStorage' | 'sessionStorage';

export function stored<T>(area: StorageArea, key: string): T | null {
  try {
    const text = window[area].getItem(key);
    return text ? (JSON.parse(text) as T) : null;
  } catch {
    return null;
  }
}

/** Storage can be disabled or full; everything works without it, until the page is loaded again. */
export function store(area: StorageArea, key: string, value: unknown): void {
  try {
    window[area].setItem(key, JSON.stringify(value));
  } catch {
    // The value is not remembered.
  }
}
