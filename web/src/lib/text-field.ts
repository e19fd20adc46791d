/** The key code of a key that an input method handles. */
const PROCESSED = 229;

/** A text field that no script changes while an input method is composing. */
export class TextField {
  private composition = false;

  /** Calls `typed` when the text has changed outside a composition. */
  constructor(readonly input: HTMLInputElement, private readonly typed: () => void) {
    input.addEventListener('compositionstart', () => (this.composition = true));
    input.addEventListener('compositionend', () => this.composed());
    // Not every engine ends the composition when the field loses the focus.
    input.addEventListener('blur', () => this.composition && this.composed());
    input.addEventListener('input', (event) => {
      if (!this.composition && !(event as InputEvent).isComposing) typed();
    });
    // Safari ends the composition before the Enter that confirms it.
    input.addEventListener('keydown', (event) => {
      if (event.key === 'Enter' && event.keyCode === PROCESSED) event.preventDefault();
    });
  }

  get composing(): boolean {
    return this.composition;
  }

  /** Accepts the composed text. */
  confirm(): void {
    this.input.blur();
    this.input.focus();
  }

  private composed(): void {
    this.composition = false;
    this.typed();
  }
}
