/** Some TVs send a key and go back in the history as well, for one press. */
const SAME_PRESS_MS = 400;
const STATE = 'castway-cast';

const isOurs = () => history.state === STATE;

/**
 * Back of TVs whose browser takes it for the history and sends no key: while it is wanted, an entry of the history is there to be left.
 * A page in a frame leaves the history to the page around it.
 */
export class BackHistory {
  private entered = isOurs();
  private keyAt = -SAME_PRESS_MS;
  private popAt = -SAME_PRESS_MS;

  constructor(private readonly wanted: () => boolean, private readonly pressed: () => void) {
    if (window.parent === window) window.addEventListener('popstate', () => this.popped());
  }

  /** Call it when `wanted` may have changed. */
  update(): void {
    if (this.entered || window.parent !== window || !this.wanted()) return;
    history.pushState(STATE, '');
    this.entered = true;
  }

  /** False if the press of this key has been counted already. */
  countsKey(): boolean {
    this.keyAt = performance.now();
    return this.keyAt - this.popAt > SAME_PRESS_MS;
  }

  private popped(): void {
    this.entered = isOurs();
    if (this.entered) return;
    // The entry is left over from an earlier cast: Back means the page itself.
    if (!this.wanted()) return history.back();
    this.update();
    this.popAt = performance.now();
    if (this.popAt - this.keyAt > SAME_PRESS_MS) this.pressed();
  }
}
