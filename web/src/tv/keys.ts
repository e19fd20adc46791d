export type Command = 'ok' | 'back' | 'menu' | 'info' | 'fullscreen' | 'other';

/** Remote controls send key codes that the standard does not name. */
const CODES: Record<number, Command> = {
  13: 'ok',
  23: 'ok', // Android
  32: 'ok',
  4: 'back', // Android
  8: 'back',
  27: 'back',
  166: 'back', // Fire TV
  413: 'back', // Stop
  461: 'back', // webOS
  10009: 'back', // Tizen
  93: 'menu',
  403: 'menu', // red
  10133: 'menu', // Tizen
  73: 'info',
  406: 'info', // blue
  457: 'info', // Tizen and webOS
  70: 'fullscreen',
};

const NAMES: Record<string, Command> = { GoBack: 'back', BrowserBack: 'back', MediaStop: 'back', ContextMenu: 'menu', Info: 'info' };

const MODIFIERS = /^(Shift|Control|Alt|Meta|AltGraph|CapsLock)$/;

/** `handle` returns whether it used the command; the browser handles an unused key. */
export function onCommand(handle: (command: Command) => boolean): void {
  /** The key that is held down, if its command was used. */
  let used = 0;
  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || MODIFIERS.test(event.key)) return;
    if (!event.repeat) used = handle(CODES[event.keyCode] ?? NAMES[event.key] ?? 'other') ? event.keyCode : 0;
    // The browser would press the button that the first press of the key has focused.
    if (used && used === event.keyCode) event.preventDefault();
  });
}
