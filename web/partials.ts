import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Plugin } from 'vite';

const INCLUDE = /<!-- include ([a-z]+) -->/g;

/** Markup that several pages share: `<!-- include NAME -->` stands for `partials/NAME.html`, which may include others. */
export function partials(): Plugin {
  const expand = (html: string): string =>
    html.replace(INCLUDE, (_all, name: string) => expand(readFileSync(resolve(import.meta.dirname, 'partials', `${name}.html`), 'utf8').trim()));
  return {
    name: 'castway:partials',
    transformIndexHtml: { order: 'pre', handler: expand },
    handleHotUpdate({ file, server }) {
      if (/\/partials\/[^/]+\.html$/.test(file)) server.ws.send({ type: 'full-reload' });
    },
  };
}
