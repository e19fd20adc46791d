/** Moves the focus with the arrow keys of a remote control, since not every TV browser does so. */
export function moveByArrows(selector: string): void {
  document.addEventListener('keydown', (event) => {
    // Input methods select candidates with the arrow keys.
    if (event.keyCode < 37 || event.keyCode > 40 || event.isComposing) return;
    const active = document.activeElement as HTMLElement | null;
    // Inside a text field, left and right move the caret.
    if (active && active.tagName === 'INPUT' && event.keyCode % 2 === 1) return;
    // In a list of choices, up and down choose.
    if (active && active.tagName === 'SELECT' && event.keyCode % 2 === 0) return;
    const stops = [].slice.call(document.querySelectorAll(selector)) as HTMLElement[];
    const visible = stops.filter((stop) => stop.offsetWidth > 0);
    const at = visible.indexOf(active as HTMLElement);
    const next = visible[event.keyCode < 39 ? Math.max(0, at - 1) : at + 1];
    if (next && next !== active) {
      next.focus();
      event.preventDefault();
    }
  });
}
