import { setText, show } from '../lib/dom';
import { block, unblock } from './acts';
import { look, Newest } from './api';
import { button, make } from './build';
import { clientLine, showLines, showText } from './cells';
import { absolute, clock, duration, isolated, shown, TIME } from './format';
import { checkbox, List, searchField } from './list';
import type { BanRow, LogLine, Rows, ThrottledRow } from './rows';
import { a } from './texts';
import type { View } from './view';

const MAX_LINES = 500;
/** The server's word for whoever blocks by a command. */
const BY_COMMAND = 'command line';

/** The lines of the log, the newest first. Lines that are shown already keep their elements. */
class Lines {
  readonly element: HTMLElement;
  private readonly list = make('ol', { class: 'lines-of-log', reversed: '' });
  private readonly none = make('p', { class: 'nothing' });
  last = 0;
  private lastTime = 0;
  private count = 0;
  private search = '';
  private onlyWarnings = false;

  constructor() {
    const filter = () => {
      Array.from(this.list.children).forEach((item) => this.judge(item as HTMLElement));
      this.complain();
    };
    const tools = make(
      'div',
      { class: 'tools' },
      searchField(a.logSearch, (text) => {
        this.search = text.toLowerCase();
        filter();
      }),
      checkbox(a.logWarnings, (checked) => {
        this.onlyWarnings = checked;
        filter();
      }),
    );
    this.element = make('section', { 'aria-labelledby': 'log-title' }, make('h2', { id: 'log-title' }, a.logLines), make('p', { class: 'hint' }, a.logCaption), tools, this.list, this.none);
    this.complain();
  }

  add(lines: LogLine[]): void {
    const newest = lines[lines.length - 1];
    // The numbers begin anew with the server.
    if (newest && newest.n < this.last && newest.at > this.lastTime) this.clear();
    lines.forEach((line) => line.n > this.last && this.prepend(line));
    while (this.count > MAX_LINES) {
      this.list.lastElementChild!.remove();
      this.count--;
    }
    this.complain();
  }

  private clear(): void {
    this.list.textContent = '';
    this.last = this.lastTime = this.count = 0;
  }

  private prepend({ n, at, level, text }: LogLine): void {
    const time = make('time', { datetime: new Date(at).toISOString(), title: absolute(at / 1000) }, TIME.format(at));
    const item = make('li', { 'data-level': level.toLowerCase() }, time, make('span', { class: 'level' }, level), make('bdi', {}, shown(text)));
    this.judge(item);
    this.list.prepend(item);
    this.last = n;
    this.lastTime = at;
    this.count++;
  }

  private judge(item: HTMLElement): void {
    const level = item.getAttribute('data-level')!;
    const text = (item.textContent ?? '').toLowerCase();
    show(item, (!this.onlyWarnings || level === 'warn' || level === 'error') && text.indexOf(this.search) >= 0);
  }

  private complain(): void {
    const empty = this.list.querySelector('li:not([hidden])') === null;
    setText(this.none, this.count ? a.logNoneFound : a.logNone);
    show(this.none, empty);
  }
}

function bansList(reload: () => void): List<BanRow> {
  return new List<BanRow>({
    name: 'bans', caption: a.blocked, idOf: ({ id }) => id, none: make('p', { class: 'hint' }, a.blockedNone), ordered: true,
    columns: [
      { name: 'target', label: a.target, heads: true, show: (cell, { target }) => showLines(cell, [clientLine(target)]) },
      {
        name: 'until', label: a.until,
        show: (cell, { until }) => showLines(cell, [until === null ? { text: a.untilEver } : { text: a.expiresIn(duration(until - clock())), title: absolute(until) }]),
      },
      { name: 'by', label: a.blockedBy, show: (cell, { by, since }) => showLines(cell, [{ ...clientLine(by === BY_COMMAND ? a.byCommand : by), title: absolute(since) }]) },
    ],
    actions: [{ name: 'unblock', label: a.unblock, of: ({ target }) => isolated(target), act: ({ target }) => unblock(target, a.unblockHint, reload) }],
  });
}

function throttledList(reload: () => void): List<ThrottledRow> {
  return new List<ThrottledRow>({
    name: 'throttled', caption: a.throttled, idOf: ({ address, kind }) => `${address} ${kind}`, none: make('p', { class: 'hint' }, a.throttledNone), ordered: true,
    columns: [
      { name: 'address', label: a.address, heads: true, show: (cell, { address }) => showText(cell, address) },
      { name: 'kind', label: a.guessed, show: (cell, { kind }) => showText(cell, shown(a.guessKind(kind))) },
      { name: 'wait', label: a.wait, figures: true, show: (cell, { wait }) => showText(cell, duration(wait)) },
    ],
    actions: [{ name: 'unblock', label: a.unblock, of: ({ address }) => address, act: ({ address }) => unblock(address, a.unblockThrottledHint, reload) }],
  });
}

export function logView(): View {
  const reload = () => void load().catch(() => {});
  const lines = new Lines();
  const [bans, throttled] = [bansList(reload), throttledList(reload)];
  const newest = new Newest<[Rows<BanRow>, Rows<ThrottledRow>]>(([banned, waiting]) => {
    bans.update(banned.rows);
    throttled.update(waiting.rows);
  });
  const load = async () => {
    const asked = newest.ask(() => Promise.all([look<Rows<BanRow>>('bans'), look<Rows<ThrottledRow>>('throttled')]));
    const { lines: given } = await look<{ lines: LogLine[] }>(`log?after=${lines.last}`);
    lines.add(given);
    await asked;
  };
  const card = (title: string, list: List<BanRow> | List<ThrottledRow>, ...more: Node[]) =>
    make('section', { class: 'card' }, make('h2', {}, title), list.element, ...more);
  return {
    name: 'log', title: a.viewLog, stream: 'log', load, everySeconds: 5,
    element: make(
      'div', {},
      card(a.blocked, bans, make('div', { class: 'buttons' }, button(a.blockTitle, { id: 'block' }, () => block(null, reload)))),
      card(a.throttled, throttled),
      lines.element,
    ),
    take: (event, data) => event === 'log' && lines.add((data as { lines?: LogLine[] }).lines ?? []),
    tick: () => bans.tick(),
  };
}
