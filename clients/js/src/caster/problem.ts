import type { Evidence } from '../report';
import type { Verdict } from '../verdict';
import type { WireError } from '../wire';

/**
 * Why a cast has not begun, has ended, or does not reach the TV. The server's own codes are `unknown_code`, `room_full`,
 * `server_full`, `too_many_attempts` and `rate_limited`, and of servers that want to know the user `sign_in_required`, `wrong_password`,
 * `refused` (`reason` is the sentence of the operator, if there is one) and `unavailable`; there are others, which a user can do nothing about.
 */
export interface CastProblem {
  /** Of the server, or one of this client. */
  code:
    | 'ice_failed'
    | 'taken_over'
    | 'replaced'
    | 'ended_by_tv'
    | 'ended_by_operator'
    | 'tv_left'
    | 'tv_lost'
    | 'timeout'
    | 'offline'
    | (string & {});
  /** Of the server, in English. */
  message?: string | undefined;
  /** With `refused`: a sentence of the operator, in a language of the operator's. */
  reason?: string | undefined;
  /** In seconds: the server refuses every attempt before. */
  retryAfter?: number | undefined;
  /** With `taken_over`: the name of the other caster. */
  by?: string | null;
  /** With `ice_failed`: what the server has found out. Null if it says nothing. */
  verdict?: Verdict | null;
  /** With `ice_failed`: what this client has seen. */
  evidence?: Evidence;
  /** With `ice_failed`: `retry({tls: true})` is another attempt that may work. */
  canUseTls?: boolean;
}

export function ofServer({ code, message, reason, retryAfter }: WireError): CastProblem {
  return { code, message, reason, retryAfter };
}
