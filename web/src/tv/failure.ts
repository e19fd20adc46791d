import { t } from '../lib/i18n';
import type { Side } from '../lib/verdict';

/** Why a cast shows no picture. */
export interface Failure {
  code: string;
  side: Side;
  /** The caster's page has been told the verdict. */
  told: boolean;
}

export function sentence({ side, told }: Failure): string {
  const sentences: Record<Side, string> = {
    caster: t.tvFailedCaster,
    tv: t.tvFailedTv,
    both: t.tvFailedBoth,
    server: t.tvFailedServer,
    unknown: t.tvFailedUnknown,
  };
  return told ? t.tvCasterKnows(sentences[side]) : t.tvOperatorFinds(sentences[side]);
}
