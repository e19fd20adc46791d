import { change } from './api';
import { askTo, type Choice, type Values } from './dialog';
import { isolated } from './format';
import type { PartyRow } from './rows';
import { a } from './texts';

const HOUR = 3600;
const TIMES = () => [
  { value: String(HOUR), label: a.blockHour },
  { value: String(24 * HOUR), label: a.blockDay },
  { value: String(7 * 24 * HOUR), label: a.blockWeek },
  { value: '', label: a.blockForever },
];

export interface Ending {
  title: string;
  hint: string;
  confirm: string;
  done: string;
  /** Shows the list without it. */
  reload: () => void;
}

/** Ends what has this id, after a question. */
export function end(id: string, { title, hint, confirm, done, reload }: Ending): void {
  askTo({ title, hint, confirm, ends: true, act: () => changed('end', { id }, done, reload) });
}

/** Makes a change, and returns the sentence for it. */
export async function changed(path: string, body: object, done: string, reload: () => void): Promise<string> {
  await change(path, body);
  reload();
  return done;
}

export interface Blockable {
  target: string;
  label: string;
}

/** The addresses and users of parties, each once. */
export function blockables(parties: (PartyRow | null)[], label: (address: string, at: number) => string): Blockable[] {
  const found: Blockable[] = [];
  const add = (target: string, text: string) => found.some((other) => other.target === target) || found.push({ target, label: text });
  parties.forEach((party, at) => party?.address && add(party.address, label(party.address, at)));
  parties.forEach((party) => party?.user && add(`user:${party.user}`, a.blockUser(isolated(party.user))));
  return found;
}

/** Asks whom to block, and for how long. Without `whom`, the operator types it. */
export function block(whom: Blockable[] | null, reload: () => void): void {
  const choices: Choice[] = (whom ?? []).map(({ target, label }) => ({ value: target, label }));
  askTo({
    title: a.blockTitle,
    hint: a.blockHint,
    fields: [
      whom ? { kind: 'choice', name: 'target', label: a.blockWho, choices } : { kind: 'text', name: 'target', label: a.blockTarget },
      { kind: 'choice', name: 'seconds', label: a.blockTime, choices: TIMES() },
    ],
    confirm: a.block,
    ends: true,
    check: ({ target }) => (target ? null : a.blockTargetMissing),
    act: ({ target, seconds }: Values) =>
      changed('block', { target, seconds: seconds ? Number(seconds) : null }, a.blockDone(isolated(target!)), reload),
  });
}

export function unblock(target: string, hint: string, reload: () => void): void {
  askTo({
    title: a.unblockOf(isolated(target)),
    hint,
    confirm: a.unblock,
    act: () => changed('unblock', { target }, a.unblockDone(isolated(target)), reload),
  });
}
