import { at, server } from '../lib/base';
import { loadInfo } from '../lib/info';
import { onWake } from '@castway/client/parts';

const OPEN_TIMEOUT_MS = 8000;
const PROBE_TIMEOUT_MS = 3000;
const MIN_RETRY_DELAY_MS = 500;
const MAX_RETRY_DELAY_MS = 4000;
const MAX_QUEUED_MESSAGES = 256;
/** After so many consecutive failures while HTTP works, the page reports that WebSockets are blocked. */
const BLOCKED_AFTER_FAILURES = 2;

interface Listener {
  /** A message from the other side arrived. */
  heard(text: string): void;
  /** The socket has registered; `again` after an interruption. */
  registered(again: boolean): void;
  offline(): void;
  /** The server's operator has closed the room. */
  closed(): void;
  /** Collider has closed this client's slot. */
  refused(error: string): void;
}

/** Collider's WebSocket for one client of a room. It reconnects and registers again until it is closed. */
export class Channel {
  online = false;

  private socket: WebSocket | null = null;
  private client: string | null = null;
  /** The connection has been interrupted at least once. */
  private broken = false;
  /** Consecutive failed attempts, each with HTTP working afterwards. */
  private failures = 0;
  private checking = false;
  /** Queued while the socket is down, and sent after the next registration. */
  private waiting: string[] = [];
  private pause = MIN_RETRY_DELAY_MS;
  private timer = 0;
  private closed = false;

  constructor(private readonly room: string, private readonly listener: Listener) {
    channels.push(this);
    this.open();
  }

  /** WebSockets are blocked, but HTTP works. */
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

  /** After the device slept, a dead socket can look open for minutes. */
  probe(): void {
    const socket = this.socket;
    if (!socket || socket.readyState !== WebSocket.OPEN) return this.again(0);
    clearTimeout(this.timer);
    this.timer = window.setTimeout(() => this.again(0), PROBE_TIMEOUT_MS);
    // Collider answers this command with an error that does not close the socket.
    socket.send('{"cmd":"probe"}');
  }

  private open(): void {
    const socket = new WebSocket(`${server.replace(/^http/, 'ws')}/ws`);
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

  /** The socket did not open. HTTP tells whether the server is down or WebSockets are blocked. */
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
    let parsed: { msg?: string; error?: string; reason?: string };
    try {
      parsed = JSON.parse(frame) as typeof parsed;
    } catch {
      return;
    }
    // Beside a bye, by which other clients end the call.
    if (parsed.reason === 'ended_by_operator') return this.listener.closed();
    if (parsed.msg) this.listener.heard(parsed.msg);
    const error = parsed.error ?? '';
    if (!error || /unexpected 'cmd'/.test(error)) return;
    console.warn('castway: Collider says', error);
    // The server has not noticed that the previous socket is closed: remove its slot, and register again.
    if (/Duplicated registration/.test(error)) void fetch(at(`/${this.room}/${this.client}`), { method: 'DELETE' }).catch(() => undefined);
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
