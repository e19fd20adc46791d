import { look, Newest } from './api';
import { make } from './build';
import { showLines, showText, type Line } from './cells';
import { shown } from './format';
import { checkbox, List, searchField } from './list';
import type { Rows, SettingRow } from './rows';
import { a } from './texts';
import type { View } from './view';

function valueLines({ value, default: usual, secret }: SettingRow): (Line | false)[] {
  const given = value === null ? (usual === null || usual === '' ? a.valueUnset : shown(usual)) : secret ? a.valueSecret : shown(value);
  const other = value !== null && !secret && usual !== null && usual !== '' && usual !== value;
  return [{ text: given, hint: value === null }, other && { text: a.valueDefault(shown(usual)), hint: true }];
}

export function settingsView(): View {
  let [search, onlySet] = ['', false];
  let all: SettingRow[] = [];
  const list = new List<SettingRow>({
    name: 'settings', caption: a.settingsCaption, idOf: ({ name }) => name, none: make('p', { class: 'nothing' }, a.settingsNoneFound), ordered: true,
    columns: [
      { name: 'name', label: a.setting, heads: true, show: (cell, { name }) => showText(cell, name) },
      { name: 'value', label: a.value, show: (cell, row) => showLines(cell, valueLines(row)) },
    ],
  });
  const fits = (row: SettingRow) =>
    (!onlySet || row.value !== null) && `${row.name} ${row.secret ? '' : row.value ?? row.default ?? ''}`.toLowerCase().indexOf(search) >= 0;
  const filter = () => list.update(all.filter(fits));
  const newest = new Newest<Rows<SettingRow>>(({ rows }) => {
    all = rows;
    filter();
  });
  const tools = make(
    'div',
    { class: 'tools' },
    searchField(a.settingsSearch, (text) => {
      search = text.toLowerCase();
      filter();
    }),
    checkbox(a.settingsSet, (checked) => {
      onlySet = checked;
      filter();
    }),
  );
  return {
    name: 'settings', title: a.viewSettings, stream: 'now',
    element: make('div', {}, make('p', { class: 'lead' }, a.settingsHint), tools, list.element),
    load: () => newest.ask(() => look('settings')),
  };
}
