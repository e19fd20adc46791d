import type { TvScreen } from '../codecs';
import type { ClientOptions } from '../options';
import type { StateEvents } from '../state-emitter';
import type { Side } from '../verdict';

export interface TvOptions extends ClientOptions {
  /** The TV's name, which casters see; at most 40 characters. */
  name?: string | null | undefined;
  /**
   * What the TV can show, which casters take into account: what `readScreen` finds out, unless it is given; null tells nothing. A promise
   * of it delays the code by a second at most.
   */
  screen?: TvScreen | null | Promise<TvScreen | null> | undefined;
  /** Where the resume token is kept, so that the TV keeps its code: a key of localStorage, or null. */
  storageKey?: string | null | undefined;
}

export type TvState = 'unsupported' | 'replaced' | 'connecting' | 'waiting' | 'starting' | 'playing';

/** Why a cast shows no picture. The TV still tries. */
export interface TvFailure {
  /** The verdict's code, or `unknown`. */
  code: string;
  side: Side;
  /** The caster has been told the verdict. */
  told: boolean;
}

/** Who casts. */
export interface CasterDetails {
  /** Ready to be shown: one line of at most 40 characters. */
  name: string | null;
  /** The caster from which this one has taken over; null if it has not. */
  displaced: { name: string | null } | null;
}

/** How a cast has ended: `left`, `lost`, `ended` (by this TV), `ended_by_operator` (of the server), `taken_over`, or `ice_failed`. */
export type CastEnd = 'left' | 'lost' | 'ended' | 'ended_by_operator' | 'taken_over' | 'ice_failed';

export interface TvEvents extends StateEvents<TvState> {
  /** The TV has a new code. `reason`: `idle`, `cast_ended` or `asked`; null for the first one. */
  code: { code: string; reason: string | null };
  /** The stream to show; null if there is none any more. */
  stream: MediaStream | null;
  caster: CasterDetails | null;
  /** `failure`: why there was no picture. */
  ended: { why: CastEnd; failure: TvFailure | null };
}
