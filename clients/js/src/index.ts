/** Casts a screen to a TV that shows a code: both sides of Castway's cast flow, for browsers. */
export { signIn, type Auth, type AuthSource, type SignedIn } from './auth';
export { Caster, castTo, type CasterEvents, type CasterOptions, type CasterState, type CastOptions } from './caster/caster';
export { CodeChecker, type CodeState } from './caster/code-checker';
export { deviceName } from './caster/device-name';
export type { CastProblem } from './caster/problem';
export { readScreen, type Codec, type CodecAbility, type TvScreen } from './codecs';
export { limitFor, PRESETS, type Preset, type Quality } from './quality';
export type { Reply } from './signaling';
export { NO_FIGURES, type Figures } from './stats';
export { receive, VideoTv } from './tv/receive';
export type { CastEnd, CasterDetails, TvEvents, TvFailure, TvOptions, TvState } from './tv/model';
export { shownName } from './tv/name';
export { Tv } from './tv/tv';
export { verdictText, type Side, type Verdict, type VerdictText } from './verdict';
export type { CastState, CodeCheck, TvDetails, WireError } from './wire';
export type {
  Acknowledge,
  Acknowledged,
  CandidatePayload,
  ClientToServerEventsA,
  ClientToServerEventsB,
  OpenOptions,
  ServerToClientEventsA,
  ServerToClientEventsB,
  TvOpenOptions,
} from './events';
export type { Answer, CodeChanged, IceConfig, JoinAck, ResumeToken, SeatAck } from './wire';
