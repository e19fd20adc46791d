/** A text that may contain names, which strangers chose. */
export interface Sentence {
  text: string;
  names: string[];
}

/** Each stands for one name in the text. */
const MARKS = ['\ue000', '\ue001'];

export const plain = (text: string): Sentence => ({ text, names: [] });

/** `write` gets a mark for each name, so that no name is taken for a part of the sentence. */
export function withNames(write: (first: string, second: string) => string, ...names: string[]): Sentence {
  return { text: write(MARKS[0]!, MARKS[1]!), names };
}

/** Writes the sentence with each name in a `bdi`, which keeps its direction of writing from the text around it. */
export function write(into: Element, { text, names }: Sentence): void {
  const parts = text.split(/([\ue000\ue001])/).map((part) => {
    const index = MARKS.indexOf(part);
    return index < 0 ? { name: false, text: part } : { name: true, text: names[index] ?? '' };
  });
  // A screen reader would read an unchanged text again.
  if (into.textContent === parts.map((part) => part.text).join('')) return;
  into.textContent = '';
  parts.forEach((part) => {
    const node = document.createElement(part.name ? 'bdi' : 'span');
    node.textContent = part.text;
    if (part.text) into.appendChild(node);
  });
}
