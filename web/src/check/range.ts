import { until } from '@castway/client/parts';
import type { RangeOffer } from './api';
import { close, GATHER_TIMEOUT_MS, isUp, localSdp, open, parse, sendAnswer, sendOffer, split, sumOfPairs } from './peers';

export interface RangeResult {
  sent: number;
  arrived: number;
  denied: boolean;
}

const ARRIVE_TIMEOUT_MS = 6000;
const PACKETS = 5;
/** A port of this device where nothing listens. */
const OTHER_PORT = 64_999;

const isIp = (address: string) => /^[\d.]+$/.test(address) || /:/.test(address);

/** What the relayed end is told of the sender: its addresses, but not the port that it sends from. */
const decoy = (address: string) => `candidate:1 1 udp 1 ${address} ${OTHER_PORT} typ host`;

/** Whether the browser takes one of the candidates at least. Old engines have another name for the only media section than `0`. */
async function addAny(pc: RTCPeerConnection, candidates: string[]): Promise<boolean> {
  const mid = /^a=mid:(\S+)/m.exec((pc.remoteDescription && pc.remoteDescription.sdp) || '');
  let added = false;
  for (let i = 0; i < candidates.length; i++) {
    try {
      await pc.addIceCandidate({ candidate: candidates[i]!, sdpMLineIndex: 0, sdpMid: mid ? mid[1]! : '0' });
      added = true;
    } catch {
      // The browser does not take this one; it may take another.
    }
  }
  return added;
}

function addressesOf(sdp: string, fallback: string | undefined): string[] {
  const parsed = split(sdp).candidates.map(parse);
  const of = (type: string) => parsed.filter((one) => one && one.type === type && isIp(one.address)).map((one) => one!.address);
  const reflexive = of('srflx');
  const known = reflexive.length ? reflexive : of('host').concat(fallback ? [fallback] : []);
  return known.filter((address, at) => known.indexOf(address) === at).slice(0, 4);
}

async function run(relayed: RTCPeerConnection, sender: RTCPeerConnection, offer: RangeOffer): Promise<RangeResult | null> {
  let gathered = false;
  sender.onicecandidate = ({ candidate }) => {
    if (!candidate) gathered = true;
  };
  sender.createDataChannel('range');
  await sendOffer(sender);
  await until(() => gathered || sender.iceGatheringState === 'complete', GATHER_TIMEOUT_MS);
  const addresses = addressesOf(localSdp(sender), offer.address);
  if (!addresses.length) return null;

  const relays: string[] = [];
  relayed.onicecandidate = ({ candidate }) => {
    const seen = candidate && candidate.candidate ? parse(candidate.candidate) : null;
    if (seen && seen.type === 'relay') relays.push(candidate!.candidate);
  };
  await relayed.setRemoteDescription({ type: 'offer', sdp: split(localSdp(sender)).rest });
  await sendAnswer(relayed);
  if (!(await until(() => relays.length > 0, GATHER_TIMEOUT_MS))) return null;

  // The relay must permit the sender's address. But had it sent to the sender's port, the firewall in front of it would let the
  // answers in, so it gets to know another port, and the sender's packets come unasked for.
  if (!(await addAny(relayed, addresses.map(decoy)))) return null;
  await sender.setRemoteDescription({ type: 'answer', sdp: split(localSdp(relayed)).rest });
  if (!(await addAny(sender, relays))) return null;

  let received = 0;
  let counting = false;
  const arrived = () => isUp(sender) || isUp(relayed) || received > 0;
  await until(() => {
    if (!counting) {
      counting = true;
      void sumOfPairs(relayed, 'requestsReceived').then((sum) => {
        received = sum || 0;
        counting = false;
      });
    }
    return arrived();
  }, ARRIVE_TIMEOUT_MS);
  const sent = Math.max(PACKETS, (await sumOfPairs(sender, 'requestsSent')) || 0);
  return { sent, arrived: arrived() ? Math.min(sent, Math.max(received, PACKETS)) : 0, denied: false };
}

/**
 * Sends from this device's own address to its relayed one, so that the packets cross the firewall in front of the relayed ports.
 * `null`: nothing could be tested.
 */
export async function testRange(url: string, stun: string | undefined, offer: RangeOffer): Promise<RangeResult | null> {
  const turn = { urls: url, username: offer.username || '', credential: offer.credential || '' };
  const relayed = open({ iceServers: [turn], iceTransportPolicy: 'relay' });
  const sender = open({ iceServers: stun ? [{ urls: stun }] : [] });
  try {
    return relayed && sender ? await run(relayed, sender, offer) : null;
  } catch {
    return null;
  } finally {
    close(relayed);
    close(sender);
  }
}
