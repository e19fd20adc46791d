type Content = Node | string | null | undefined;

/** An element with attributes (null: without it) and content. Texts become text nodes, whatever is in them. */
export function make<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Record<string, string | null> = {},
  ...content: Content[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  Object.keys(attributes).forEach((name) => {
    const value = attributes[name];
    if (typeof value === 'string') element.setAttribute(name, value);
  });
  content.forEach((part) => part && element.append(part));
  return element;
}

export function button(text: string, attributes: Record<string, string | null>, pressed: (button: HTMLButtonElement) => void): HTMLButtonElement {
  const element = make('button', { type: 'button', class: 'quiet', ...attributes }, text);
  element.addEventListener('click', () => pressed(element));
  return element;
}

/** Sets an attribute, or removes it. Does not touch an unchanged one. */
export function setAttribute(element: Element, name: string, value: string | null): void {
  if (element.getAttribute(name) === value) return;
  if (value === null) element.removeAttribute(name);
  else element.setAttribute(name, value);
}

/** The entries of a list of things with an id each, in the places that they have: new ones follow at the end. */
export function inPlace<T>(shown: string[], rows: T[], idOf: (row: T) => string): T[] {
  const byId: Record<string, T> = Object.create(null);
  rows.forEach((row) => (byId[idOf(row)] = row));
  const kept = shown.filter((id) => id in byId).map((id) => byId[id]!);
  return [...kept, ...rows.filter((row) => shown.indexOf(idOf(row)) < 0)];
}
