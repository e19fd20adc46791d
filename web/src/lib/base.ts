const meta = document.querySelector('meta[name="castway-base"]');

/** The path under which a proxy shows the server, such as `/cast`; empty for the root. The server writes it into each page. */
export const base = (meta && meta.getAttribute('content')) || '';

/** The URL of a path of this server, which begins with a slash. */
export const at = (path: string) => base + path;

/** The address of this server. */
export const server = location.origin + base;
