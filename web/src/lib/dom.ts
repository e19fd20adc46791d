export { later, store, stored, type StorageArea } from '@castway/client/parts';

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
