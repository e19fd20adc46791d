/** Casts a screen to a TV that shows a code: both sides of Castway's cast flow, for browsers. */
export { Caster, castTo, type CasterEvents, type CasterOptions, type CasterState, type CastOptions } from './caster/caster';
export type { CastProblem } from './caster/problem';
export { PRESETS, type Preset, type Quality, type TvCodec, type TvScreen } from './quality';
export type { Reply } from './signaling';
export { NO_FIGURES, type Figures } from './stats';
export { receive, VideoTv } from './tv/receive';
export { Tv, type CastEnd, type CasterDetails, type TvEvents, type TvFailure, type TvOptions, type TvState } from './tv/tv';
export { verdictText, type Side, type Verdict, type VerdictText } from './verdict';
export type { CastState, CodeCheck, TvDetails, WireError } from './wire';
