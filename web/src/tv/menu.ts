import { byId, show } from '../lib/dom';

const SHOWN_MS = 10_000;

/** The choices during a cast. They disappear by themselves. */
export class Menu {
  private readonly box = byId('menu');
  private timer = 0;

  constructor() {
    const postpone = () => this.shown && this.hideLater();
    document.addEventListener('keydown', postpone);
    document.addEventListener('mousemove', postpone);
  }

  get shown(): boolean {
    return !this.box.hidden;
  }

  open(): void {
    show(this.box, true);
    // The one that ends nothing: OK pressed twice does no harm.
    byId('menu-details').focus();
    this.hideLater();
  }

  close(): void {
    clearTimeout(this.timer);
    if (!this.shown) return;
    // The next OK must not press a hidden button.
    (document.activeElement as HTMLElement | null)?.blur();
    show(this.box, false);
  }

  /** OK of a remote control whose key presses no button by itself. */
  press(): void {
    const focused = document.activeElement as HTMLElement | null;
    if (focused && this.box.contains(focused)) focused.click();
    else byId('menu-details').focus();
  }

  private hideLater(): void {
    clearTimeout(this.timer);
    this.timer = window.setTimeout(() => this.close(), SHOWN_MS);
  }
}
