/** The payloads of the events between a client and the server (dialect A, with Castway's additions). */

import { asScreen, type TvScreen } from './codecs';

export interface IceConfig {
  iceServers: RTCIceServer[];
}

export interface WireError {
  code: string;
  message?: string;
  /** In seconds. */
  retryAfter?: number;
  /** With `refused`: a sentence of the operator. */
  reason?: string;
}

export interface SeatAck {
  ok: true;
  code: string;
  resumeToken: string;
  resumed: boolean;
}

/** What a caster learns about the TV; servers before 0.2 say nothing. */
export interface TvDetails {
  name: string | null;
  screen: TvScreen | null;
}

export interface JoinAck extends SeatAck {
  tv?: TvDetails;
}

/** The answer to `CHECK_CODE`. */
export interface CodeCheck {
  ok: true;
  code: string;
  tv: { name: string | null; away: boolean };
  /** Who casts to this TV now; `own`: this client itself, by its resume token. */
  caster: { username: string | null; own: boolean } | null;
  /** Whether a join would replace that caster. */
  takeover: boolean;
  /** The caster has to sign in before it casts. */
  signIn?: boolean;
}

/** What the caster says about its cast. */
export interface CastState {
  paused: boolean;
  /** Whether the cast has sound. */
  sound: boolean;
}

export interface ResumeToken {
  role: string;
  code: string;
  resumeToken: string;
}

/** The events that this TV supports besides those of the oldest servers, which ignore the list. */
export const SUPPORTED_EVENTS = ['TV_CODE_CHANGED'];

export interface CodeChanged {
  code: string;
  resumeToken: string;
  reason: string;
}

/** These pages' answers name the offer; a browser ignores the additional member. */
export interface Answer extends RTCSessionDescriptionInit {
  inReplyTo?: string;
}

/** Existing front ends send a description bare, wrapped, or as the SDP text. */
export function asDescription(value: unknown, type: 'offer' | 'answer'): Answer | null {
  if (typeof value === 'string') return value.indexOf('v=') === 0 ? { type, sdp: value } : null;
  if (!value || typeof value !== 'object') return null;
  const record = value as Record<string, unknown>;
  if (typeof record['sdp'] === 'string') {
    const answer: Answer = { type, sdp: record['sdp'] };
    if (typeof record['inReplyTo'] === 'string') answer.inReplyTo = record['inReplyTo'];
    return answer;
  }
  return asDescription(record[type], type);
}

/** Null for the end-of-candidates mark as well: old engines reject it, and no engine needs it. */
export function asCandidate(value: unknown): RTCIceCandidateInit | null {
  if (!value || typeof value !== 'object') return null;
  const inner = (value as { iceCandidate?: unknown }).iceCandidate;
  const candidate = (inner === undefined ? value : inner) as RTCIceCandidateInit | null;
  return candidate && typeof candidate.candidate === 'string' && candidate.candidate ? candidate : null;
}

export function asIceConfig(value: unknown): IceConfig | null {
  const config = value && typeof value === 'object' ? (value as { config?: unknown }).config : null;
  if (!config || typeof config !== 'object' || !Array.isArray((config as IceConfig).iceServers)) return null;
  const usable = (server: RTCIceServer | null) => server && (typeof server.urls === 'string' || Array.isArray(server.urls));
  return { ...config, iceServers: (config as IceConfig).iceServers.filter(usable) };
}

export function asTvDetails(value: unknown): TvDetails | null {
  if (!value || typeof value !== 'object') return null;
  const { name, screen } = value as Partial<TvDetails>;
  return { name: typeof name === 'string' && name ? name : null, screen: asScreen(screen) };
}

export function asCastState(value: unknown): CastState | null {
  if (!value || typeof value !== 'object') return null;
  const { paused, sound } = value as Partial<CastState>;
  return { paused: paused === true, sound: sound === true };
}

/** A member of an event's payload that is a text. */
export function textOf(payload: unknown, name: string): string | null {
  const value = payload && typeof payload === 'object' ? (payload as Record<string, unknown>)[name] : null;
  return typeof value === 'string' && value ? value : null;
}
