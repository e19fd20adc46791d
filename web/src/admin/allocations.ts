import { block, end, type Blockable } from './acts';
import { clientLine, showLines, showSince, type Line } from './cells';
import { bytes, duration, hostOf, isolated } from './format';
import { nothing, type Action, type Column } from './list';
import { pagedView } from './paged';
import type { AllocationRow } from './rows';
import { a } from './texts';

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

export const allocationsView = () =>
  pagedView<AllocationRow>({
    name: 'allocations', title: a.viewAllocations, caption: a.allocationsCaption, idOf: ({ id }) => id, columns: COLUMNS, actionsOf: actions,
    size: PAGE_ROWS, none: nothing(a.allocationsNone, a.allocationsNoneHint), search: a.allocationsSearch, noneFound: a.allocationsNoneFound,
  });
