import { copyText } from '../lib/dom';
import { block, changed } from './acts';
import { look, change } from './api';
import { button, make } from './build';
import { clientLine, showLines, showText, type Line } from './cells';
import { askTo, sentenceOf, tell } from './dialog';
import { announce } from './announce';
import { bytes, isolated, parseBytes, percent } from './format';
import { List, nothing, type Action, type Column } from './list';
import { pagedView } from './paged';
import type { Rows, UsageRow, UserRow } from './rows';
import { a } from './texts';

const PAGE_ROWS = 50;

const isStored = ({ kind }: UserRow) => kind === 'user' || kind === 'operator';
const mayRelay = ({ kind }: UserRow) => kind === 'user' || kind === 'signed';
/** Strangers' names of scope *clients* have no quota: they are free for everybody. */
const mayHaveQuota = (row: UserRow) => row.kind === 'user' || (row.kind === 'signed' && row.scope === 'anyone');
const nameOf = (row: UserRow) => (row.kind === 'others' ? a.kindOthers : isolated(row.name));

function nameLines(row: UserRow): (Line | false)[] {
  const kind = { user: '', operator: a.kindOperator, signed: a.kindSigned, others: '' }[row.kind];
  return [
    row.kind === 'others' ? { text: a.kindOthers } : clientLine(row.name),
    kind !== '' && { text: kind, hint: true },
    row.admin && { text: a.kindAdmin, hint: true },
    mayRelay(row) && row.scope !== '' && { text: a.scope(row.scope), hint: true },
  ];
}

const quotaLines = ({ quota, month }: UserRow): (Line | false)[] =>
  quota === null ? [{ text: a.quotaNone, hint: true }] : [{ text: bytes(quota) }, quota > 0 && { text: a.quotaPart(percent(month / quota)), hint: true }];

const COLUMNS: Column<UserRow>[] = [
  { name: 'name', label: a.name, heads: true, show: (cell, row) => showLines(cell, nameLines(row)) },
  { name: 'state', label: a.state, show: (cell, row) => showLines(cell, [isStored(row) ? { text: row.enabled ? a.enabled : a.disabled, hint: row.enabled } : { text: a.none }]) },
  { name: 'allocations', label: a.viewAllocations, figures: true, show: (cell, row) => showText(cell, String(row.allocations)) },
  { name: 'today', label: a.today, figures: true, show: (cell, row) => showText(cell, bytes(row.today)) },
  { name: 'month', label: a.month, figures: true, show: (cell, row) => showText(cell, bytes(row.month)) },
  { name: 'quota', label: a.quota, figures: true, show: (cell, row) => showLines(cell, quotaLines(row)) },
];

function disable(row: UserRow, reload: () => void): void {
  const name = isolated(row.name);
  askTo({
    title: a.disableUser(name), hint: row.kind === 'operator' ? a.disableOperatorHint : a.disableUserHint, confirm: a.disable, ends: true,
    act: () => changed('users/disable', { name: row.name }, a.disableDone(name), reload),
  });
}

function enable(row: UserRow, reload: () => void): void {
  const name = isolated(row.name);
  askTo({
    title: a.enableUser(name), hint: a.enableUserHint, confirm: a.enable,
    act: () => changed('users/enable', { name: row.name }, a.enableDone(name), reload),
  });
}

function showPassword(name: string, password: string): void {
  const code = make('code', { class: 'secret' }, password);
  const copy = button(a.copy, {}, async () => {
    if (await copyText(code)) copy.textContent = a.copied;
  });
  tell(a.passwordShown(name), a.passwordOnce, make('div', {}, make('div', { class: 'copied' }, code, copy)));
}

function newPassword(row: UserRow, reload: () => void): void {
  const name = isolated(row.name);
  let made = '';
  askTo({
    title: a.passwordOf(name), hint: a.passwordHint, confirm: a.newPassword, ends: true,
    act: async () => {
      made = (await change<{ password: string }>('users/password', { name: row.name })).password;
      reload();
      return a.passwordDone(name);
    },
    after: () => showPassword(name, made),
  });
}

function setQuota(row: UserRow, reload: () => void): void {
  const name = isolated(row.name);
  askTo({
    title: a.quotaOf(name), hint: a.quotaHint, confirm: a.quotaSave,
    fields: [{ kind: 'text', name: 'quota', label: a.quotaField, value: row.quota === null ? '' : bytes(row.quota), placeholder: '50G' }],
    check: ({ quota }) => (!quota || parseBytes(quota) !== null ? null : a.quotaWrong),
    act: ({ quota }) => {
      const limit = quota ? parseBytes(quota) : null;
      const done = limit === null ? a.quotaDoneNone(name) : a.quotaDone(name, bytes(limit));
      return changed('users/quota', { scope: row.scope, name: row.name, bytes: limit }, done, reload);
    },
  });
}

async function showUsage(row: UserRow): Promise<void> {
  const name = nameOf(row);
  try {
    const { rows } = await look<Rows<UsageRow>>(`usage?user=${encodeURIComponent(row.name)}&months=1`);
    const list = new List<UsageRow>({
      name: 'usage', caption: a.usageOf(name), idOf: ({ period, scope }) => `${period} ${scope}`, ordered: true,
      columns: [
        { name: 'period', label: a.usageMonth, heads: true, show: (cell, { period }) => showText(cell, period) },
        { name: 'bytes', label: a.bytes, figures: true, show: (cell, usage) => showText(cell, bytes(usage.bytes)) },
      ],
      none: make('p', {}, a.usageNone),
    });
    list.update(rows.filter(({ name: of, scope }) => of === row.name && (!row.scope || scope === row.scope)));
    tell(a.usageOf(name), '', make('div', {}, list.element));
  } catch (error) {
    announce(sentenceOf(error));
  }
}

function actions(reload: () => void): Action<UserRow>[] {
  return [
    { name: 'disable', label: a.disable, of: nameOf, ends: true, offered: (row) => isStored(row) && row.enabled, act: (row) => disable(row, reload) },
    { name: 'enable', label: a.enable, of: nameOf, offered: (row) => isStored(row) && !row.enabled, act: (row) => enable(row, reload) },
    { name: 'password', label: a.newPassword, of: nameOf, offered: isStored, act: (row) => newPassword(row, reload) },
    { name: 'quota', label: a.setQuota, of: nameOf, offered: mayHaveQuota, act: (row) => setQuota(row, reload) },
    { name: 'usage', label: a.usage, of: nameOf, offered: (row) => row.kind !== 'operator', act: (row) => void showUsage(row) },
    {
      name: 'block', label: a.block, of: nameOf, offered: mayRelay,
      act: (row) => block([{ target: `user:${row.name}`, label: a.blockUser(isolated(row.name)) }], reload),
    },
  ];
}

export const usersView = () =>
  pagedView<UserRow>({
    name: 'users', title: a.viewUsers, caption: a.usersCaption, idOf: ({ kind, scope, name }) => `${kind} ${scope} ${name}`, columns: COLUMNS,
    actionsOf: actions, ordered: true, size: PAGE_ROWS, none: nothing(a.usersNone, a.usersNoneHint), search: a.usersSearch, noneFound: a.usersNoneFound,
  });
