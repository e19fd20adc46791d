import { later, type LiveReport, type Report } from '@castway/client/parts';
import { at } from '../lib/base';
import { Channel } from './channel';
import { joinQuery } from './token';
import { NO_OP_MESSAGE, parse, type Message } from './wire';

const REQUEST_TIMEOUT_MS = 8000;
const MIN_RETRY_DELAY_MS = 1000;
const MAX_RETRY_DELAY_MS = 8000;

export type Refusal = 'full' | 'server_full' | 'server_error' | 'not_allowed' | 'not_decided';

interface Listener {
  /** This page has joined. `messages` are those that the other side has sent before. */
  joined(messages: Message[]): void;
  message(message: Message): void;
  /** The page has its place again after an interruption of signaling. */
  back(): void;
  /** `online` has changed. */
  changed(): void;
  /** `reason`: the sentence of the operator, who does not allow the call. */
  refused(why: Refusal, reason?: string): void;
  /** The server's operator has closed the call, and this page has no place any more. */
  closed(): void;
}

interface Reply {
  status: number;
  retryAfter: number;
  body: {
    result?: string;
    params?: { client_id?: string; is_initiator?: string; messages?: string[] };
    /** Where the operator's server decides who may call. */
    error?: { code?: string; reason?: string };
  };
}

function refusalOf({ status, body }: Reply): Refusal {
  const code = body.error && body.error.code;
  if (body.result === 'FULL') return 'full';
  if (code === 'refused') return 'not_allowed';
  if (code === 'unavailable') return 'not_decided';
  return status === 503 ? 'server_full' : 'server_error';
}

/** Null if the server was not reached. */
async function post(path: string, body = '', keepalive = false): Promise<Reply | null> {
  try {
    const request = fetch(at(path), { method: 'POST', body, keepalive });
    const response = await Promise.race([request, later(REQUEST_TIMEOUT_MS)]);
    if (!response) return null;
    const retryAfter = Number(response.headers.get('Retry-After')) || 0;
    const reply = (await response.json().catch(() => ({}))) as Reply['body'];
    return { status: response.status, retryAfter, body: reply };
  } catch {
    return null;
  }
}

/** This page's place in a room of the AppRTC server. It survives network interruptions and restarts of the server. */
export class Room {
  /** Whether this page offers. The initiator sends through the room server, the callee through Collider. */
  initiator = false;

  /** The room server did not answer the last join. */
  unreached = false;

  private client: string | null = null;
  private channel: Channel | null = null;
  /** Requests are sequential: the offer has to arrive before its candidates. */
  private outbox: Promise<void> = Promise.resolve();
  /** The last client, whose reports the server takes for a while after it has left. */
  private reporting: string | null = null;
  /** Counts the joins; messages of an earlier one are dropped. */
  private place = 0;
  /** The request of the last join, and the one that frees its place if nobody wants it any more. */
  private joining: Promise<unknown> = Promise.resolve();

  constructor(readonly name: string, private readonly listener: Listener) {}

  get online(): boolean {
    return this.channel !== null && this.channel.online;
  }

  /** The server answers, but no WebSocket connection opens. */
  get blocked(): boolean {
    return this.channel !== null && this.channel.blocked;
  }

  async join(): Promise<void> {
    this.forget();
    const place = this.place;
    for (let pause = MIN_RETRY_DELAY_MS; ; pause = Math.min(pause * 2, MAX_RETRY_DELAY_MS)) {
      // Beside an earlier place of this page, a new one would be that of the other side.
      await this.joining;
      if (place !== this.place) return;
      const channel = this.openChannel();
      this.channel = channel;
      const request = post(`/join/${this.name}${joinQuery()}`);
      this.joining = request.then((reply) => {
        const client = reply && reply.body.params && reply.body.params.client_id;
        // The user has left in the meantime.
        return client && place !== this.place ? post(`/leave/${this.name}/${client}`) : null;
      });
      const reply = await request;
      if (place !== this.place) return;
      const params = reply && reply.body.params;
      this.unreached = !reply || !reply.body.result;
      if (reply && reply.body.result === 'SUCCESS' && params && params.client_id) {
        this.client = this.reporting = params.client_id;
        this.initiator = params.is_initiator === 'true';
        channel.register(params.client_id);
        const messages = (params.messages ?? []).map(parse).filter((message) => message !== null) as Message[];
        return this.listener.joined(messages);
      }
      channel.close();
      this.channel = null;
      this.listener.changed();
      // An answer without a result comes from a proxy, and 429 means to retry later.
      if (reply && reply.body.result && reply.status !== 429) {
        return this.listener.refused(refusalOf(reply), reply.body.error && reply.body.error.reason);
      }
      await later(Math.max(pause, reply ? reply.retryAfter * 1000 : 0));
      if (place !== this.place) return;
    }
  }

  send(message: Message): void {
    const text = JSON.stringify(message);
    if (this.initiator) this.queue(text);
    else this.channel?.send(text);
  }

  /** Sends a report about the connection; null if the server does not take it. */
  async report({ send, ...report }: (Report | LiveReport) & { send?: true }): Promise<unknown> {
    const { reporting } = this;
    if (!reporting) return null;
    const reply = await post(`/report/${this.name}/${reporting}${send ? '?send=1' : ''}`, JSON.stringify(report), true);
    return reply && reply.status === 200 ? reply.body : null;
  }

  /** Leaves the room and sends a bye, in the order that the other side needs. */
  async leave(): Promise<void> {
    const { client, channel, name } = this;
    if (client) this.channel = null;
    this.forget();
    if (!client || !channel) return;
    await post(`/leave/${name}/${client}`);
    channel.send(JSON.stringify({ type: 'bye' }));
    await fetch(at(`/${name}/${client}`), { method: 'DELETE' }).catch(() => undefined);
    channel.close();
  }

  /** Does the same while the page is closing, when browsers send only beacons. */
  abandon(): void {
    const { client, channel, name } = this;
    if (client) navigator.sendBeacon(at(`/leave/${name}/${client}`));
    channel?.send(JSON.stringify({ type: 'bye' }));
    this.channel = null;
    this.forget();
  }

  private openChannel(): Channel {
    const mine = <A extends unknown[]>(handle: (...args: A) => void) => (...args: A) => {
      if (channel === this.channel) handle(...args);
    };
    const channel: Channel = new Channel(this.name, {
      heard: mine((text: string) => {
        const message = parse(text);
        if (message) this.listener.message(message);
      }),
      registered: mine((again: boolean) => {
        // A registration succeeds even if the room server has restarted and lost the membership.
        if (again) this.queue(NO_OP_MESSAGE, () => this.listener.back());
        this.listener.changed();
      }),
      offline: mine(() => this.listener.changed()),
      refused: mine(() => this.rejoin()),
      closed: mine(() => {
        this.forget();
        this.listener.closed();
      }),
    });
    return channel;
  }

  private rejoin(): void {
    const { place } = this;
    void later(MIN_RETRY_DELAY_MS).then(() => {
      if (place === this.place) void this.join();
    });
  }

  private queue(text: string, then?: () => void): void {
    const { place, client } = this;
    const current = () => place === this.place && client !== null;
    this.outbox = this.outbox.then(async () => {
      while (current()) {
        const reply = await post(`/message/${this.name}/${client}`, text);
        if (!current()) return;
        const result = reply && reply.body.result;
        if (result) {
          if (/^UNKNOWN_/.test(result)) return this.rejoin();
          if (result !== 'SUCCESS') console.warn('castway: not delivered', result);
          return then?.();
        }
        await later(MIN_RETRY_DELAY_MS);
      }
    });
  }

  private forget(): void {
    this.place++;
    this.client = null;
    this.outbox = Promise.resolve();
    this.channel?.close();
    this.channel = null;
  }
}
