import { apiUrl } from './api';

/** The server sends an event every two seconds. */
const SILENCE_MS = 10_000;
const FIRST_PAUSE_MS = 2000;
const MAX_PAUSE_MS = 15_000;
/** A page that nobody sees needs no stream. */
const HIDDEN_MS = 30_000;

export interface LiveOptions {
  /** The stream's name of the view. */
  view: string;
  events: string[];
  /** `null`: the data were no JSON. */
  received: (event: string, data: unknown) => void;
  /** The stream is open, again or for the first time. */
  opened: () => void;
  /** Whether events come. */
  changed: (live: boolean) => void;
  ended: () => void;
}

/** The stream of server-sent events for one view. It opens again by itself, and says when nothing comes. */
export class Live {
  private source: EventSource | null = null;
  private heard = Date.now();
  private live = false;
  private pause = FIRST_PAUSE_MS;
  private retry = 0;
  private hide = 0;
  private readonly watch: number;
  private readonly seen = () => this.visibility();

  constructor(private readonly options: LiveOptions) {
    this.open();
    this.watch = window.setInterval(() => this.check(), 1000);
    document.addEventListener('visibilitychange', this.seen);
  }

  close(): void {
    clearInterval(this.watch);
    clearTimeout(this.hide);
    document.removeEventListener('visibilitychange', this.seen);
    this.shut();
  }

  private open(): void {
    this.shut();
    const { view, events, received, opened, ended } = this.options;
    const source = new EventSource(apiUrl(`events?view=${view}`));
    this.source = source;
    this.heard = Date.now();
    source.onopen = () => {
      this.pause = FIRST_PAUSE_MS;
      this.hear();
      opened();
    };
    source.onerror = () => {
      this.set(false);
      // An answer that is no stream ends it for good; otherwise the browser tries again by itself.
      if (source.readyState === EventSource.CLOSED) this.later();
    };
    source.addEventListener('signed-out', () => {
      this.close();
      ended();
    });
    events.forEach((event) => {
      source.addEventListener(event, (message) => {
        this.hear();
        received(event, parsed((message as MessageEvent<string>).data));
      });
    });
  }

  private shut(): void {
    clearTimeout(this.retry);
    this.source?.close();
    this.source = null;
  }

  private later(): void {
    this.shut();
    this.retry = window.setTimeout(() => this.open(), this.pause);
    this.pause = Math.min(2 * this.pause, MAX_PAUSE_MS);
  }

  private hear(): void {
    this.heard = Date.now();
    this.set(true);
  }

  private set(live: boolean): void {
    if (this.live === live) return;
    this.live = live;
    this.options.changed(live);
  }

  private check(): void {
    if (!this.source || Date.now() - this.heard < SILENCE_MS) return;
    // A connection may have died without a word.
    this.set(false);
    this.later();
  }

  private visibility(): void {
    clearTimeout(this.hide);
    if (document.visibilityState === 'hidden') this.hide = window.setTimeout(() => this.shut(), HIDDEN_MS);
    else if (!this.source) this.open();
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
