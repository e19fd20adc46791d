import { at } from '../lib/base';
import { block, blockables, changed, end } from './acts';
import { partyLines, showLines, showLoss, showPath, showRate, showSince, type Line } from './cells';
import { askTo } from './dialog';
import { isolated } from './format';
import { nothing, type Action, type Column } from './list';
import { pagedView } from './paged';
import { MAX_ROWS, type CastRow } from './rows';
import { a } from './texts';

/** The TV in the middle of a sentence. */
const tvOf = ({ tv, code }: CastRow) => (tv.name ? a.tvNamed(isolated(tv.name), code) : code);

function tvLines(row: CastRow): (Line | null)[] {
  const [name, ...others] = partyLines(row.tv);
  return [name ?? null, { text: row.code, hint: Boolean(name) }, ...others];
}

const COLUMNS: Column<CastRow>[] = [
  { name: 'since', label: a.since, show: (cell, row) => showSince(cell, row.since) },
  { name: 'tv', label: a.tv, heads: true, show: (cell, row) => showLines(cell, tvLines(row)) },
  { name: 'caster', label: a.caster, show: (cell, { caster }) => showLines(cell, caster ? partyLines(caster) : [{ text: a.casterNone, hint: true }]) },
  { name: 'path', label: a.path, show: (cell, { media }) => showPath(cell, media) },
  { name: 'rate', label: a.rate, figures: true, show: (cell, { media }) => showRate(cell, media) },
  { name: 'loss', label: a.loss, figures: true, show: (cell, { media }) => showLoss(cell, media) },
];

const whom = ({ tv, caster }: CastRow) => blockables([caster, tv], (address, party) => (party ? a.blockTv : a.blockCaster)(address));

function actions(reload: () => void): Action<CastRow>[] {
  return [
    {
      name: 'end', label: a.end, ends: true, of: (row) => a.castOf(tvOf(row)), offered: (row) => row.caster !== null,
      act: (row) => end(row.id, { title: a.endCast(tvOf(row)), hint: a.endCastHint, confirm: a.end, done: a.endCastDone(tvOf(row)), reload }),
    },
    {
      name: 'new-code', label: a.newCode, of: tvOf, offered: (row) => row.mayChangeCode,
      act: (row) => askTo({
        title: a.newCodeOf(tvOf(row)), hint: a.newCodeHint, confirm: a.newCode,
        act: () => changed('new-code', { id: row.id }, a.newCodeDone(tvOf(row)), reload),
      }),
    },
    { name: 'block', label: a.block, of: (row) => a.castOf(tvOf(row)), offered: (row) => whom(row).length > 0, act: (row) => block(whom(row), reload) },
  ];
}

export const castsView = () =>
  pagedView<CastRow>({
    name: 'casts', title: a.viewCasts, caption: a.castsCaption, idOf: ({ id }) => id, columns: COLUMNS, actionsOf: actions, streamed: true,
    size: MAX_ROWS, none: nothing(a.castsNone, a.castsNoneHint, ['/tv', at('/tv')]), search: a.sessionsSearch, noneFound: a.castsNoneFound,
  });
