/**
 * The events of the cast flow as types for socket.io-client, for front ends with signaling of their own:
 *
 *     const socket: Socket<ServerToClientEventsA, ClientToServerEventsA> = io('https://cast.example.org');
 *
 * Dialect A is the flow of the Socket.IO tutorials; dialect B is that of the published front ends with the namespace `/rtc`. Both work
 * on both namespaces, and a TV of one dialect with a caster of the other. What a caster or a TV sends without an acknowledgement
 * function is answered by `CAST_ERROR` if it is refused. Unknown events may come later: ignore them.
 */
import type { Answer, CastState, CodeChanged, CodeCheck, IceConfig, JoinAck, ResumeToken, SeatAck, TvDetails, WireError } from './wire';
import type { Auth } from './auth';
import type { TvScreen } from './codecs';
import type { Verdict } from './verdict';

/** What an acknowledgement says. */
export type Acknowledged<T = unknown> = ({ ok: true } & T) | { ok: false; error: WireError };
/** The function that takes an acknowledgement. */
export type Acknowledge<T = unknown> = (answer: Acknowledged<T>) => void;

/** A description bare, as its text, or wrapped. */
export type Description = RTCSessionDescriptionInit | string;

export interface CandidatePayload {
  iceCandidate: RTCIceCandidateInit | null;
}

/** What a TV that opens may say, besides its token. */
export interface OpenOptions {
  /** The events that this front end understands besides those of the oldest servers: `TV_CODE_CHANGED`. */
  understands?: string[];
  /** A picture is still shown. */
  live?: boolean;
  /** A cast was running when the connection was lost. */
  casting?: boolean;
  /** Who the user is, for servers that want to know it. */
  auth?: Auth;
}

/** What a TV of dialect A may say besides, of itself. Its casters are told. */
export interface TvOpenOptions extends OpenOptions {
  name?: string;
  screen?: TvScreen;
}

/** Events that clients of both dialects may send. */
export interface ClientToServerEventsCommon {
  RTC_Candidate_Exchange: (payload: CandidatePayload, ack?: Acknowledge) => void;
  LEAVE_ROOM: (ack?: Acknowledge) => void;
  /** A TV asks for another code. `TV_CODE_CHANGED` brings it. */
  NEW_CODE: (ack?: Acknowledge<SeatAck>) => void;
  /** A TV ends the running cast. */
  END_CAST: (ack?: Acknowledge) => void;
  /** A caster tells its TV about the cast. */
  CAST_STATE: (state: CastState, ack?: Acknowledge) => void;
  CAST_REPORT: (report: object, ack?: Acknowledge<{ verdict?: Verdict }>) => void;
  /** Asks for ICE servers. `CONFIG_FEEDBACK` brings them. */
  CONFIG: (options: object, ack?: Acknowledge) => void;
}

export interface ClientToServerEventsA extends ClientToServerEventsCommon {
  /** A TV asks for a code. The token, or what it remembers of its last code. */
  TV_INIT: (saved: string | null | (TvOpenOptions & { resumeToken?: string; code?: string }), ack?: Acknowledge<SeatAck>) => void;
  JOIN_ROOM: (code: string, options: { resumeToken?: string; username?: string; auth?: Auth } | Acknowledge<JoinAck>, ack?: Acknowledge<JoinAck>) => void;
  /** Asks about a code, without a seat. */
  CHECK_CODE: (code: string, options: { resumeToken?: string; auth?: Auth } | Acknowledge<CodeCheck>, ack?: Acknowledge<CodeCheck>) => void;
  CLIENT_OFFER_TO_SERVER: (offer: Description, ack?: Acknowledge) => void;
  TV_ANSWER_TO_SERVER: (answer: Answer | string, ack?: Acknowledge) => void;
}

export interface ClientToServerEventsB extends ClientToServerEventsCommon {
  TV_REGISTER: (options?: OpenOptions | Acknowledge<SeatAck>) => void;
  VERIFY_FEEDBACK: (token: string | null, ack?: Acknowledge) => void;
  TV_GETINFO: (saved: { token?: string | null; code?: string | null } & OpenOptions, ack?: Acknowledge<SeatAck>) => void;
  CONNECT_TO_TV: (caster: { username?: string; projCode: string; resumeToken?: string; auth?: Auth }, ack?: Acknowledge<SeatAck>) => void;
  RTC_Client_Offer_To_Server: (payload: { offer: Description }, ack?: Acknowledge) => void;
  RTC_TV_Answer_To_Server: (payload: { answer: Description }, ack?: Acknowledge) => void;
}

/** Events that clients of both dialects may get. */
export interface ServerToClientEventsCommon {
  RTC_Candidate_Exchange: (payload: CandidatePayload) => void;
  /** Fresh ICE servers; in dialect A unasked, too. */
  CONFIG_FEEDBACK: (payload: { config: IceConfig }) => void;
  CAST_STATE: (state: CastState) => void;
  RESUME_TOKEN: (token: ResumeToken) => void;
  /** To a TV that understands it. */
  TV_CODE_CHANGED: (changed: CodeChanged) => void;
  /** To a TV: there is no place for it at the moment. */
  TV_WAITING: (why: WireError) => void;
  CASTER_AWAY: (nothing: object) => void;
  TV_AWAY: (nothing: object) => void;
  TV_BACK: (back: { reloaded: boolean; tv?: TvDetails }) => void;
  /** To a caster: another one has its TV. */
  CAST_TAKEN_OVER: (by: { by: string | null }) => void;
  /** Another connection has proved that the seat is its own. */
  CAST_REPLACED: (nothing: object) => void;
  /** To a TV: its caster reads a verdict. */
  CAST_VERDICT: (verdict: { side: string; code: string }) => void;
  CAST_ERROR: (refused: { event: string; error: WireError }) => void;
  SERVER_SHUTDOWN: (nothing: object) => void;
}

export interface ServerToClientEventsA extends ServerToClientEventsCommon {
  TV_INIT_OK: (code: string) => void;
  JOIN_ROOM_OK: (code: string) => void;
  CLIENT_OFFER_TO_TV: (offer: RTCSessionDescriptionInit) => void;
  TV_ANSWER_TO_CLIENT: (answer: Answer) => void;
  CASTER_JOINED: (caster: { username: string | null; resumed: boolean }) => void;
  CASTER_LEFT: (caster: { username: string | null; reason: 'left' | 'lost' | 'taken_over' | 'evicted' | 'ended' | 'ended_by_operator' }) => void;
  TV_LEFT: (why: { reason: 'left' | 'lost' | 'taken_over' | 'evicted' }) => void;
  CAST_ENDED: (by: { by: 'tv' | 'operator' }) => void;
}

export interface ServerToClientEventsB extends ServerToClientEventsCommon {
  TV_REGISTER_SUCCESS: (payload: { projCode: string }) => void;
  VERIFY: () => void;
  /** Spelt so. */
  VERIFY_RESPONCE: (payload: { code: number; msg?: string }) => void;
  TEST_TOKEN_TV: (token: string) => void;
  TV_INFO_FEEDBACK: (info: {
    projCode: string;
    meetingRoom: { mid: string; name: string; maxpeople: number; pos: string; desc: string };
    activities: unknown[];
    iceConfig: IceConfig & { iceCandidatePoolSize?: number };
    background: unknown[];
  }) => void;
  TV_COMMAND: (command: { cmd: 'error'; msg: string; code?: string; retryAfter?: number }) => void;
  CONNECT_TO_TV_SUCCESS: (payload: { msg: string }) => void;
  CONNECT_TO_TV_FAILED: (payload: { msg: string; code?: string; retryAfter?: number }) => void;
  NEW_CLIENT_JOIN: (caster: { username: string }) => void;
  RTC_Client_Offer_To_TV: (payload: { offer: RTCSessionDescriptionInit }) => void;
  RTC_TV_Answer_To_Client: (payload: { answer: RTCSessionDescriptionInit }) => void;
  TV_OFFLINE: () => void;
  USER_OFFLINE: (caster: { user: string }) => void;
}
