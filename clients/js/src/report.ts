import { later } from './later';
import { readStats, relayProtocol, selectedPair, type Stats } from './stats';
import type { IceConfig } from './wire';

/** The limits of the server. */
const MAX_SERVERS = 16;
const MAX_URL_CHARS = 200;
const MAX_TEXT_CHARS = 100;
const MAX_STATE_CHARS = 20;

const STATS_TIMEOUT_MS = 1000;
const NO_ANSWER = 701;

export type Outcome = 'gathered' | 'connected' | 'failed' | 'ended';

type Counts = Record<'host' | 'srflx' | 'prflx' | 'relay', number>;

export interface ServerReport {
  url: string;
  candidates: number;
  /** Of `icecandidateerror`: 701 for no answer, otherwise a STUN code. */
  code: number | null;
  text: string | null;
  /** From the start of gathering to the first candidate, or to the error. */
  ms: number | null;
}

/** What a page tells the server about its connection. It has no addresses of its own, no descriptions and no credentials. */
export interface Report {
  outcome: Outcome;
  route: 'direct' | 'relay' | null;
  protocol: 'udp' | 'tcp' | 'tls' | null;
  rttMs: number | null;
  /** From 0 to 1. */
  loss: number | null;
  kbps: number | null;
  bytes: number | null;
  servers: ServerReport[];
  local: Counts;
  remote: Counts;
  checks: { sent: number; received: number; answered: number } | null;
  ice: string;
  seconds: number;
}

/** What changes while the connection works. */
export type LiveReport = Omit<Report, 'servers' | 'local' | 'remote' | 'checks'>;

type Measured = Pick<Report, 'route' | 'protocol' | 'rttMs' | 'loss' | 'bytes' | 'checks'>;

const none = (): Counts => ({ host: 0, srflx: 0, prflx: 0, relay: 0 });
const now = () => performance.now();
const cut = (text: string, most: number) => text.slice(0, most);
const rounded = (value: number, digits: number) => Math.round(value * Math.pow(10, digits)) / Math.pow(10, digits);

/** One spelling for a URL: browsers add the default port and transport to those that they report. */
function normal(url: string): string {
  const parts = /^(\w+):(.*?)(?::(\d+))?(?:\?transport=(\w+))?$/.exec(url.toLowerCase());
  if (!parts) return url;
  const secure = /s$/.test(parts[1]!);
  const transport = /^stun/.test(parts[1]!) ? '' : (parts[4] ?? (secure ? 'tcp' : 'udp'));
  return [parts[1], parts[2]!.replace(/^\[|\]$/g, ''), parts[3] ?? (secure ? '5349' : '3478'), transport].join(' ');
}

function urlProtocol(url: string): string {
  if (/^turns:/.test(url)) return 'tls';
  return /^turn:/.test(url) ? (/transport=tcp/.test(url) ? 'tcp' : 'udp') : '';
}

const isRelay = (server: ServerReport) => /^turns?:/.test(server.url);

function typeOf(candidate: string): keyof Counts | null {
  const match = / typ (host|srflx|prflx|relay)\b/.exec(candidate);
  return match ? (match[1] as keyof Counts) : null;
}

/** Observes one connection from its creation. Old engines know less; what they don't know is null. */
export class Evidence {
  /** When the last candidate of either side, or the other side's description, arrived. */
  last = now();
  private readonly began = now();
  private answeredAt = 0;
  private gatheringSince = now();
  private upSince = 0;
  private lastLive = { at: 0, bytes: 0 };
  private readonly servers: ServerReport[] = [];
  private readonly local = none();
  private readonly remote = none();
  private measured: Measured = { route: null, protocol: null, rttMs: null, loss: null, bytes: null, checks: null };

  /** `relay`: STUN servers are not asked. */
  constructor(private readonly pc: RTCPeerConnection, config: IceConfig | null, relay: boolean) {
    (config ? config.iceServers : []).forEach((server) =>
      ([] as string[]).concat(server.urls).forEach((url) => {
        if (relay && /^stun/.test(url)) return;
        if (this.servers.length < MAX_SERVERS) this.servers.push({ url, candidates: 0, code: null, text: null, ms: null });
      }),
    );
    pc.addEventListener('icecandidateerror', (event) => this.refused(event as RTCPeerConnectionIceErrorEvent));
    pc.addEventListener('icegatheringstatechange', () => {
      if (pc.iceGatheringState === 'gathering') this.gatheringSince = now();
    });
  }

  /** Milliseconds since the connection was created. */
  get age(): number {
    return now() - this.began;
  }

  /** The other side's description is there. */
  get answered(): boolean {
    return this.answeredAt > 0;
  }

  /** Milliseconds since the other side's description arrived; before that, since the connection was created. */
  get waited(): number {
    return now() - (this.answeredAt || this.began);
  }

  /** Milliseconds without a candidate of either side. */
  get quiet(): number {
    return now() - this.last;
  }

  get gathered(): boolean {
    return this.pc.iceGatheringState === 'complete';
  }

  /** The ways to the relay that the page was given. */
  get relays(): number {
    return this.servers.filter(isRelay).length;
  }

  /** Those that gave a candidate, or refused with an error of their own; null if this engine does not name them. */
  get heard(): number | null {
    const heard = this.servers.filter(isRelay).filter((one) => one.candidates > 0 || (one.code !== null && one.code !== NO_ANSWER)).length;
    return heard || !this.local.relay ? heard : null;
  }

  /** Payload of the statistics that were read last. */
  get bytes(): number {
    return this.measured.bytes ?? 0;
  }

  get hasTls(): boolean {
    return this.servers.some((server) => /^turns:/.test(server.url));
  }

  localCandidate(event: RTCPeerConnectionIceEvent): void {
    const candidate = event.candidate;
    if (!candidate || !candidate.candidate) return;
    this.last = now();
    const type = typeOf(candidate.candidate);
    if (type) this.local[type]++;
    const url = (candidate as { url?: string | null }).url ?? (event as { url?: string | null }).url;
    const server = url ? this.server(url) : null;
    if (!server) return;
    server.candidates++;
    if (server.ms === null || server.code !== null) server.ms = this.elapsed();
    server.code = server.text = null;
  }

  remoteCandidate(candidate: RTCIceCandidateInit): void {
    this.last = now();
    const type = typeOf(candidate.candidate ?? '');
    if (type) this.remote[type]++;
  }

  remoteDescription(sdp: string): void {
    this.last = now();
    if (!this.answeredAt) this.answeredAt = now();
    (sdp.match(/^a=candidate:.*$/gm) ?? []).forEach((line) => this.remoteCandidate({ candidate: line }));
  }

  /** Reads the statistics, so that `report` has the newest ones. */
  async refresh(): Promise<void> {
    // Some old engines never answer.
    const all = await Promise.race([readStats(this.pc), later(STATS_TIMEOUT_MS).then((): Stats[] => [])]);
    if (!all.length) return;
    const ids: Record<string, Stats> = {};
    all.forEach((one) => (ids[one['id']] = one));
    this.countByServer(all);
    const prflx = all.filter((one) => one['type'] === 'remote-candidate' && one['candidateType'] === 'prflx').length;
    this.remote.prflx = Math.max(this.remote.prflx, prflx);
    const { route, protocol, rttMs } = this.path(all, ids);
    if (route && !this.upSince) this.upSince = now();
    this.measured = { route, protocol, rttMs, ...traffic(all), checks: checks(all) };
  }

  report(outcome: Outcome): Report {
    const state = this.pc.iceConnectionState || '';
    const seconds = this.upSince ? (now() - this.upSince) / 1000 : 0;
    const { bytes } = this.measured;
    return {
      outcome,
      ...this.measured,
      kbps: bytes !== null && seconds >= 1 ? Math.round((bytes * 8) / 1000 / seconds) : null,
      servers: this.servers.map((server) => ({ ...server, url: cut(server.url, MAX_URL_CHARS) })),
      local: { ...this.local },
      remote: { ...this.remote },
      ice: cut(state, MAX_STATE_CHARS),
      seconds: rounded(this.age / 1000, 1),
    };
  }

  /** The report of a connection that works, with the rate since the last one. */
  live(): LiveReport {
    const { servers: _servers, local: _local, remote: _remote, checks: _checks, ...report } = this.report('connected');
    const { at, bytes } = this.lastLive;
    const seconds = (now() - at) / 1000;
    this.lastLive = { at: now(), bytes: this.bytes };
    // Bytes of streams that have ended are no longer counted.
    const kbps = at && seconds >= 1 && this.bytes >= bytes ? Math.round(((this.bytes - bytes) * 8) / 1000 / seconds) : report.kbps;
    return { ...report, kbps };
  }

  private elapsed(): number {
    return Math.round(now() - this.gatheringSince);
  }

  private server(url: string): ServerReport | null {
    const wanted = normal(url);
    return this.servers.filter((server) => normal(server.url) === wanted)[0] ?? null;
  }

  /** A server that one of the device's addresses can't reach may well be reached from another one: candidates outweigh errors. */
  private refused(event: RTCPeerConnectionIceErrorEvent): void {
    const server = event.url ? this.server(event.url) : null;
    if (!server || server.candidates > 0 || !(event.errorCode >= 300 && event.errorCode <= 799)) return;
    if (server.code !== null && server.code !== NO_ANSWER) return;
    server.code = event.errorCode;
    server.text = cut(event.errorText || '', MAX_TEXT_CHARS) || null;
    server.ms = this.elapsed();
  }

  /** Candidates whose event did not name the server; some engines name it, or at least the protocol, in the statistics. */
  private countByServer(all: Stats[]): void {
    const counts = this.servers.map(() => 0);
    all.forEach((one) => {
      if (one['type'] !== 'local-candidate' || one['candidateType'] === 'host') return;
      let server = one['url'] ? this.server(String(one['url'])) : null;
      if (!server && one['candidateType'] === 'relay') {
        const same = this.servers.filter((other) => urlProtocol(other.url) === one['relayProtocol']);
        server = same.length === 1 ? same[0]! : null;
      }
      if (server) counts[this.servers.indexOf(server)]!++;
    });
    this.servers.forEach((server, index) => {
      if (counts[index]! <= server.candidates) return;
      server.candidates = counts[index]!;
      server.code = server.text = null;
    });
  }

  private path(all: Stats[], ids: Record<string, Stats>): Pick<Report, 'route' | 'protocol' | 'rttMs'> {
    const pair = selectedPair(all, ids);
    const local = pair && ids[pair['localCandidateId']];
    const remote = pair && ids[pair['remoteCandidateId']];
    if (!pair || !local || !remote || pair['state'] === 'failed') return { route: null, protocol: null, rttMs: null };
    const rtt = pair['currentRoundTripTime'];
    const rttMs = typeof rtt === 'number' ? rounded(rtt * 1000, 1) : null;
    // The protocol between this page and the relay counts; where only the other side is relayed, this side's own.
    if (local['candidateType'] === 'relay') return { route: 'relay', protocol: relayProtocol(local), rttMs };
    const protocol = local['protocol'] === 'tcp' ? 'tcp' : 'udp';
    return { route: remote['candidateType'] === 'relay' ? 'relay' : 'direct', protocol, rttMs };
  }
}

/** The sums of all streams in both directions; what the other side says about the streams that it receives counts for the loss. */
function traffic(all: Stats[]): Pick<Report, 'loss' | 'bytes'> {
  let bytes = 0;
  let lost = 0;
  let packets = 0;
  all.forEach((one) => {
    const type = one['type'];
    if (type === 'inbound-rtp') {
      bytes += one['bytesReceived'] || 0;
      packets += (one['packetsReceived'] || 0) + Math.max(0, one['packetsLost'] || 0);
      lost += Math.max(0, one['packetsLost'] || 0);
    } else if (type === 'outbound-rtp') {
      bytes += one['bytesSent'] || 0;
      packets += one['packetsSent'] || 0;
    } else if (type === 'remote-inbound-rtp') {
      lost += Math.max(0, one['packetsLost'] || 0);
    }
  });
  return { bytes, loss: packets > 0 ? Math.min(1, rounded(lost / packets, 4)) : null };
}

function checks(all: Stats[]): Report['checks'] {
  const pairs = all.filter((one) => one['type'] === 'candidate-pair' && typeof one['requestsSent'] === 'number');
  if (!pairs.length) return null;
  const sum = (name: string) => pairs.reduce((total, pair) => total + (pair[name] || 0), 0);
  return { sent: sum('requestsSent'), received: sum('requestsReceived'), answered: sum('responsesReceived') };
}
