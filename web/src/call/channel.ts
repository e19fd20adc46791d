import { loadInfo } from '../lib/info';
import { onWake } from '../lib/wake';

const OPEN_TIMEOUT_MS = 8000;
const PROBE_TIMEOUT_MS = 3000;
const MIN_RETRY_DELAY_MS = 500;
const MAX_RETRY_DELAY_MS = 4000;
const MAX_QUEUED_MESSAGES = 256;
/** Attempts that fail in a row while HTTP works, until it is told that WebSockets don't get through. */
const BLOCKED_AFTER_FAILURES = 2;

interface Listener {
  /** A message of the other side. */
  heard(text: string): void;
  /** `again`: once more, after a break. */
  registered(again: boolean): void;
  offline(): void;
  /** Collider does not want this client any more. */
  refused(error: string): void;
}

/** Collider's WebSocket for one client of a room: opens and registers again for as long as it is not closed. */
export class Channel {
  online = false;

  private socket: WebSocket | null = null;
  private client: string | null = null;
  /** There was a time since the beginning when nothing was heard. */
  private broken = false;
  /** Attempts that failed in a row, each with HTTP working after it. */
  private failures = 0;
  private checking = false;
  /** Said while there was no way; delivered after the next registration. */
  private waiting: string[] = [];
  private pause = MIN_RETRY_DELAY_MS;
  private timer = 0;
  private closed = false;

  constructor(private readonly room: string, private readonly listener: Listener) {
    channels.push(this);
    this.open();
  }

  /** WebSockets do not get through, and HTTP does. */
  get blocked(): boolean {
    return !this.online && this.failures >= BLOCKED_AFTER_FAILURES;
  }

  register(client: string): void {
    this.client = client;
    this.greet();
  }

  send(text: string): void {
    if (this.online && this.socket && this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify({ cmd: 'send', msg: text }));
    else if (this.waiting.length < MAX_QUEUED_MESSAGES) this.waiting.push(text);
  }

  close(): void {
    this.closed = true;
    channels.splice(channels.indexOf(this), 1);
    this.drop();
  }

  /** After a sleep a socket may look open for minutes though nobody is at its other end. */
  probe(): void {
    const socket = this.socket;
    if (!socket || socket.readyState !== WebSocket.OPEN) return this.again(0);
    clearTimeout(this.timer);
    this.timer = window.setTimeout(() => this.again(0), PROBE_TIMEOUT_MS);
    // Answered with an error that closes nothing.
    socket.send('{"cmd":"probe"}');
  }

  private open(): void {
    const socket = new WebSocket(`${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/ws`);
    this.socket = socket;
    this.timer = window.setTimeout(() => this.failed(), OPEN_TIMEOUT_MS);
    socket.onopen = () => {
      clearTimeout(this.timer);
      this.failures = 0;
      socket.onclose = () => this.again();
      this.greet();
    };
    socket.onmessage = (event) => this.take(String(event.data));
    socket.onclose = () => this.failed();
  }

  /** The socket did not open. A server that is down answers to nothing else either. */
  private failed(): void {
    this.again();
    if (this.checking) return;
    this.checking = true;
    void loadInfo().then((info) => {
      this.checking = false;
      if (this.closed || (this.socket && this.socket.readyState === WebSocket.OPEN)) return;
      this.failures = info ? this.failures + 1 : 0;
      this.listener.offline();
    });
  }

  private greet(): void {
    const socket = this.socket;
    if (!this.client || !socket || socket.readyState !== WebSocket.OPEN) return;
    socket.send(JSON.stringify({ cmd: 'register', roomid: this.room, clientid: this.client }));
    this.online = true;
    this.pause = MIN_RETRY_DELAY_MS;
    const waiting = this.waiting;
    this.waiting = [];
    waiting.forEach((text) => this.send(text));
    this.listener.registered(this.broken);
    this.broken = false;
  }

  private take(frame: string): void {
    clearTimeout(this.timer);
    let parsed: { msg?: string; error?: string };
    try {
      parsed = JSON.parse(frame) as typeof parsed;
    } catch {
      return;
    }
    if (parsed.msg) this.listener.heard(parsed.msg);
    const error = parsed.error ?? '';
    if (!error || /unexpected 'cmd'/.test(error)) return;
    console.warn('castway: Collider says', error);
    // Our socket of before, whose end the server has not noticed yet: end it, and come back.
    if (/Duplicated registration/.test(error)) void fetch(`/${this.room}/${this.client}`, { method: 'DELETE' }).catch(() => undefined);
    else this.listener.refused(error);
  }

  private again(pause = this.pause): void {
    if (this.closed) return;
    this.drop();
    this.broken = true;
    this.pause = Math.min(this.pause * 2, MAX_RETRY_DELAY_MS);
    this.timer = window.setTimeout(() => this.open(), pause);
    this.listener.offline();
  }

  private drop(): void {
    clearTimeout(this.timer);
    this.online = false;
    const socket = this.socket;
    this.socket = null;
    if (!socket) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
  }
}

const channels: Channel[] = [];
onWake(() => channels.forEach((channel) => channel.probe()));
