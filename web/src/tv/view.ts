import type { TvFailure, TvState } from '@castway/client';
import { groups } from '@castway/client/parts';
import { byId, setText, show } from '../lib/dom';
import { t } from '../lib/i18n';
import { reachableOrigin, withoutScheme, type Info } from '../lib/info';
import { drawQr } from '../lib/qr';
import type { Tone } from '../lib/status';
import { Menu } from './menu';
import { write, type Sentence } from './sentence';

const DRIFT_INTERVAL_MS = 40_000;
const POINTER_SHOWN_MS = 2500;
const DRIFT_PATH = [[0, 0], [9, 5], [14, -4], [5, -11], [-6, -8], [-13, 2], [-7, 11], [4, 8]] as const;

/** The only place that writes to the TV's page. */
export class View {
  readonly video = byId<HTMLVideoElement>('video');
  readonly still = byId<HTMLCanvasElement>('still');
  readonly figures = byId('figures');
  readonly menu = new Menu();
  private drift = 0;

  constructor() {
    setInterval(() => {
      // Moving the page prevents burn-in. A whole cycle ends where it began.
      const step = DRIFT_PATH[++this.drift % DRIFT_PATH.length]!;
      byId('drift').style.transform = `translate(${step[0]}px, ${step[1]}px)`;
    }, DRIFT_INTERVAL_MS);
    let hide = 0;
    document.addEventListener('mousemove', () => {
      document.body.setAttribute('data-pointer', '');
      clearTimeout(hide);
      hide = window.setTimeout(() => document.body.removeAttribute('data-pointer'), POINTER_SHOWN_MS);
    });
  }

  state(state: TvState): void {
    document.body.setAttribute('data-state', state);
    const message = state === 'replaced' || state === 'unsupported';
    show(byId('idle'), !message && state !== 'playing');
    show(byId('message'), message);
    byId('stage').setAttribute('aria-hidden', String(state !== 'playing'));
    if (state !== 'playing') {
      this.details(false);
      this.menu.close();
    }
    if (!message) return;
    const replaced = state === 'replaced';
    setText(byId('message-title'), replaced ? t.tvReplacedTitle : t.tvUnsupportedTitle);
    setText(byId('message-hint'), replaced ? t.tvReplacedHint : t.tvUnsupportedHint);
    const action = byId('message-action');
    show(action, replaced);
    setText(action, t.tvReplacedAction);
    if (replaced) action.focus();
  }

  /** Shows empty tiles until the server assigns a code. */
  noCode(length: number): void {
    this.tiles(new Array(length + 1).join(' '));
  }

  code(code: string): void {
    const into = byId('code');
    into.setAttribute('data-code', code);
    into.setAttribute('aria-label', `${t.tvCodeLabel}: ${code.split('').join(' ')}`);
    this.tiles(code);
  }

  /** Marks the code as new. */
  newCode(isNew: boolean): void {
    byId('code').setAttribute('data-new', String(isNew));
  }

  newCodeButton(visible: boolean): void {
    show(byId('new-code'), visible);
  }

  private tiles(code: string): void {
    const into = byId('code');
    into.setAttribute('data-length', String(code.length));
    into.textContent = '';
    groups(code).forEach((group, index) => {
      if (index) into.appendChild(document.createTextNode(' '));
      const box = document.createElement('span');
      box.className = 'group';
      group.split('').forEach((char) => {
        const tile = document.createElement('span');
        tile.className = 'tile';
        tile.textContent = char;
        box.appendChild(tile);
      });
      into.appendChild(box);
    });
  }

  address(info: Info, code: string): void {
    const address = `${reachableOrigin(info)}/cast`;
    const text = withoutScheme(address);
    setText(byId('address'), text);
    byId('address').setAttribute('data-long', String(text.length > 30));
    if (code) drawQr(byId('qr'), `${address}?code=${code}`, t.tvQrLabel);
  }

  /** The TV's own name. */
  name(name: string): void {
    document.title = t.tvTitleNamed(name);
    const shown = byId('tv-name');
    setText(shown, name);
    shown.setAttribute('data-long', String(name.length > 16));
    show(shown, true);
  }

  status(sentence: Sentence, tone: Tone): void {
    byId('status').setAttribute('data-tone', tone);
    write(byId('status-text'), sentence);
  }

  failure(failure: TvFailure | null): void {
    const status = byId('status');
    if (failure) {
      status.setAttribute('data-verdict', failure.code);
      status.setAttribute('data-side', failure.side);
    } else {
      status.removeAttribute('data-verdict');
      status.removeAttribute('data-side');
    }
  }

  /** `paused`: the sentence says that there is no new picture. */
  banner(sentence: Sentence | null, paused = false): void {
    const banner = byId('banner');
    show(banner, sentence !== null);
    banner.setAttribute('data-paused', String(paused));
    if (sentence) write(byId('banner-text'), sentence);
    else setText(byId('banner-text'), '');
  }

  /** What a key does now. */
  prompt(text: string | null): void {
    show(byId('prompt'), text !== null);
    setText(byId('prompt'), text ?? '');
  }

  soundHint(visible: boolean): void {
    show(byId('sound-hint'), visible);
  }

  /** The statistics. */
  details(visible: boolean): boolean {
    show(byId('overlay'), visible);
    return visible;
  }

  get detailsShown(): boolean {
    return !byId('overlay').hidden;
  }
}

export function toggleFullScreen(): void {
  const root = document.documentElement as HTMLElement & { webkitRequestFullscreen?: () => void };
  const doc = document as Document & { webkitFullscreenElement?: Element; webkitExitFullscreen?: () => void };
  const leaving = doc.fullscreenElement || doc.webkitFullscreenElement;
  const call = leaving
    ? (doc.exitFullscreen ?? doc.webkitExitFullscreen)?.call(doc)
    : (root.requestFullscreen ?? root.webkitRequestFullscreen)?.call(root);
  if (call) call.catch(() => undefined);
}
