import type { IceConfig } from '@castway/client/parts';
import { at } from '../lib/base';

const ICE_SERVERS_TIMEOUT_MS = 5000;
/** New connections don't use credentials beyond this part of their lifetime. */
const REFRESH_AFTER_PART = 0.75;
const DEFAULT_LIFETIME_MS = 600_000;

/** The server's ICE servers, requested again before their credentials expire. */
export class IceServers {
  config: IceConfig | null = null;
  /** By the clock, which may be set back, and by the time of the page, which may stop while the machine sleeps. */
  private until = { clock: 0, page: 0 };
  private asking: Promise<IceConfig | null> | null = null;

  /** Milliseconds until the servers have to be requested again. */
  get fresh(): number {
    return Math.max(0, Math.min(this.until.clock - Date.now(), this.until.page - performance.now()));
  }

  /** Returns the previous servers if the server can't be reached: they may still work. */
  current(): Promise<IceConfig | null> {
    if (this.fresh > 0) return Promise.resolve(this.config);
    if (!this.asking) {
      const done = () => (this.asking = null);
      this.asking = this.ask();
      this.asking.then(done, done);
    }
    return this.asking;
  }

  private async ask(): Promise<IceConfig | null> {
    const key = /[?&]apikey=([^&#]*)/.exec(location.search);
    const answer = fetch(at(`/v1alpha/iceconfig?key=${key ? key[1] : ''}`), { method: 'POST' }).then((response) => {
      if (!response.ok) throw new Error(`status ${response.status}`);
      return response.json() as Promise<IceConfig & { lifetimeDuration?: string }>;
    });
    try {
      const late = new Promise<never>((_, reject) => setTimeout(() => reject(new Error('too late')), ICE_SERVERS_TIMEOUT_MS));
      const body = await Promise.race([answer, late]);
      if (!Array.isArray(body.iceServers)) throw new Error('no iceServers');
      this.config = { iceServers: body.iceServers };
      const seconds = parseFloat(body.lifetimeDuration ?? '');
      const life = (seconds > 0 ? seconds * 1000 : DEFAULT_LIFETIME_MS) * REFRESH_AFTER_PART;
      this.until = { clock: Date.now() + life, page: performance.now() + life };
    } catch (error) {
      console.warn('castway: no ICE servers', error);
    }
    return this.config;
  }
}
