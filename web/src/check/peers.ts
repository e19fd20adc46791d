/** How long a URL may take to give a candidate. */
export const GATHER_TIMEOUT_MS = 10_000;

type Stat = Record<string, unknown>;

export function open(configuration: RTCConfiguration): RTCPeerConnection | null {
  try {
    return new RTCPeerConnection(configuration);
  } catch {
    return null;
  }
}

export function close(pc: RTCPeerConnection | null): void {
  try {
    if (pc) pc.close();
  } catch {
    // Some old engines throw if it is closed already.
  }
}

export const isUp = (pc: RTCPeerConnection) => pc.iceConnectionState === 'connected' || pc.iceConnectionState === 'completed';

export const isOver = (pc: RTCPeerConnection) => pc.iceConnectionState === 'failed' || pc.iceConnectionState === 'closed';

export async function sendOffer(pc: RTCPeerConnection): Promise<void> {
  await pc.setLocalDescription(await pc.createOffer());
}

export async function sendAnswer(pc: RTCPeerConnection): Promise<void> {
  await pc.setLocalDescription(await pc.createAnswer());
}

/** The type of a candidate, its address and its port. */
export function parse(candidate: string): { type: string; address: string; port: string } | null {
  const match = /^(?:a=)?candidate:\S+ \d+ \S+ \d+ (\S+) (\d+) typ (\w+)/i.exec(candidate);
  return match ? { address: match[1]!, port: match[2]!, type: match[3]! } : null;
}

/** The candidates in a description, and the description without them. */
export function split(sdp: string): { candidates: string[]; rest: string } {
  const lines = sdp.split(/\r\n/);
  const isCandidate = (line: string) => /^a=(candidate:|end-of-candidates)/.test(line);
  return {
    candidates: lines.filter((line) => /^a=candidate:/.test(line)).map((line) => line.slice(2)),
    rest: lines.filter((line) => !isCandidate(line)).join('\r\n'),
  };
}

export function localSdp(pc: RTCPeerConnection): string {
  return (pc.localDescription && pc.localDescription.sdp) || '';
}

/** The sum of a counter over all candidate pairs; `null` where the browser has no such counter. */
export async function sumOfPairs(pc: RTCPeerConnection, counter: string): Promise<number | null> {
  let sum: number | null = null;
  try {
    const stats = (await pc.getStats()) as unknown as { forEach(visit: (stat: Stat) => void): void };
    stats.forEach((stat) => {
      const value = stat['type'] === 'candidate-pair' ? stat[counter] : undefined;
      if (typeof value === 'number') sum = (sum || 0) + value;
    });
  } catch {
    // Very old engines have another getStats.
  }
  return sum;
}
