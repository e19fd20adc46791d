import { look, Newest } from './api';
import { make } from './build';
import { List, Pager, searchField, type Action, type ListOptions } from './list';
import type { Page } from './rows';
import type { View } from './view';

/** How often rows are asked for that no stream has. */
const ASK_SECONDS = 5;

export interface PagedOptions<R> extends ListOptions<R> {
  none: HTMLElement;
  /** The view's title. */
  title: string;
  /** Rows of one part. */
  size: number;
  /** What the search field says. */
  search: string;
  /** What stands here when the search finds no row. */
  noneFound: string;
  /** What can be done to a row; `reload` shows what has come of it. */
  actionsOf: (reload: () => void) => Action<R>[];
  /** The stream has the first part of the whole list. */
  streamed?: boolean;
}

/** A view of a list that comes in parts, and that a search narrows down. Its name is the server's. */
export function pagedView<R>(options: PagedOptions<R>): View {
  const { name, title, size, none, noneFound, streamed } = options;
  let search = '';
  const reload = () => void load().catch(() => {});
  none.prepend(make('p', {}));
  const list = new List<R>({ ...options, actions: options.actionsOf(reload) });
  const pager = new Pager(size, reload);
  const newest = new Newest<Page<R>>(({ rows, total }) => {
    if (!pager.update(rows.length, total)) return reload();
    sayNoneFound(none, search ? noneFound : null);
    list.update(rows);
  });
  const load = () => newest.ask(() => look(`${name}?search=${encodeURIComponent(search)}&${pager.query}`));
  const find = searchField(options.search, (wanted) => {
    search = wanted;
    pager.offset = 0;
    reload();
  });
  const isStreamed = () => Boolean(streamed) && !search && pager.offset === 0;
  return {
    name, title, load,
    stream: streamed ? name : 'now',
    get everySeconds() {
      return isStreamed() ? undefined : ASK_SECONDS;
    },
    element: make('div', {}, make('div', { class: 'tools' }, find), list.element, pager.element),
    take: (event, data) => event === name && isStreamed() && newest.take(data as Page<R>),
    tick: () => list.tick(),
  };
}

/** Says that nothing was found, instead of that nothing is there. */
function sayNoneFound(none: HTMLElement, sentence: string | null): void {
  const [found, ...others] = Array.from(none.children) as HTMLElement[];
  found!.textContent = sentence ?? '';
  found!.hidden = sentence === null;
  others.forEach((other) => (other.hidden = sentence !== null));
}
