import type { Side, TvFailure } from '@castway/client';
import { t } from '../lib/i18n';

export function sentence({ side, told }: TvFailure): string {
  const sentences: Record<Side, string> = {
    caster: t.tvFailedCaster,
    tv: t.tvFailedTv,
    both: t.tvFailedBoth,
    server: t.tvFailedServer,
    unknown: t.tvFailedUnknown,
  };
  return told ? t.tvCasterKnows(sentences[side]) : t.tvOperatorFinds(sentences[side]);
}
