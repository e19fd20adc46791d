import { setText } from '../lib/dom';
import { make, setAttribute } from './build';
import { absolute, browserOf, rate, percent, shortened, shown, since } from './format';
import type { MediaRow, PartyRow } from './rows';
import { a } from './texts';

/** One line of a cell. */
export interface Line {
  text: string;
  /** Smaller, and less important. */
  hint?: boolean;
  title?: string | null;
}

/** A line with a client's text: on one line, cut, with all of it in the title. */
export function clientLine(text: string, hint = false): Line {
  const whole = shown(text);
  const short = shortened(whole);
  return { text: short, hint, title: short === whole ? null : whole };
}

/** Shows lines in a cell. Each one is isolated: its direction of writing does not affect the others. */
export function showLines(cell: HTMLElement, lines: (Line | null | false)[]): void {
  const wanted = lines.filter(Boolean) as Line[];
  wanted.forEach((line, at) => {
    let element = cell.children[at];
    if (!element) cell.append((element = make('span', {}, make('bdi'))));
    setAttribute(element, 'class', line.hint ? 'line hint' : 'line');
    setAttribute(element, 'title', line.title ?? null);
    setText(element.firstElementChild!, line.text);
  });
  while (cell.children.length > wanted.length) cell.lastElementChild!.remove();
}

export const showText = (cell: HTMLElement, text: string) => showLines(cell, [{ text }]);

/** How long ago something began. */
export const showSince = (cell: HTMLElement, seconds: number) => showLines(cell, [{ text: since(seconds), title: absolute(seconds) }]);

export function partyLines(party: PartyRow): (Line | null)[] {
  return [
    party.name ? clientLine(party.name) : null,
    party.user ? clientLine(a.signedInUser(shown(party.user)), Boolean(party.name)) : null,
    { text: party.address ?? a.away, hint: Boolean(party.name || party.user) },
    party.agent ? { text: browserOf(party.agent), hint: true, title: shown(party.agent) } : null,
  ];
}

const RELAYED = /^relay\/(\w+)$/;

function pathText(path: string | null): string {
  if (!path) return a.none;
  const relayed = RELAYED.exec(path);
  if (relayed) return a.pathRelay(relayed[1]!.toUpperCase());
  return path === 'direct' ? a.pathDirect : shown(path);
}

export const showPath = (cell: HTMLElement, { path, rttMs }: MediaRow) =>
  showLines(cell, [{ text: pathText(path) }, rttMs !== null && { text: a.rtt(Math.round(rttMs)), hint: true }]);
export const showRate = (cell: HTMLElement, { kbps }: MediaRow) => showText(cell, kbps === null ? a.none : rate(kbps));
export const showLoss = (cell: HTMLElement, { loss }: MediaRow) => showText(cell, loss === null ? a.none : percent(loss));
