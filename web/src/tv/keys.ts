export type Command = 'ok' | 'info' | 'back' | 'fullscreen' | 'other';

/** Remote controls send key codes that the standard does not name. */
const CODES: Record<number, Command> = {
  13: 'ok',
  32: 'ok',
  27: 'back',
  8: 'back',
  461: 'back', // webOS
  10009: 'back', // Tizen
  457: 'info', // Tizen and webOS
  73: 'info',
  70: 'fullscreen',
};

const MODIFIERS = /^(Shift|Control|Alt|Meta|AltGraph|CapsLock)$/;

/** `handle` returns whether it used the command; the browser handles an unused key. */
export function onCommand(handle: (command: Command) => boolean): void {
  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || MODIFIERS.test(event.key)) return;
    if (event.repeat) return;
    if (handle(CODES[event.keyCode] ?? 'other')) event.preventDefault();
  });
}
