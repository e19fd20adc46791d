/** Chromium up to 70 rejects an offer with this line. */
export function forOldEngines(sdp: string): string {
  return sdp.replace(/^a=extmap-allow-mixed\r?\n/gm, '');
}

function origin(sdp: string): string[] {
  const match = /^o=(.*)$/m.exec(sdp);
  return match ? match[1]!.trim().split(' ') : [];
}

/**
 * Identifies one RTCPeerConnection through every renegotiation. It includes the fingerprint, since stacks
 * other than browsers give every session the same id.
 */
export function sessionId(sdp: string): string {
  const fields = origin(sdp);
  const fingerprint = /^a=fingerprint:(.*)$/m.exec(sdp);
  return `${fields[0] ?? ''} ${fields[1] ?? ''} ${fingerprint ? fingerprint[1]!.trim() : ''}`;
}

/** Identifies one offer: its session and its version. */
export function offerId(sdp: string): string {
  return origin(sdp).slice(0, 3).join(' ');
}

export function usernameFragments(sdp: string): string[] {
  const found: string[] = [];
  const lines = sdp.split(/\r?\n/);
  for (let i = 0; i < lines.length; i++) {
    if (lines[i]!.indexOf('a=ice-ufrag:') === 0) found.push(lines[i]!.slice(12).trim());
  }
  return found;
}

/** Null if the candidate does not name its ICE generation. */
export function candidateFragment(candidate: RTCIceCandidateInit): string | null {
  if (candidate.usernameFragment) return candidate.usernameFragment;
  const match = / ufrag (\S+)/.exec(candidate.candidate ?? '');
  return match ? match[1]! : null;
}
