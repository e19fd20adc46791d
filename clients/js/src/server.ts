/** Where a Castway server is: its origin, and the path under which a proxy shows it. */
export interface ServerAddress {
  origin: string;
  /** Without a slash at its end; empty for the root. */
  path: string;
}

/** Reads an address such as `https://example.org/cast/`. Without one it is the origin of the page. */
export function serverAddress(server?: string): ServerAddress {
  const [, origin, path] = /^(\w+:\/\/[^/?#]+)([^?#]*)/.exec(server ?? location.origin) ?? [];
  if (!origin) throw new TypeError(`castway: "${server}" is no address of a server; expected one such as https://cast.example.org`);
  return { origin, path: (path ?? '').replace(/\/+$/, '') };
}
