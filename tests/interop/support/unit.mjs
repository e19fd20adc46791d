// Reads units of systemd.

// The values that a unit gives to each name, in order and whatever their section.
export function parseUnit(text) {
  const values = {};
  for (const [, name, value] of text.matchAll(/^(\w+)=(.*)$/gm)) (values[name] ??= []).push(value);
  return values;
}
