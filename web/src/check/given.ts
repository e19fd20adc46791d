function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** The value of a parameter in a link or a query; null without it. */
export function parameter(name: string, text: string): string | null {
  const match = new RegExp(`[?&]${name}=([^&#\\s]*)`).exec(text);
  return match ? decode(match[1]!) : null;
}

/** What somebody has typed or pasted: the value itself, or a link with it. Input methods type full-width letters and digits. */
export function given(name: string, text: string): string {
  const plain = text.normalize('NFKC');
  return (parameter(name, plain) ?? plain).replace(/\s/g, '');
}
