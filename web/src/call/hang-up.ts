import { byId, show } from '../lib/dom';

/** Asks before the call ends, since a key alone is pressed by mistake, or said to a speech input that types it. */
export class HangUp {
  private readonly dialog = byId('confirm');
  private before: HTMLElement | null = null;

  constructor(private readonly leave: () => void) {
    byId('confirm-stay').addEventListener('click', () => this.close());
    byId('confirm-leave').addEventListener('click', () => {
      this.close();
      this.leave();
    });
    this.dialog.addEventListener('click', (event) => event.target === this.dialog && this.close());
    this.dialog.addEventListener('keydown', (event) => this.key(event));
  }

  get open(): boolean {
    return !this.dialog.hidden;
  }

  ask(): void {
    if (this.open) return;
    this.before = document.activeElement as HTMLElement | null;
    show(this.dialog, true);
    byId('confirm-stay').focus();
  }

  close(): void {
    if (!this.open) return;
    show(this.dialog, false);
    this.before?.focus({ preventScroll: true });
  }

  /** The keys stay inside the dialog. */
  private key(event: KeyboardEvent): void {
    event.stopPropagation();
    if (event.key === 'Escape') return this.close();
    if (event.key !== 'Tab' && !/^Arrow/.test(event.key)) return;
    event.preventDefault();
    byId(document.activeElement === byId('confirm-stay') ? 'confirm-leave' : 'confirm-stay').focus();
  }
}
