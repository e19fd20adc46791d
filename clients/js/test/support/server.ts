// A server in the place of Socket.IO's client: it receives what the library emits and answers it.
import { vi } from 'vitest';

type Handler = (...args: never[]) => void;
export type Answer = (...args: never[]) => unknown;

/** One connection, as the library sees it. */
export class FakeSocket {
  connected = false;
  active = true;
  disconnected = false;
  /** What the library has sent, in order. */
  readonly sent: { event: string; args: unknown[] }[] = [];
  readonly io = { engine: { close: () => this.drop('transport close') } };
  private readonly handlers: Record<string, Handler[]> = {};

  constructor(private readonly server: FakeServer, readonly url: string, readonly options: Record<string, unknown>) {}

  on(event: string, handler: Handler): this {
    (this.handlers[event] = this.handlers[event] ?? []).push(handler);
    return this;
  }

  emit(event: string, ...args: unknown[]): this {
    const ack = typeof args[args.length - 1] === 'function' ? (args.pop() as (reply: unknown) => void) : null;
    this.sent.push({ event, args });
    const reply = this.server.answer(event, args);
    if (ack && reply !== undefined) queueMicrotask(() => ack(reply));
    return this;
  }

  timeout(milliseconds: number): { emit(event: string, ...args: unknown[]): void } {
    return {
      emit: (event, ...args) => {
        const ack = args.pop() as (error: unknown, reply?: unknown) => void;
        let done = false;
        const end = (error: unknown, reply?: unknown) => {
          if (done) return;
          done = true;
          clearTimeout(timer);
          ack(error, reply);
        };
        const timer = setTimeout(() => end(new Error('operation has timed out')), milliseconds);
        this.emit(event, ...args, (reply: unknown) => end(null, reply));
      },
    };
  }

  connect(): this {
    if (this.server.up && !this.connected) {
      this.connected = true;
      this.fire('connect');
    }
    return this;
  }

  disconnect(): this {
    this.connected = false;
    this.disconnected = true;
    return this;
  }

  /** The server sends an event. */
  hears(event: string, ...args: unknown[]): void {
    this.fire(event, ...args);
  }

  /** The connection is lost. */
  drop(reason = 'transport close'): void {
    if (!this.connected) return;
    this.connected = false;
    this.fire('disconnect', reason);
  }

  /** The arguments of the events of this name that the library has sent. */
  all(event: string): unknown[][] {
    return this.sent.filter((one) => one.event === event).map((one) => one.args);
  }

  last(event: string): unknown[] | undefined {
    return this.all(event).pop();
  }

  private fire(event: string, ...args: unknown[]): void {
    (this.handlers[event] ?? []).forEach((handler) => (handler as (...args: unknown[]) => void)(...args));
  }
}

export class FakeServer {
  up = true;
  readonly sockets: FakeSocket[] = [];
  readonly answers: Record<string, Answer> = {
    JOIN_ROOM: (code: string) => ({ ok: true, code, resumeToken: `caster-${code}`, resumed: false }),
    TV_INIT: () => ({ ok: true, code: 'ABC123', resumeToken: 'tv-ABC123', resumed: false }),
    CAST_REPORT: () => ({ ok: true }),
  };

  get socket(): FakeSocket {
    const socket = this.sockets[this.sockets.length - 1];
    if (!socket) throw new Error('the library has not connected');
    return socket;
  }

  answer(event: string, args: unknown[]): unknown {
    const answer = this.answers[event];
    return answer ? answer(...(args as never[])) : { ok: true };
  }

  readonly io = vi.fn((url: string, options: Record<string, unknown>) => {
    const socket = new FakeSocket(this, url, options);
    this.sockets.push(socket);
    queueMicrotask(() => socket.connect());
    return socket;
  });
}
