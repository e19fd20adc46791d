/** The payloads of the events between a client and the server (dialect A, with Castway's additions). */

import type { TvScreen } from './quality';

export interface IceConfig {
  iceServers: RTCIceServer[];
}

export interface WireError {
  code: string;
  message?: string;
  /** In seconds. */
  retryAfter?: number;
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
  if (!config || typeof config !== 'object') return null;
  return Array.isArray((config as IceConfig).iceServers) ? (config as IceConfig) : null;
}

export function asTvDetails(value: unknown): TvDetails | null {
  if (!value || typeof value !== 'object') return null;
  const { name, screen } = value as Partial<TvDetails>;
  return { name: typeof name === 'string' && name ? name : null, screen: asScreen(screen) };
}

function asScreen(value: unknown): TvScreen | null {
  if (!value || typeof value !== 'object') return null;
  const { width, height, codecs } = value as Partial<TvScreen>;
  if (!(Number(width) > 0) || !(Number(height) > 0) || !Array.isArray(codecs)) return null;
  return { width: Number(width), height: Number(height), codecs: codecs.filter((one) => one && typeof one.codec === 'string') };
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
