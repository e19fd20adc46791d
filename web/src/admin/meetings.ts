import { at } from '../lib/base';
import { block, blockables, end } from './acts';
import { partyLines, showLines, showLoss, showPath, showRate, showSince, showText, type Line } from './cells';
import { isolated, shown } from './format';
import { nothing, type Action, type Column } from './list';
import { pagedView } from './paged';
import { MAX_ROWS, type CallRow, type PartyRow, type RoomRow } from './rows';
import { a } from './texts';
import type { View } from './view';

// Calls of AppRTC and rooms of RTCMultiConnection: both are rooms with members.

type Meeting = Omit<RoomRow, 'memberCount'>;

/** Members of a row that are shown; the others are counted. */
const MAX_MEMBERS = 5;

function membersLines(members: PartyRow[], count: number): (Line | null)[] {
  const lines = members.slice(0, MAX_MEMBERS).map((member): Line => {
    const [first, ...others] = partyLines(member).filter(Boolean) as Line[];
    const rest = others.map(({ text }) => text).join(' · ');
    const titles = [first!, ...others].map(({ text, title }) => title ?? text).join('\n');
    return { text: rest ? `${first!.text} · ${rest}` : first!.text, title: titles };
  });
  const left = count - lines.length;
  return [{ text: a.memberCount(count), hint: true }, ...lines, left > 0 ? { text: a.more(left), hint: true } : null];
}

const since: Column<Meeting> = { name: 'since', label: a.since, show: (cell, row) => showSince(cell, row.since) };
const room: Column<Meeting> = { name: 'room', label: a.room, heads: true, show: (cell, row) => showText(cell, shown(row.room)) };

interface Kind<R extends Meeting> {
  name: string;
  title: string;
  caption: string;
  columns: Column<R>[];
  none: HTMLElement;
  noneFound: string;
  of: (room: string) => string;
  closes: (room: string) => { title: string; hint: string; done: string };
}

function meetingsView<R extends Meeting>(kind: Kind<R>): View {
  const whom = (row: R) => blockables(row.members, a.blockAddress);
  const actionsOf = (reload: () => void): Action<R>[] => [
    {
      name: 'close', label: a.close, ends: true, of: (row) => kind.of(isolated(row.room)),
      act: (row) => end(row.id, { ...kind.closes(isolated(row.room)), confirm: a.close, reload }),
    },
    { name: 'block', label: a.block, of: (row) => kind.of(isolated(row.room)), offered: (row) => whom(row).length > 0, act: (row) => block(whom(row), reload) },
  ];
  return pagedView<R>({ ...kind, idOf: ({ id }) => id, actionsOf, streamed: true, size: MAX_ROWS, search: a.sessionsSearch });
}

export const callsView = () =>
  meetingsView<CallRow>({
    name: 'calls', title: a.viewCalls, caption: a.callsCaption, of: a.callOf,
    none: nothing(a.callsNone, a.callsNoneHint, ['/r', at('/r')]), noneFound: a.callsNoneFound,
    closes: (name) => ({ title: a.closeCall(name), hint: a.closeCallHint, done: a.closeCallDone(name) }),
    columns: [
      since,
      room,
      { name: 'members', label: a.members, show: (cell, { members }) => showLines(cell, membersLines(members, members.length)) },
      { name: 'path', label: a.path, show: (cell, { media }) => showPath(cell, media) },
      { name: 'rate', label: a.rate, figures: true, show: (cell, { media }) => showRate(cell, media) },
      { name: 'loss', label: a.loss, figures: true, show: (cell, { media }) => showLoss(cell, media) },
    ],
  });

export const roomsView = () =>
  meetingsView<RoomRow>({
    name: 'rooms', title: a.viewRooms, caption: a.roomsCaption, of: a.roomOf,
    none: nothing(a.roomsNone, a.roomsNoneHint), noneFound: a.roomsNoneFound,
    closes: (name) => ({ title: a.closeRoom(name), hint: a.closeRoomHint, done: a.closeRoomDone(name) }),
    columns: [
      since,
      room,
      { name: 'members', label: a.members, show: (cell, { members, memberCount }) => showLines(cell, membersLines(members, memberCount)) },
    ],
  });
