/** What an input method gives to a key that it takes for itself. */
const PROCESSED = 229;

/** A field whose text is the person's own while an input method composes in it. */
export class TextField {
  private composition = false;

  /** `typed`: the text has changed, and is no composition. */
  constructor(readonly input: HTMLInputElement, private readonly typed: () => void) {
    input.addEventListener('compositionstart', () => (this.composition = true));
    input.addEventListener('compositionend', () => this.composed());
    // Not every engine ends the composition of a field that is left.
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

  /** Takes what is being composed as it stands. */
  confirm(): void {
    this.input.blur();
    this.input.focus();
  }

  private composed(): void {
    this.composition = false;
    this.typed();
  }
}
