export function byId<T extends HTMLElement = HTMLElement>(id: string): T {
  const element = document.getElementById(id);
  if (!element) throw new Error(`no element #${id}`);
  return element as T;
}

export function show(element: HTMLElement, visible: boolean): void {
  if (element.hidden === visible) element.hidden = !visible;
}

/** Does not touch an unchanged text: a screen reader would read it again. */
export function setText(element: Element, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}

export function stored<T>(area: 'localStorage' | 'sessionStorage', key: string): T | null {
  try {
    const text = window[area].getItem(key);
    return text ? (JSON.parse(text) as T) : null;
  } catch {
    return null;
  }
}

/** Storage can be disabled or full; the pages work without it. */
export function store(area: 'localStorage' | 'sessionStorage', key: string, value: unknown): void {
  try {
    window[area].setItem(key, JSON.stringify(value));
  } catch {
    // The value is not remembered.
  }
}

export function later(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/** Copies the text of an element. False if only the user can copy it, for whom the text is selected. */
export async function copyText(from: HTMLElement, text = from.textContent ?? ''): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Insecure pages have no clipboard API.
    const selection = window.getSelection();
    selection?.selectAllChildren(from);
    return document.execCommand('copy');
  }
}
