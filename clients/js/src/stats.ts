export interface Figures {
  route: 'direct' | 'relay' | null;
  /** The transport to the relay, or the transport of the direct path. */
  protocol: 'udp' | 'tcp' | 'tls' | null;
  kbps: number | null;
  width: number;
  height: number;
  fps: number | null;
  /** In percent. */
  loss: number | null;
  /** In milliseconds. */
  rtt: number | null;
  codec: string | null;
  frames: number;
  framesDecoded: number;
  framesSent: number;
  bytes: number;
  localType: string | null;
  remoteType: string | null;
  iceState: string | null;
}

/** One entry of the browser's statistics. */
export type Stats = Record<string, any>;

export const NO_FIGURES: Figures = {
  route: null, protocol: null, kbps: null, width: 0, height: 0, fps: null, loss: null, rtt: null, codec: null,
  frames: 0, framesDecoded: 0, framesSent: 0, bytes: 0, localType: null, remoteType: null, iceState: null,
};

export async function readStats(pc: RTCPeerConnection): Promise<Stats[]> {
  try {
    const all: Stats[] = [];
    (await pc.getStats()).forEach((report: Stats) => all.push(report));
    return all;
  } catch {
    // Chromium before 58 has another getStats; the video element still knows size and frames.
    return [];
  }
}

export function selectedPair(all: Stats[], ids: Record<string, Stats>): Stats | null {
  const transport = all.filter((r) => r['type'] === 'transport' && r['selectedCandidatePairId'])[0];
  const chosen = transport ? ids[transport['selectedCandidatePairId']] : undefined;
  if (chosen) return chosen;
  const pairs = all.filter((r) => r['type'] === 'candidate-pair' && (r['selected'] || r['nominated']));
  pairs.sort((a, b) => (b['bytesReceived'] + b['bytesSent'] || 0) - (a['bytesReceived'] + a['bytesSent'] || 0));
  return pairs[0] ?? null;
}

/** Engines without `relayProtocol` still encode it in the candidate's type preference. */
export function relayProtocol(candidate: Stats): Figures['protocol'] {
  const named = candidate['relayProtocol'];
  if (named === 'udp' || named === 'tcp' || named === 'tls') return named;
  const preference = typeof candidate['priority'] === 'number' ? candidate['priority'] >>> 24 : -1;
  return preference === 2 ? 'udp' : preference === 1 ? 'tcp' : preference === 0 ? 'tls' : null;
}

/** Reads the statistics of one connection; rates are differences to the previous reading. */
export class Meter {
  private last: { at: number; bytes: number; frames: number; lost: number; packets: number } | null = null;
  private pc: RTCPeerConnection | null = null;
  private figures: Figures = NO_FIGURES;

  /** `video`: the element that shows the stream, whose size counts where the statistics have none. */
  constructor(private readonly direction: 'in' | 'out', private readonly video: HTMLVideoElement | null) {}

  /** Reads without changing the rates, which depend on regular calls of `read`. */
  async peek(pc: RTCPeerConnection | null): Promise<Figures> {
    if (!pc) return NO_FIGURES;
    const now = this.gather(await readStats(pc), pc).figures;
    const same = pc === this.pc;
    return { ...now, kbps: same ? this.figures.kbps : null, fps: same ? this.figures.fps : now.fps, loss: same ? this.figures.loss : null };
  }

  async read(pc: RTCPeerConnection | null): Promise<Figures> {
    if (!pc) {
      this.last = null;
      return NO_FIGURES;
    }
    if (pc !== this.pc) this.last = null;
    this.pc = pc;
    const { figures, lost, packets } = this.gather(await readStats(pc), pc);
    const now = { at: Date.now(), bytes: figures.bytes, frames: figures.frames, lost, packets };
    const seconds = this.last ? (now.at - this.last.at) / 1000 : 0;
    if (this.last && seconds > 0.2) {
      figures.kbps = Math.max(0, Math.round(((now.bytes - this.last.bytes) * 8) / 1000 / seconds));
      figures.fps = Math.max(0, Math.round((now.frames - this.last.frames) / seconds));
      const newLost = Math.max(0, lost - this.last.lost);
      const total = newLost + Math.max(0, packets - this.last.packets);
      figures.loss = total > 0 ? Math.round((newLost / total) * 1000) / 10 : 0;
    }
    this.last = now;
    this.figures = figures;
    return figures;
  }

  private gather(all: Stats[], pc: RTCPeerConnection): { figures: Figures; lost: number; packets: number } {
    const ids: Record<string, Stats> = {};
    all.forEach((report) => (ids[report['id']] = report));
    const figures: Figures = { ...NO_FIGURES, iceState: pc.iceConnectionState };
    let lost = 0;
    let packets = 0;
    const incoming = this.direction === 'in';
    all.forEach((r) => {
      const type = r['type'];
      if (type === (incoming ? 'inbound-rtp' : 'outbound-rtp')) {
        figures.bytes += r[incoming ? 'bytesReceived' : 'bytesSent'] || 0;
        packets += r[incoming ? 'packetsReceived' : 'packetsSent'] || 0;
        if (incoming) lost += r['packetsLost'] || 0;
        const video = (r['kind'] || r['mediaType']) === 'video';
        if (!video) return;
        figures.width = r['frameWidth'] || figures.width;
        figures.height = r['frameHeight'] || figures.height;
        figures.framesDecoded += r['framesDecoded'] || 0;
        figures.framesSent += r['framesSent'] || r['framesEncoded'] || 0;
        figures.frames = incoming ? figures.framesDecoded : figures.framesSent;
        const codec = ids[r['codecId']];
        if (codec && codec['mimeType']) figures.codec = String(codec['mimeType']).replace(/^video\//i, '');
      } else if (type === 'remote-inbound-rtp' && !incoming) {
        lost += Math.max(0, r['packetsLost'] || 0);
      } else if (type === 'track' && r['frameWidth'] && !figures.width) {
        figures.width = r['frameWidth'];
        figures.height = r['frameHeight'];
      }
    });
    if (!figures.width && this.video) {
      figures.width = this.video.videoWidth;
      figures.height = this.video.videoHeight;
    }
    if (incoming && !figures.frames && this.video) {
      figures.frames = (this.video as unknown as { webkitDecodedFrameCount?: number }).webkitDecodedFrameCount ?? 0;
      figures.framesDecoded = figures.frames;
    }
    this.route(figures, all, ids);
    return { figures, lost, packets };
  }

  private route(figures: Figures, all: Stats[], ids: Record<string, Stats>): void {
    const pair = selectedPair(all, ids);
    if (!pair) return;
    if (typeof pair['currentRoundTripTime'] === 'number') figures.rtt = Math.round(pair['currentRoundTripTime'] * 1000);
    const local = ids[pair['localCandidateId']];
    const remote = ids[pair['remoteCandidateId']];
    if (!local || !remote) return;
    figures.localType = local['candidateType'] ?? null;
    figures.remoteType = remote['candidateType'] ?? null;
    const relay = figures.localType === 'relay' ? local : figures.remoteType === 'relay' ? remote : null;
    figures.route = relay ? 'relay' : 'direct';
    figures.protocol = relay ? relayProtocol(relay) : local['protocol'] === 'tcp' ? 'tcp' : 'udp';
  }
}

/** Bytes received over the selected pair: the number stops growing as soon as the other side's connection ends. */
export async function bytesIn(pc: RTCPeerConnection): Promise<number> {
  const all = await readStats(pc);
  const ids: Record<string, Stats> = {};
  all.forEach((report) => (ids[report['id']] = report));
  const pair = selectedPair(all, ids);
  return pair ? pair['bytesReceived'] || 0 : 0;
}
