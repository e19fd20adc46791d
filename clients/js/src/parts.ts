/** What the two sides of a cast are made of, for pages with a signaling of their own, such as calls. */
export { groups } from './code';
export { Emitter } from './emitter';
export { later, until } from './later';
export { configuration, Peer, type PeerOptions } from './peer';
export { Evidence, type LiveReport, type Outcome, type Report, type ServerReport } from './report';
export { Reporter, SLOW_MS } from './reporter';
export { forOldEngines, offerId, sessionId } from './sdp';
export { serverAddress } from './server';
export { bytesIn, Meter, NO_FIGURES, readStats, selectedPair, type Figures, type Stats } from './stats';
export { store, stored, type StorageArea } from './storage';
export { Player } from './tv/player';
export { asSide, asVerdict, verdictText, type Side, type Verdict, type VerdictText } from './verdict';
export { onWake } from './wake';
export type { IceConfig, WireError } from './wire';
