// Shows focus rings after keys only, in engines without :focus-visible: base.css reads the attribute. Pages import this file for its effect.
function knowsFocusVisible(): boolean {
  try {
    document.querySelector(':focus-visible');
    return true;
  } catch {
    return false;
  }
}

function mark(input: 'keys' | 'pointer'): void {
  document.documentElement.setAttribute('data-focus', input);
}

if (!knowsFocusVisible()) {
  mark('keys');
  document.addEventListener('keydown', () => mark('keys'), true);
  document.addEventListener('mousedown', () => mark('pointer'), true);
  document.addEventListener('touchstart', () => mark('pointer'), true);
}

export {};
