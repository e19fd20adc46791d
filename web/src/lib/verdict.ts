import { asVerdict as asServerVerdict, verdictText, type Evidence, type Side, type Verdict as ServerVerdict } from '@castway/client/parts';
import { language, t } from './i18n';

/** What stopped a connection, in the language of the page. */
export interface Verdict {
  /** `unknown` where the page has nothing but its own evidence. */
  code: string;
  side: Side;
  title: string;
  text: string;
  fix: string;
  /** A command that the operator can run. */
  command: string;
}

export function localized(verdict: ServerVerdict): Verdict {
  const { code, side, command } = verdict;
  return { code, side, command, ...verdictText(verdict, language) };
}

/** Null for anything but a verdict of the server. */
export function asVerdict(value: unknown): Verdict | null {
  const verdict = asServerVerdict(value);
  return verdict ? localized(verdict) : null;
}

/** What the page itself has seen, where the server gives no verdict. It names no cause. */
export function ownVerdict(title: string, evidence: Evidence | null): Verdict {
  return { code: 'unknown', side: 'unknown', title, text: evidence ? seen(evidence) : t.ownUnanswered, fix: '', command: '' };
}

function seen({ answered, relays, heard }: Evidence): string {
  if (!answered) return t.ownUnanswered;
  if (!relays) return t.iceFailedNoRelay;
  if (heard === 0) return t.ownNoneHeard;
  return heard === null ? t.ownNoPathOver : t.ownNoPath(heard, relays);
}

/** What an attempt that takes long waits for. `unanswered` is the sentence for a description that has not come. */
export function progress({ answered, relays, heard }: Evidence, unanswered: string): string {
  if (!answered) return unanswered;
  if (!relays) return t.tryingNoRelay;
  if (heard === 0) return t.tryingNoneHeard;
  return heard === null ? t.tryingOver : t.trying(heard, relays);
}
