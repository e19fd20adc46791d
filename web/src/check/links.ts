import { later, until } from '@castway/client/parts';
import { t } from '../lib/i18n';
import { poll, signal, type Started } from './api';
import { close, isOver, isUp, localSdp, open, sendAnswer, sendOffer } from './peers';
import type { Row } from './rows';

export type LinkName = 'direct' | 'relay-udp' | 'relay-tcp' | 'relay-tls';

export const LINKS: LinkName[] = ['direct', 'relay-udp', 'relay-tcp', 'relay-tls'];

/** What came of one way between the devices, as the server reads it. */
export interface LinkResult {
  route: 'direct' | 'relay';
  protocol: string | null;
  connected: boolean;
  rttMs: number | null;
  loss: number | null;
  mbits: number | null;
}

type Message =
  | { type: 'offer' | 'answer'; link: LinkName; sdp: string }
  | { type: 'missing' | 'count'; link: LinkName }
  | { type: 'counted'; link: LinkName; received: number; bytes: number }
  | { type: 'done' };

/** What goes over the wire in a test: at most 19 Mbit/s for 5 s. */
const TEST_MS = 5000;
const BURST_MS = 20;
const BURST_PACKETS = 40;
const PACKET_BYTES = 1200;
const MAX_BUFFERED_BYTES = 65_536;
const PING_MS = 200;

const GATHER_MS = 5000;
const CONNECT_MS = 12_000;
const ANSWER_MS = 30_000;

const protocolOf = (link: LinkName) => (link === 'direct' ? null : link.slice('relay-'.length));

/** The configuration of a link; `null`: the server has no such URL. */
function configuration(started: Started, link: LinkName): RTCConfiguration | null {
  const kind = link === 'direct' ? 'stun' : protocolOf(link);
  const path = started.paths.filter((one) => one.kind === kind)[0];
  if (link === 'direct') return { iceServers: path ? [{ urls: path.url }] : [] };
  if (!path) return null;
  return {
    iceServers: [{ urls: path.url, username: path.username || '', credential: path.credential || '' }],
    iceTransportPolicy: 'relay',
  };
}

/** Messages between the two devices, over the server. */
class Line {
  private readonly waiting: Message[] = [];
  private ended = false;

  constructor(private readonly session: string) {
    void this.read();
  }

  private async read(): Promise<void> {
    let failures = 0;
    while (!this.ended && failures < 5) {
      try {
        const { messages } = await poll(this.session, true);
        failures = 0;
        messages.forEach((text) => this.take(text));
      } catch {
        failures++;
        await later(1000);
      }
    }
    this.ended = true;
  }

  /** The other device is no more trusted than anybody: what is no message is dropped. */
  private take(text: string): void {
    try {
      const message = JSON.parse(text) as Message;
      if (message && typeof message === 'object' && typeof message.type === 'string') this.waiting.push(message);
    } catch {
      // Dropped.
    }
  }

  async send(message: Message): Promise<void> {
    await signal(this.session, JSON.stringify(message));
  }

  /** The next message that `wanted` accepts; others that came before it are dropped. `null`: none came in time. */
  async next(wanted: (message: Message) => boolean, milliseconds: number): Promise<Message | null> {
    let found: Message | undefined;
    await until(() => {
      while (!found && this.waiting.length) {
        const message = this.waiting.shift()!;
        if (wanted(message)) found = message;
      }
      return !!found || this.ended;
    }, milliseconds);
    return found || null;
  }

  putBack(message: Message): void {
    this.waiting.unshift(message);
  }

  end(): void {
    this.ended = true;
  }
}

async function gather(pc: RTCPeerConnection): Promise<string> {
  await until(() => pc.iceGatheringState === 'complete', GATHER_MS);
  return localSdp(pc);
}

/** Sends for five seconds. Returns how many packets and bytes went out, and the mean round trip. */
async function load(channel: RTCDataChannel): Promise<{ sent: number; rttMs: number | null }> {
  const packet = new Uint8Array(PACKET_BYTES);
  const trips: number[] = [];
  const pings: Record<string, number> = {};
  channel.onmessage = ({ data }) => {
    const began = typeof data === 'string' ? pings[data] : undefined;
    if (began !== undefined && trips.length < 100) trips.push(performance.now() - began);
  };
  const began = performance.now();
  let [sent, pinged, number] = [0, -PING_MS, 0];
  while (performance.now() - began < TEST_MS && channel.readyState === 'open') {
    if (performance.now() - began - pinged >= PING_MS) {
      pinged = performance.now() - began;
      pings[`p${++number}`] = performance.now();
      channel.send(`p${number}`);
    }
    for (let i = 0; i < BURST_PACKETS && channel.bufferedAmount < MAX_BUFFERED_BYTES; i++) {
      channel.send(packet);
      sent++;
    }
    await later(BURST_MS);
  }
  await until(() => channel.bufferedAmount === 0, 2000);
  const sum = trips.reduce((total, trip) => total + trip, 0);
  return { sent, rttMs: trips.length ? Math.round((sum / trips.length) * 10) / 10 : null };
}

async function lead(started: Started, line: Line, link: LinkName): Promise<LinkResult | null> {
  const config = configuration(started, link);
  const pc = config && open(config);
  if (!pc) return null;
  const result: LinkResult = { route: link === 'direct' ? 'direct' : 'relay', protocol: protocolOf(link), connected: false, rttMs: null, loss: null, mbits: null };
  try {
    const channel = pc.createDataChannel('link', { ordered: false, maxRetransmits: 0 });
    await sendOffer(pc);
    await line.send({ type: 'offer', link, sdp: await gather(pc) });
    const isAbout = (message: Message) => 'link' in message && message.link === link;
    const answer = await line.next(isAbout, ANSWER_MS);
    if (!answer || answer.type !== 'answer') return answer ? null : result;
    await pc.setRemoteDescription({ type: 'answer', sdp: answer.sdp });
    await until(() => channel.readyState === 'open' || isOver(pc), CONNECT_MS);
    if (channel.readyState !== 'open') return result;
    result.connected = true;
    const { sent, rttMs } = await load(channel);
    await line.send({ type: 'count', link });
    const counted = await line.next((message) => isAbout(message) && message.type === 'counted', ANSWER_MS);
    result.rttMs = rttMs;
    if (counted && counted.type === 'counted' && sent > 0) {
      result.loss = Math.min(1, Math.max(0, 1 - Number(counted.received) / sent)) || 0;
      result.mbits = Math.round(((Number(counted.bytes) * 8) / TEST_MS / 1000) * 10) / 10 || 0;
    }
    return result;
  } catch {
    return result;
  } finally {
    close(pc);
  }
}

function show(row: Row, result: LinkResult | null): void {
  if (!result) return row.set('untested', '', t.checkLinkMissing);
  if (!result.connected) return row.set('failed', '', t.checkLinkFailed);
  const ms = result.rttMs === null ? '–' : t.checkMs(Math.round(result.rttMs));
  const loss = result.loss === null ? '–' : `${Math.round(result.loss * 1000) / 10} %`;
  row.set('ok', t.checkLinkValue(ms, loss, result.mbits === null ? '–' : String(result.mbits)));
}

/** The first device tests each way to the second one in turn. */
export async function leadLinks(started: Started, rows: Record<LinkName, Row>): Promise<LinkResult[]> {
  const line = new Line(started.session);
  const results: LinkResult[] = [];
  for (let i = 0; i < LINKS.length; i++) {
    const link = LINKS[i]!;
    rows[link].set('running');
    const result = await lead(started, line, link);
    show(rows[link], result);
    if (result) results.push(result);
  }
  await line.send({ type: 'done' }).catch(() => undefined);
  line.end();
  return results;
}

async function follow(started: Started, line: Line, offer: { link: LinkName; sdp: string }, row: Row): Promise<void> {
  const config = configuration(started, offer.link);
  const pc = config && open(config);
  if (!pc) {
    row.set('untested', '', t.checkLinkMissing);
    return line.send({ type: 'missing', link: offer.link });
  }
  let [received, bytes] = [0, 0];
  pc.ondatachannel = ({ channel }) => {
    channel.binaryType = 'arraybuffer';
    channel.onmessage = ({ data }) => {
      if (typeof data === 'string') return channel.readyState === 'open' ? channel.send(data) : undefined;
      received++;
      bytes += (data as ArrayBuffer).byteLength;
    };
  };
  try {
    await pc.setRemoteDescription({ type: 'offer', sdp: offer.sdp });
    await sendAnswer(pc);
    await line.send({ type: 'answer', link: offer.link, sdp: await gather(pc) });
    // Where this way fails, the first device goes on to the next one.
    const isNext = (message: Message) => message.type === 'offer' || message.type === 'done';
    const isCount = (message: Message) => message.type === 'count' && message.link === offer.link;
    const next = await line.next((message) => isNext(message) || isCount(message), CONNECT_MS + TEST_MS + ANSWER_MS);
    const asked = next && isCount(next);
    if (next && !asked) line.putBack(next);
    row.set(asked && (isUp(pc) || received > 0) ? 'ok' : 'failed', '', asked ? '' : t.checkLinkFailed);
    if (asked) await line.send({ type: 'counted', link: offer.link, received, bytes });
  } finally {
    close(pc);
  }
}

/** The second device answers what the first one offers. */
export async function followLinks(started: Started, rows: Record<LinkName, Row>): Promise<boolean> {
  const line = new Line(started.session);
  try {
    for (;;) {
      const next = await line.next((message) => message.type === 'offer' || message.type === 'done', 3 * ANSWER_MS);
      if (!next || next.type === 'done') return !!next;
      if (next.type !== 'offer' || LINKS.indexOf(next.link) < 0) continue;
      rows[next.link].set('running');
      await follow(started, line, next, rows[next.link]).catch(() => rows[next.link].set('failed'));
    }
  } finally {
    line.end();
  }
}
