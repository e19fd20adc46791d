import { block, end, type Blockable } from './acts';
import { look, Newest } from './api';
import { make } from './build';
import { clientLine, showLines, showSince, type Line } from './cells';
import { bytes, duration, hostOf, isolated } from './format';
import { List, nothing, Pager, searchField, type Action, type Column } from './list';
import type { AllocationRow, Page } from './rows';
import { a } from './texts';
import type { View } from './view';

const PAGE_ROWS = 50;
/** Addresses of a cell that are shown; the others are counted. */
const MAX_ADDRESSES = 3;

function addressLines(addresses: string[], count: number): (Line | null)[] {
  const lines = addresses.slice(0, MAX_ADDRESSES).map((text): Line => ({ text }));
  const left = count - lines.length;
  return lines.length ? [...lines, left > 0 ? { text: a.more(left), hint: true } : null] : [{ text: a.none }];
}

const COLUMNS: Column<AllocationRow>[] = [
  { name: 'since', label: a.since, show: (cell, row) => showSince(cell, row.since) },
  {
    name: 'user', label: a.user, heads: true,
    show: (cell, row) => showLines(cell, [row.user ? clientLine(row.user) : { text: a.anonymous, hint: true }, { text: a.scope(row.scope), hint: true }]),
  },
  { name: 'client', label: a.client, show: (cell, row) => showLines(cell, [{ text: hostOf(row.client) }, { text: a.overTransport(row.client.replace(/^.*:/, ''), row.transport), hint: true }]) },
  { name: 'relayed', label: a.relayed, show: (cell, row) => showLines(cell, addressLines(row.relayed, row.relayed.length)) },
  { name: 'peers', label: a.peers, show: (cell, row) => showLines(cell, addressLines(row.peers, row.peerCount)) },
  {
    name: 'bytes', label: a.bytes, figures: true,
    show: (cell, row) => showLines(cell, [{ text: a.sent(bytes(row.sent)) }, { text: a.received(bytes(row.received)) }]),
  },
  { name: 'expires', label: a.expires, figures: true, show: (cell, row) => showLines(cell, [{ text: a.expiresIn(duration(row.expiresIn)) }]) },
];

const userOf = (row: AllocationRow) => (row.user ? isolated(row.user) : a.anonymous);

function whom(row: AllocationRow): Blockable[] {
  const host = hostOf(row.client);
  const address = { target: host, label: a.blockAddress(host) };
  // A name of scope clients is anyone’s, and a ban of it would hit the user who has it.
  return row.user && row.scope !== 'clients' ? [address, { target: `user:${row.user}`, label: a.blockUser(isolated(row.user)) }] : [address];
}

function actions(reload: () => void): Action<AllocationRow>[] {
  const of = (row: AllocationRow) => a.allocationOf(userOf(row), row.client);
  return [
    {
      name: 'end', label: a.end, ends: true, of,
      act: (row) => {
        const [user, client] = [userOf(row), row.client];
        end(row.id, { title: a.endAllocation(user, client), hint: a.endAllocationHint, confirm: a.end, done: a.endAllocationDone(user, client), reload });
      },
    },
    { name: 'block', label: a.block, of, act: (row) => block(whom(row), reload) },
  ];
}

export function allocationsView(): View {
  let search = '';
  const reload = () => void load().catch(() => {});
  const text = make('p', {});
  const none = nothing(a.allocationsNone, a.allocationsNoneHint);
  none.prepend(text);
  const list = new List<AllocationRow>({ name: 'allocations', caption: a.allocationsCaption, idOf: ({ id }) => id, columns: COLUMNS, actions: actions(reload), none });
  const pager = new Pager(PAGE_ROWS, reload);
  const newest = new Newest<Page<AllocationRow>>(({ rows, total }) => {
    if (!pager.update(rows.length, total)) return reload();
    noneFound(none, search ? a.allocationsNoneFound : null);
    list.update(rows);
  });
  const load = () => newest.ask(() => look(`allocations?search=${encodeURIComponent(search)}&${pager.query}`));
  const find = searchField(a.allocationsSearch, (wanted) => {
    search = wanted;
    pager.offset = 0;
    reload();
  });
  return {
    // The stream has the first rows of all; this view may show others.
    name: 'allocations', title: a.viewAllocations, stream: 'now', load, everySeconds: 5,
    element: make('div', {}, make('div', { class: 'tools' }, find), list.element, pager.element),
  };
}

/** Says that nothing was found, instead of that nothing is there. */
export function noneFound(none: HTMLElement, sentence: string | null): void {
  const [found, ...others] = Array.from(none.children) as HTMLElement[];
  found!.textContent = sentence ?? '';
  found!.hidden = sentence === null;
  others.forEach((other) => (other.hidden = sentence !== null));
}
