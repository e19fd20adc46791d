import { byId, setText } from '../lib/dom';
import { allocationsView } from './allocations';
import { announce } from './announce';
import { look } from './api';
import { make, setAttribute } from './build';
import { callsView, roomsView } from './meetings';
import { castsView } from './casts';
import { checkView } from './check';
import { closeDialogs, sentenceOf } from './dialog';
import { Live } from './live';
import { logView } from './log';
import { nowView } from './now';
import type { Now } from './rows';
import { settingsView } from './settings';
import { a } from './texts';
import { usersView } from './users';
import type { View } from './view';

const TICK_MS = 5000;
/** Without a stream, the page asks for what it shows. */
const ASK_SECONDS = 5;

const VIEWS: [string, string, () => View][] = [
  ['now', a.viewNow, nowView],
  ['casts', a.viewCasts, castsView],
  ['calls', a.viewCalls, callsView],
  ['rooms', a.viewRooms, roomsView],
  ['allocations', a.viewAllocations, allocationsView],
  ['users', a.viewUsers, usersView],
  ['check', a.viewCheck, checkView],
  ['log', a.viewLog, logView],
  ['settings', a.viewSettings, settingsView],
];

/** The rail's counts, by view. */
const COUNTED: Record<string, keyof Now> = { casts: 'casts', calls: 'calls', rooms: 'rooms', allocations: 'allocations' };

/** What a signed-in operator sees: the rail, and one view. */
export class Room {
  private readonly links: Record<string, HTMLElement> = {};
  private readonly counts: Record<string, HTMLElement> = {};
  private readonly routed = () => this.route();
  private readonly timer: number;
  private view: View | null = null;
  private live: Live | null = null;
  private isLive = false;
  private seconds = 0;

  constructor(private readonly ended: () => void) {
    this.drawRail();
    addEventListener('hashchange', this.routed);
    this.timer = window.setInterval(() => this.tick(), 1000);
    this.route();
  }

  close(): void {
    removeEventListener('hashchange', this.routed);
    clearInterval(this.timer);
    this.live?.close();
    closeDialogs();
    // Nothing of a session stays behind it.
    byId('view').textContent = '';
    byId('rail').textContent = '';
  }

  private drawRail(): void {
    const list = make('ul', {});
    VIEWS.forEach(([name, title]) => {
      const count = make('span', { class: 'count' });
      const link = make('a', { href: `#${name}` }, make('span', {}, title), count);
      this.links[name] = link;
      this.counts[name] = count;
      list.append(make('li', {}, link));
    });
    byId('rail').textContent = '';
    byId('rail').append(list);
  }

  private route(): void {
    const wanted = location.hash.slice(1);
    const [name, , create] = VIEWS.filter(([known]) => known === wanted)[0] ?? VIEWS[0]!;
    if (this.view && this.view.name === name) return;
    closeDialogs();
    this.live?.close();
    const view = create();
    this.view = view;
    Object.keys(this.links).forEach((other) => setAttribute(this.links[other]!, 'aria-current', other === name ? 'page' : null));
    setText(byId('view-title'), view.title);
    document.title = a.titleOf(view.title);
    const place = byId('view');
    setAttribute(place, 'data-view', name);
    setAttribute(place, 'data-loaded', null);
    place.textContent = '';
    place.append(view.element);
    scrollTo(0, 0);
    this.listen(view);
  }

  private listen(view: View): void {
    this.showLive(null);
    void this.load(view);
    this.live = new Live({
      view: view.stream,
      events: view.stream === 'now' ? ['now'] : ['now', view.stream],
      received: (event, data) => data && this.received(event, data),
      opened: () => void this.load(view),
      changed: (live) => this.showLive(live),
      ended: this.ended,
    });
  }

  private received(event: string, data: unknown): void {
    if (event === 'now') this.showCounts(data as Now);
    this.view!.take?.(event, data);
  }

  private async load(view: View): Promise<void> {
    try {
      await view.load();
      if (view === this.view) byId('view').setAttribute('data-loaded', '');
    } catch (error) {
      // Without a connection the head of the page says so.
      if (view === this.view && this.isLive) announce(sentenceOf(error));
    }
  }

  private tick(): void {
    const view = this.view!;
    this.seconds++;
    if (this.seconds % (TICK_MS / 1000) === 0) view.tick?.();
    if (document.visibilityState === 'hidden') return;
    const every = this.isLive ? view.everySeconds : view.everySeconds ?? ASK_SECONDS;
    if (!every || this.seconds % every !== 0) return;
    if (this.isLive) void view.load().catch(() => {});
    else void this.askAgain(view);
  }

  /** Where no stream is open. The head says whether the server answers at all. */
  private async askAgain(view: View): Promise<void> {
    try {
      this.showCounts(await look<Now>('now'));
      await view.load();
      if (!this.isLive) setText(byId('live-text'), a.notLive);
    } catch {
      if (!this.isLive) setText(byId('live-text'), a.offline);
    }
  }

  private showCounts(now: Now): void {
    Object.keys(COUNTED).forEach((name) => setText(this.counts[name]!, String(now[COUNTED[name]!] || '')));
  }

  /** `null`: it is being opened. */
  private showLive(live: boolean | null): void {
    // From one view to the next, the stream opens so quickly that it is not worth a word.
    if (live === null && this.isLive) return;
    this.isLive = live === true;
    byId('live').setAttribute('data-tone', live ? 'good' : 'busy');
    setText(byId('live-text'), live ? a.live : a.connecting);
  }
}

