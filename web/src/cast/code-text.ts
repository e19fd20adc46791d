import type { CodeState } from '@castway/client';
import { t } from '../lib/i18n';
import { quoted } from '../lib/quoted';

export interface CodeStatus {
  /** For tests and styles. */
  id: 'none' | 'asking' | 'unknown' | 'ready' | 'busy' | 'taken' | 'own' | 'away';
  tone: 'good' | 'busy' | 'warn' | 'bad';
  text: string;
}

/** The sentence under the field of the code. */
export function codeStatus(state: CodeState): CodeStatus {
  if (state.kind === 'asking') return { id: 'asking', tone: 'busy', text: t.checkingCode };
  if (state.kind === 'unknown') return { id: 'unknown', tone: 'bad', text: t.codeUnknown };
  if (state.kind !== 'known') return { id: 'none', tone: 'busy', text: '' };
  const { check } = state;
  const tv = quoted(check.tv.name);
  const { caster } = check;
  if (caster && caster.own) return { id: 'own', tone: 'good', text: t.codeOwn(tv ?? t.thisTv) };
  if (caster) {
    const who = quoted(caster.username) ?? t.somebody;
    if (check.takeover) return { id: 'busy', tone: 'warn', text: t.codeBusy(who, tv ?? t.thisTv) };
    return { id: 'taken', tone: 'bad', text: t.codeTaken(who, tv ?? t.thisTv) };
  }
  if (check.tv.away) return { id: 'away', tone: 'warn', text: t.codeAway(tv ?? t.someTv) };
  return { id: 'ready', tone: 'good', text: t.codeReady(tv ?? t.someTv) };
}

/** Who would be replaced, as far as a person can tell two of them apart; null if nobody would. */
export function replacedBy(state: CodeState): string | null {
  if (state.kind !== 'known') return null;
  const { caster } = state.check;
  return caster && !caster.own ? (caster.username ?? '') : null;
}
