// Shortens the texts in a failure's message to a readable length.

// The end of a log or of a program's output.
export function excerpt(text, most = 4096) {
  const left = text.length - most;
  return left <= 0 ? text : `[${left} characters before this]…${text.slice(-most)}`;
}

// The beginning of a value, as JSON.
export function brief(value, most = 200) {
  const text = JSON.stringify(value) ?? String(value);
  return text.length <= most ? text : `${text.slice(0, most)}…[${text.length - most} characters more]`;
}

// The last events that a client heard, each as [name, ...arguments].
export function lastHeard(log, most = 20) {
  if (log.length === 0) return 'nothing';
  const last = log.slice(-most).map((event) => brief(event));
  return `${log.length > most ? `${log.length} events, the last of which are` : 'this'}:\n  ${last.join('\n  ')}`;
}

// Both ends of a program's output: the first error, and the summary.
export function ends(text, most = 8192) {
  const left = text.length - 2 * most;
  return left <= 0 ? text : `${text.slice(0, most)}\n[${left} characters in between]\n${text.slice(-most)}`;
}
