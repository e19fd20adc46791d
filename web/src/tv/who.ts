import type { CasterDetails } from '@castway/client';
import { t } from '../lib/i18n';
import { plain, withNames, type Sentence } from './sentence';

/** Who casts, for the first seconds of a picture; null if there is nothing to say. */
export function whoCasts({ name, displaced }: CasterDetails): Sentence | null {
  if (!displaced) return name ? withNames(t.tvCasting, name) : null;
  if (!name) return plain(t.tvTookOverUnknown);
  return displaced.name ? withNames(t.tvTookOver, name, displaced.name) : withNames(t.tvTookOverAlone, name);
}

export function whoJoins(name: string | null): Sentence {
  return name ? withNames(t.tvJoinedName, name) : plain(t.tvJoined);
}

export function whoPaused(name: string | null): Sentence {
  return name ? withNames(t.tvPausedBy, name) : plain(t.tvPaused);
}
