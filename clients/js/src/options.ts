/** What a caster and a TV have in common. */
export interface ClientOptions {
  /** The server's address, such as `https://cast.example.org` or `https://example.org/cast`; by default that of the page. */
  server?: string | undefined;
  /** Use only the relay, to test it or to isolate a failure. */
  relayOnly?: boolean | undefined;
}
