// What the server answers: `src/operator/` has the same types.

/** The most rows of an answer. */
export const MAX_ROWS = 200;

/** What the server says, in the languages of the pages. */
export interface Sentence {
  en: string;
  zh: string;
}

export interface PartyRow {
  address: string | null;
  name: string | null;
  user: string | null;
  agent: string | null;
}

export interface MediaRow {
  path: string | null;
  kbps: number | null;
  loss: number | null;
  rttMs: number | null;
}

export interface CastRow {
  id: string;
  code: string;
  since: number;
  tv: PartyRow;
  caster: PartyRow | null;
  media: MediaRow;
  mayChangeCode: boolean;
}

export interface CallRow {
  id: string;
  room: string;
  since: number;
  members: PartyRow[];
  media: MediaRow;
}

export interface RoomRow {
  id: string;
  room: string;
  since: number;
  members: PartyRow[];
  memberCount: number;
}

export interface AllocationRow {
  id: string;
  user: string;
  scope: string;
  client: string;
  transport: string;
  relayed: string[];
  peers: string[];
  peerCount: number;
  since: number;
  sent: number;
  received: number;
  expiresIn: number;
}

export interface UserRow {
  name: string;
  scope: string;
  kind: 'user' | 'operator' | 'signed' | 'others';
  enabled: boolean;
  admin: boolean;
  allocations: number;
  today: number;
  month: number;
  quota: number | null;
}

export interface UsageRow {
  period: string;
  scope: string;
  name: string;
  bytes: number;
}

export interface BanRow {
  id: string;
  target: string;
  since: number;
  until: number | null;
  by: string;
}

export interface ThrottledRow {
  address: string;
  kind: string;
  wait: number;
}

export interface SettingRow {
  name: string;
  value: string | null;
  default: string | null;
  secret: boolean;
}

export interface LogLine {
  n: number;
  at: number;
  level: string;
  text: string;
}

export interface Rows<R> {
  rows: R[];
}

export interface Page<R> extends Rows<R> {
  total: number;
}

export interface State {
  available: boolean;
  why: 'no_operator' | 'not_secure' | 'under_path' | 'network' | null;
  operator: string | null;
  csrf: string | null;
  version: string;
  now: number;
}

export interface Now {
  tvs: number;
  casts: number;
  calls: number;
  rooms: number;
  allocations: number;
  kbpsRelayed: number;
  history: number[];
  certificate: { names: string[]; daysLeft: number; trusted: boolean; problem: Sentence | null } | null;
  lastCheck: { at: number; address: string; verdict: Sentence; ok: boolean } | null;
  uptime: number;
  version: string;
  warnings: Sentence[];
}
