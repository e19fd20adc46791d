/** Shows the server's version in the footer, if the page has one. */
export function showVersion(version: unknown): void {
  const place = document.getElementById('version');
  if (place && typeof version === 'string') place.textContent = `Castway ${version}`;
}
