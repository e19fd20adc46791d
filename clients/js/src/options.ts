import type { AuthSource } from './auth';

/** What a caster and a TV have in common. */
export interface ClientOptions {
  /** The server's address, such as `https://cast.example.org` or `https://example.org/cast`; by default that of the page. */
  server?: string | undefined;
  /** Who the user is, for servers that want to know it. */
  auth?: AuthSource | undefined;
  /** Use only the relay, to test it or to isolate a failure. */
  relayOnly?: boolean | undefined;
}
