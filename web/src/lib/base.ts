const meta = document.querySelector('meta[name="castway-base"]');

/** The path under which a proxy shows the server, such as `/cast`; empty for the root. The server writes it into each page. */
export const base = (meta && meta.getAttribute('content')) || '';

/** The URL of a path of this server, which begins with a slash. */
export const at = (path: string) => base + path;

/** The path of this page below the address of this server: without the base, which is missing where no proxy is in between. */
export function ownPath(): string {
  const path = location.pathname;
  return path.slice(0, base.length + 1) === `${base}/` ? path.slice(base.length) : path;
}

/** The path of this page for a URL without a host: one that begins with two slashes would name another host. */
export const pagePath = () => location.pathname.replace(/^\/+/, '/');

/** The address of this server. */
export const server = location.origin + base;
