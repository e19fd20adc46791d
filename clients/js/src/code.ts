/** The characters of a code in groups that people read at a time. */
export function groups(code: string): string[] {
  if (code.length < 4) return code ? [code] : [];
  const size = code.length % 4 === 0 && code.length > 4 ? 4 : 3;
  const result: string[] = [];
  for (let i = 0; i < code.length; i += size) result.push(code.slice(i, i + size));
  return result;
}
