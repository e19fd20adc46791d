// WebRTC without a network: connections that a test brings up and down.

import type { Tv } from '../../src/index';

type Listener = (event: unknown) => void;

export class FakeTrack {
  enabled = true;
  contentHint = '';
  readyState = 'live';
  onended: (() => void) | null = null;
  constructor(readonly kind: 'audio' | 'video', readonly id = `${kind}-${Math.random()}`) {}
  stop(): void {
    this.readyState = 'ended';
  }
  getSettings(): object {
    return { width: 1920, height: 1080 };
  }
}

export class FakeStream {
  onaddtrack: (() => void) | null = null;
  constructor(private readonly tracks: FakeTrack[] = []) {}
  addTrack(track: FakeTrack): void {
    this.tracks.push(track);
  }
  getTracks(): FakeTrack[] {
    return this.tracks.slice();
  }
  getVideoTracks(): FakeTrack[] {
    return this.tracks.filter(({ kind }) => kind === 'video');
  }
  getAudioTracks(): FakeTrack[] {
    return this.tracks.filter(({ kind }) => kind === 'audio');
  }
}

export class FakeSender {
  parameters: Record<string, unknown> = { encodings: [{}] };
  constructor(public track: FakeTrack | null) {}
  async replaceTrack(track: FakeTrack | null): Promise<void> {
    this.track = track;
  }
  getParameters(): Record<string, unknown> {
    return JSON.parse(JSON.stringify(this.parameters)) as Record<string, unknown>;
  }
  async setParameters(parameters: Record<string, unknown>): Promise<void> {
    this.parameters = parameters;
  }
}

let session = 0;

export class FakePeerConnection {
  static all: FakePeerConnection[] = [];
  static get last(): FakePeerConnection {
    const pc = FakePeerConnection.all[FakePeerConnection.all.length - 1];
    if (!pc) throw new Error('there is no connection');
    return pc;
  }

  iceConnectionState = 'new';
  iceGatheringState = 'new';
  signalingState = 'stable';
  closed = false;
  bytesReceived = 0;
  onicecandidate: Listener | null = null;
  oniceconnectionstatechange: Listener | null = null;
  ontrack: Listener | null = null;
  readonly senders: FakeSender[] = [];
  readonly candidates: RTCIceCandidateInit[] = [];
  readonly restarts: boolean[] = [];
  remote: RTCSessionDescriptionInit | null = null;
  private readonly id = ++session;
  private version = 0;

  constructor(public configuration: RTCConfiguration) {
    FakePeerConnection.all.push(this);
  }

  addEventListener(): void {}
  addTrack(track: FakeTrack): FakeSender {
    const sender = new FakeSender(track);
    this.senders.push(sender);
    return sender;
  }
  getSenders(): FakeSender[] {
    return this.senders;
  }
  getTransceivers(): unknown[] {
    return this.senders.map((sender) => ({ sender, receiver: { track: sender.track } }));
  }
  async createOffer(options?: RTCOfferOptions): Promise<RTCSessionDescriptionInit> {
    this.restarts.push(Boolean(options && options.iceRestart));
    return { type: 'offer', sdp: this.sdp() };
  }
  async createAnswer(): Promise<RTCSessionDescriptionInit> {
    return { type: 'answer', sdp: this.sdp() };
  }
  async setLocalDescription({ type }: RTCSessionDescriptionInit): Promise<void> {
    this.signalingState = type === 'offer' ? 'have-local-offer' : 'stable';
  }
  async setRemoteDescription(description: RTCSessionDescriptionInit): Promise<void> {
    this.remote = description;
    this.signalingState = description.type === 'offer' ? 'have-remote-offer' : 'stable';
  }
  async addIceCandidate(candidate: RTCIceCandidateInit): Promise<void> {
    this.candidates.push(candidate);
  }
  setConfiguration(configuration: RTCConfiguration): void {
    this.configuration = configuration;
  }
  async getStats(): Promise<Map<string, Record<string, unknown>>> {
    return new Map([['pair', { id: 'pair', type: 'candidate-pair', nominated: true, bytesReceived: this.bytesReceived, bytesSent: 0 }]]);
  }
  close(): void {
    this.closed = true;
    this.signalingState = 'closed';
  }

  /** The state of ICE changes. */
  ice(state: string): void {
    this.iceConnectionState = state;
    this.oniceconnectionstatechange?.({});
  }

  /** A local candidate is there. */
  gathers(candidate: string): void {
    this.onicecandidate?.({ candidate: { candidate, sdpMid: '0', sdpMLineIndex: 0 } });
  }

  private sdp(): string {
    return `v=0\r\no=- ${this.id} ${++this.version} IN IP4 127.0.0.1\r\ns=-\r\na=ice-ufrag:u${this.id}\r\na=fingerprint:sha-256 ${this.id}\r\n`;
  }
}

export function installWebRtc(): void {
  FakePeerConnection.all = [];
  Object.assign(globalThis, { RTCPeerConnection: FakePeerConnection, MediaStream: FakeStream });
}

export const screen = (sound = false) =>
  new FakeStream(sound ? [new FakeTrack('video'), new FakeTrack('audio')] : [new FakeTrack('video')]) as unknown as MediaStream;

/** The picture of the newest connection arrives at the TV. */
export function arrives(tv: Tv): FakePeerConnection {
  const pc = FakePeerConnection.last;
  pc.ontrack?.({ streams: [new FakeStream([new FakeTrack('video')])], track: new FakeTrack('video') });
  pc.ice('connected');
  tv.showsPicture();
  return pc;
}
