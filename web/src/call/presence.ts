/** What one side of a call sends. */
export interface Sending {
  audio: boolean;
  video: 'camera' | 'screen' | 'off';
}

const LABEL = 'castway';
const MAX_MESSAGE_LENGTH = 1024;
/** However fast the other side talks, the page changes no more often. */
const APPLY_INTERVAL_MS = 100;

/** Null for anything but a state: the other side may be any program. */
export function parseSending(text: unknown): Sending | null {
  if (typeof text !== 'string' || text.length > MAX_MESSAGE_LENGTH) return null;
  let value: Record<string, unknown> | null;
  try {
    value = JSON.parse(text) as Record<string, unknown> | null;
  } catch {
    return null;
  }
  if (!value || typeof value !== 'object') return null;
  const { audio, video } = value;
  if (typeof audio !== 'boolean' || (video !== 'camera' && video !== 'screen' && video !== 'off')) return null;
  return { audio, video };
}

/**
 * What the other side sends, told over a data channel between two of our pages. The offerer opens the channel; any other client leaves it
 * unused, or refuses it, and then nothing is known.
 */
export class Presence {
  /** Null until the other side has told it. */
  theirs: Sending | null = null;

  private channel: RTCDataChannel | null = null;
  private latest: string | null = null;
  private timer = 0;

  /** `ours` is the state to tell, `changed` reports a new one of the other side. */
  constructor(private readonly ours: () => Sending, private readonly changed: () => void) {}

  offer(pc: RTCPeerConnection): void {
    try {
      this.use(pc.createDataChannel(LABEL));
    } catch (error) {
      console.debug('castway: no data channel', error);
    }
  }

  /** Takes the first channel of the offerer's that has the label. */
  accept(pc: RTCPeerConnection): void {
    pc.ondatachannel = ({ channel }) => {
      if (channel.label === LABEL && !this.channel) this.use(channel);
      else channel.close();
    };
  }

  tell(): void {
    const { channel } = this;
    if (!channel || channel.readyState !== 'open') return;
    try {
      channel.send(JSON.stringify(this.ours()));
    } catch (error) {
      console.debug('castway: not told', error);
    }
  }

  close(): void {
    clearTimeout(this.timer);
    this.timer = 0;
    if (this.channel) this.channel.onopen = this.channel.onmessage = null;
    this.channel = this.latest = this.theirs = null;
  }

  private use(channel: RTCDataChannel): void {
    this.channel = channel;
    channel.onopen = () => this.tell();
    channel.onmessage = ({ data }) => this.heard(data);
    if (channel.readyState === 'open') this.tell();
  }

  private heard(data: unknown): void {
    if (typeof data !== 'string' || data.length > MAX_MESSAGE_LENGTH) return;
    this.latest = data;
    if (!this.timer) this.timer = window.setTimeout(() => this.apply(), APPLY_INTERVAL_MS);
  }

  private apply(): void {
    this.timer = 0;
    const told = parseSending(this.latest);
    const { theirs } = this;
    if (!told || (theirs && theirs.audio === told.audio && theirs.video === told.video)) return;
    this.theirs = told;
    this.changed();
  }
}
