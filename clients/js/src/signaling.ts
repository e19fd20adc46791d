import { io, type Socket } from 'socket.io-client';
import { serverAddress } from './server';
import { onWake } from './wake';
import type { WireError } from './wire';

const ACK_TIMEOUT = 8000;
const PROBE_TIMEOUT = 3000;

export type Reply<T> = ({ ok: true } & T) | { ok: false; error: WireError };

/** The Socket.IO connection. It reconnects for ever, and detects a connection that died while the device slept. */
export class Signaling {
  private readonly socket: Socket;
  private probing = false;
  private timer = 0;
  private readonly asleep: () => void;

  /** `server`: an address such as `https://example.org/cast`, or that of the page. */
  constructor(server: string | undefined, onOnline: () => void, onOffline: (first: boolean) => void) {
    const { origin, path } = serverAddress(server);
    this.socket = io(`${origin}/`, {
      path: `${path}/socket.io/`,
      reconnection: true,
      reconnectionAttempts: Infinity,
      reconnectionDelay: 500,
      reconnectionDelayMax: 4000,
      timeout: 8000,
    });
    this.socket.on('connect', onOnline);
    this.socket.on('disconnect', (reason) => {
      onOffline(false);
      // After this reason the client library does not reconnect.
      if (reason === 'io server disconnect') this.connectAfter(1000);
    });
    this.socket.on('connect_error', () => {
      onOffline(true);
      // The client library does not reconnect after a refused namespace either.
      if (!this.socket.active) this.connectAfter(2000);
    });
    this.asleep = onWake(() => this.probe());
  }

  get online(): boolean {
    return this.socket.connected;
  }

  close(): void {
    this.asleep();
    clearTimeout(this.timer);
    this.socket.disconnect();
  }

  on(event: string, handler: (payload: unknown) => void): void {
    this.socket.on(event, handler);
  }

  /** Drops the event while offline: it would be outdated after a reconnect. */
  send(event: string, ...args: unknown[]): void {
    if (this.socket.connected) this.socket.emit(event, ...args);
  }

  request<T>(event: string, ...args: unknown[]): Promise<Reply<T>> {
    return new Promise((resolve) => {
      if (!this.socket.connected) return resolve({ ok: false, error: { code: 'offline' } });
      this.socket.timeout(ACK_TIMEOUT).emit(event, ...args, (timeout: unknown, reply: Reply<T> | undefined) => {
        if (timeout || !reply) resolve({ ok: false, error: { code: this.socket.connected ? 'timeout' : 'offline' } });
        else resolve(reply);
      });
    });
  }

  private connectAfter(milliseconds: number): void {
    clearTimeout(this.timer);
    this.timer = window.setTimeout(() => this.socket.connect(), milliseconds);
  }

  /** After the device slept, a dead socket can look open for most of a minute. */
  private probe(): void {
    if (this.probing) return;
    if (!this.socket.connected) {
      this.socket.io.engine?.close();
      this.socket.connect();
      return;
    }
    this.probing = true;
    const engine = this.socket.io.engine;
    this.socket.timeout(PROBE_TIMEOUT).emit('CONFIG', {}, (timeout: unknown) => {
      this.probing = false;
      if (timeout && this.socket.io.engine === engine) engine.close();
    });
  }
}
