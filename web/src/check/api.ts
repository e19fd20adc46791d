import { at } from '../lib/base';
import { later } from '../lib/dom';
import { t } from '../lib/i18n';

const ATTEMPTS = 3;
const PAUSE_MS = 1000;
const ANSWER_TIMEOUT_MS = 15_000;

export type PathKind = 'stun' | 'udp' | 'tcp' | 'tls';

export interface PathTest {
  kind: PathKind;
  url: string;
  username?: string;
  credential?: string;
}

export interface RangeOffer {
  denied?: boolean;
  username?: string;
  credential?: string;
  address?: string;
}

export interface Started {
  session: string;
  device: number;
  /** The address of this device, as the server sees it. */
  address: string;
  digits?: string;
  paths: PathTest[];
  range?: RangeOffer;
}

export interface Polled {
  messages: string[];
  peer: boolean;
  digits: string | null;
}

/** A refusal with a sentence for people. */
export class Refused extends Error {
  constructor(readonly status: number, readonly sentence: string) {
    super(sentence);
    // Transpiled classes lose their prototype where they extend Error.
    Object.setPrototypeOf(this, Refused.prototype);
  }
}

/** The server's refusals that somebody may meet, in the language of the page. */
function sentence(name: string | undefined): string | undefined {
  const sentences: Record<string, string> = {
    UnknownKey: t.checkUnknownKey,
    UsedKey: t.checkUsedKey,
    UnknownDigits: t.checkUnknownDigits,
    TooManyRequests: t.checkTooMany,
  };
  return name ? sentences[name] : undefined;
}

function send(action: string, body: unknown): Promise<Response> {
  return fetch(at(`/check/${action}`), {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    credentials: 'omit',
    body: JSON.stringify(body),
  });
}

async function post(action: string, body: unknown, sent = send(action, body)): Promise<unknown> {
  let response: Response;
  try {
    response = await sent;
  } catch {
    throw new Refused(0, t.checkNoServer);
  }
  const answer = (await response.json().catch(() => null)) as { error?: string; message?: string } | null;
  if (!response.ok) throw new Refused(response.status, (answer && (sentence(answer.error) ?? answer.message)) || `HTTP ${response.status}`);
  return answer;
}

const noAnswer = () => later(ANSWER_TIMEOUT_MS).then((): never => {
  throw new Refused(0, t.checkNoServer);
});

/** Asks again where the browser gave the request up, as it does when the network changes. */
async function insist(action: string, body: unknown): Promise<Response> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await Promise.race([send(action, body), noAnswer()]);
    } catch (error) {
      if (error instanceof Refused || attempt === ATTEMPTS) throw error;
      await later(PAUSE_MS);
    }
  }
}

const begin = (action: string, body: unknown) => post(action, body, insist(action, body)) as Promise<Started>;

export const start = (key: string) => begin('start', { key });
export const join = (digits: string) => begin('join', { digits });
export const result = (session: string, report: unknown) => post('result', { session, report });
export const signal = (session: string, data: string) => post('signal', { session, data });
export const poll = (session: string, peer: boolean) => post('poll', { session, peer }) as Promise<Polled>;
