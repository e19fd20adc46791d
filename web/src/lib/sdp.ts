/** Chromium up to 70 rejects an offer with this line. */
export function forOldEngines(sdp: string): string {
  return sdp.replace(/^a=extmap-allow-mixed\r?\n/gm, '');
}

function origin(sdp: string): string[] {
  const match = /^o=(.*)$/m.exec(sdp);
  return match ? match[1]!.trim().split(' ') : [];
}

/**
 * Stays the same through every renegotiation of one RTCPeerConnection. With the fingerprint, since stacks
 * other than browsers give every session the same number.
 */
export function sessionId(sdp: string): string {
  const fields = origin(sdp);
  const fingerprint = /^a=fingerprint:(.*)$/m.exec(sdp);
  return `${fields[0] ?? ''} ${fields[1] ?? ''} ${fingerprint ? fingerprint[1]!.trim() : ''}`;
}

/** Names one offer: its session and its version in it. */
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

/** Null where the candidate does not say which ICE generation it belongs to. */
export function candidateFragment(candidate: RTCIceCandidateInit): string | null {
  if (candidate.usernameFragment) return candidate.usernameFragment;
  const match = / ufrag (\S+)/.exec(candidate.candidate ?? '');
  return match ? match[1]! : null;
}
