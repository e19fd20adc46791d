import { Evidence } from './report';
import type { IceConfig } from './wire';
import { candidateFragment, usernameFragments } from './sdp';

const MAX_EARLY_CANDIDATES = 128;
/** Without a new candidate for so long, success is unlikely even where the browser never gives up, as without any candidate. */
const TRYING_MS = 30_000;

/**
 * The server's iceCandidatePoolSize is left out: now and then Chromium (seen with 156) signals pooled
 * candidates with component 0 or with the pool's own user name fragment, or not at all, and ICE never connects.
 */
export function configuration(config: IceConfig | null, relay = false): RTCConfiguration {
  const result: RTCConfiguration = { iceServers: config ? config.iceServers : [], bundlePolicy: 'max-bundle' };
  if (relay) result.iceTransportPolicy = 'relay';
  return result;
}

/** What a connection may use. */
export interface PeerOptions {
  /** Only the relay, to test it or to isolate a failure. */
  relayOnly?: boolean | undefined;
  /** Only the relay over TLS, on this side. */
  tls?: boolean | undefined;
}

/** The servers with their URLs of TURN over TLS alone. */
function tlsOnly(config: IceConfig): IceConfig {
  const iceServers = config.iceServers
    .map((server) => ({ ...server, urls: ([] as string[]).concat(server.urls).filter((url) => /^turns:/.test(url)) }))
    .filter((server) => server.urls.length > 0);
  return { iceServers };
}

/**
 * One RTCPeerConnection with its candidates in order: local ones wait until the local description has been
 * sent, remote ones until the remote description has been set.
 */
export class Peer {
  readonly pc: RTCPeerConnection;
  readonly evidence: Evidence;
  closed = false;
  private inbox: RTCIceCandidateInit[] = [];
  private outbox: RTCIceCandidateInit[] = [];
  private held = true;
  private fragments: string[] = [];
  private ready = false;
  private readonly tls: boolean;
  private readonly relay: boolean;

  constructor(config: IceConfig | null, private readonly send: (candidate: RTCIceCandidateInit) => void, options: PeerOptions = {}) {
    this.tls = options.tls === true;
    this.relay = this.tls || options.relayOnly === true;
    const used = this.tls && config ? tlsOnly(config) : config;
    this.pc = new RTCPeerConnection(configuration(used, this.relay));
    this.evidence = new Evidence(this.pc, used, this.relay);
    this.pc.onicecandidate = (event) => {
      this.evidence.localCandidate(event);
      const candidate = event.candidate;
      if (!candidate || !candidate.candidate) return;
      const init: RTCIceCandidateInit = {
        candidate: candidate.candidate,
        sdpMid: candidate.sdpMid,
        sdpMLineIndex: candidate.sdpMLineIndex,
      };
      if (candidate.usernameFragment) init.usernameFragment = candidate.usernameFragment;
      if (this.held) this.outbox.push(init);
      else this.send(init);
    };
  }

  /** Call it before creating a local description. */
  hold(): void {
    this.held = true;
  }

  /** Call it after sending that description. */
  release(): void {
    this.held = false;
    const waiting = this.outbox;
    this.outbox = [];
    waiting.forEach((candidate) => this.send(candidate));
  }

  async setRemote(description: RTCSessionDescriptionInit): Promise<void> {
    await this.pc.setRemoteDescription(description);
    this.evidence.remoteDescription(description.sdp ?? '');
    this.fragments = usernameFragments(description.sdp ?? '');
    this.ready = true;
    const waiting = this.inbox;
    this.inbox = [];
    for (let i = 0; i < waiting.length; i++) await this.add(waiting[i]!);
  }

  /** False if the candidate belongs to a description that has not arrived. */
  expects(candidate: RTCIceCandidateInit): boolean {
    const fragment = candidateFragment(candidate);
    return !this.ready || !fragment || this.fragments.indexOf(fragment) >= 0;
  }

  async candidate(candidate: RTCIceCandidateInit): Promise<void> {
    if (this.ready && this.expects(candidate)) return this.add(candidate);
    if (this.inbox.length < MAX_EARLY_CANDIDATES) this.inbox.push(candidate);
  }

  private async add(candidate: RTCIceCandidateInit): Promise<void> {
    this.evidence.remoteCandidate(candidate);
    try {
      await this.pc.addIceCandidate(candidate);
    } catch (error) {
      // The candidate belongs to another ICE generation, or this engine does not know its type. Other candidates suffice.
      console.debug('castway: candidate refused', error);
    }
  }

  configure(config: IceConfig): void {
    try {
      this.pc.setConfiguration(configuration(this.tls ? tlsOnly(config) : config, this.relay));
    } catch (error) {
      // Old engines lack it, and use the credentials for the next connection.
      console.debug('castway: setConfiguration refused', error);
    }
  }

  isUp(): boolean {
    const state = this.pc.iceConnectionState;
    return state === 'connected' || state === 'completed';
  }

  /** Neither up nor given up by the browser, nor hopeless. */
  isTrying(): boolean {
    return !this.closed && !this.isUp() && this.pc.iceConnectionState !== 'failed' && this.evidence.quiet < TRYING_MS;
  }

  close(): void {
    this.closed = true;
    this.pc.onicecandidate = null;
    this.pc.oniceconnectionstatechange = null;
    this.pc.ontrack = null;
    try {
      this.pc.close();
    } catch {
      // Some old engines throw if the connection is closed already.
    }
  }
}
