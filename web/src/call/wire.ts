/** The messages between two AppRTC clients, each a JSON text. */
export type Message =
  /** This page's answers name the offer; other clients ignore the additional member. */
  | { type: 'offer' | 'answer'; sdp: string; inReplyTo?: string }
  | { type: 'candidate'; label: number; id: string; candidate: string }
  | { type: 'bye' };

/** A message without effect on any client: its result tells whether the server still knows this member. */
export const NO_OP_MESSAGE = JSON.stringify({ type: 'remove-candidates', candidates: [] });

/** Null for an unknown or malformed message. */
export function parse(text: string): Message | null {
  let value: Record<string, unknown>;
  try {
    value = JSON.parse(text) as Record<string, unknown>;
  } catch {
    return null;
  }
  if (!value || typeof value !== 'object') return null;
  const { type, sdp, inReplyTo, label, id, candidate } = value;
  switch (type) {
    case 'offer':
    case 'answer':
      if (typeof sdp !== 'string') return null;
      return typeof inReplyTo === 'string' ? { type, sdp, inReplyTo } : { type, sdp };
    case 'candidate':
      if (typeof candidate !== 'string' || !candidate) return null;
      return { type, candidate, label: typeof label === 'number' ? label : 0, id: typeof id === 'string' ? id : '' };
    case 'bye':
      return { type };
    default:
      return null;
  }
}

export function fromCandidate({ candidate, sdpMid, sdpMLineIndex }: RTCIceCandidateInit): Message {
  return { type: 'candidate', label: sdpMLineIndex ?? 0, id: sdpMid ?? '', candidate: candidate ?? '' };
}

export function toCandidate({ candidate, label, id }: Message & { type: 'candidate' }): RTCIceCandidateInit {
  return { candidate, sdpMLineIndex: label, sdpMid: id };
}
