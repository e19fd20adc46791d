import { readFileSync } from 'node:fs';
import { basename, resolve } from 'node:path';
import { minify } from 'terser';
import type { Plugin } from 'vite';

const INJECTED_STYLE = /var __vite_style__ = [\s\S]*?document\.head\.appendChild\(__vite_style__\);/;
const MODULES = /\s*<script type="module"[\s\S]*?<\/script>/g;
const SAFARI_10 = /\s*<script nomodule>[\s\S]*?<\/script>/;
const LEGACY =
  /<script nomodule[^>]*id="vite-legacy-polyfill" src="([^"]+)"><\/script>\s*<script nomodule[^>]*id="vite-legacy-entry" data-src="([^"]+)">[\s\S]*?<\/script>/;

const source = (file: string) => readFileSync(resolve(import.meta.dirname, file), 'utf8');

/** The script that loads a page's module: with SystemJS, and in engines without one of the `features` with the polyfills. */
async function startScript(features: string[], polyfills: string): Promise<string> {
  const loader = source('node_modules/systemjs/dist/s.min.js').replace(/^\/\/# sourceMappingURL=.*$/m, '');
  const filled: Record<string, string> = { FEATURES: features.join(' && '), POLYFILLS: JSON.stringify(polyfills), LOADER: loader };
  const script = source('start.js').replace(/\b(FEATURES|POLYFILLS|LOADER)\b(?=[;),])/g, (name) => filled[name]!);
  return (await minify(script, { ecma: 5, ie8: false })).code!;
}

/**
 * The legacy plugin's ES5 chunks for every browser, and nothing inline: so the tests run the code that televisions run,
 * and a policy of `script-src 'self'; style-src 'self'` needs no exception. The polyfills are loaded where one of the
 * `features`, which are expressions, is missing.
 * The plugin has two parts, since one must come before the legacy plugin and the other after it.
 */
export function plainScripts(features: string[]): { before: Plugin; after: Plugin } {
  return {
    before: {
      name: 'castway:no-injected-style',
      enforce: 'post',
      renderChunk(code) {
        return INJECTED_STYLE.test(code) ? { code: code.replace(INJECTED_STYLE, ''), map: null } : null;
      },
    },
    after: {
      name: 'castway:plain-scripts',
      apply: 'build',
      enforce: 'post',
      generateBundle: {
        order: 'post',
        async handler(_options, bundle) {
          const pages = Object.values(bundle).filter((file) => file.fileName.endsWith('.html'));
          if (!pages.length) return;
          let start: string | null = null;
          for (const page of pages) {
            if (page.type !== 'asset') continue;
            const html = String(page.source);
            const legacy = LEGACY.exec(html);
            if (!legacy) this.error(`${page.fileName}: the legacy plugin's scripts look different now`);
            const [, polyfills, entry] = legacy;
            start ??= this.getFileName(this.emitFile({ type: 'asset', name: 'start.js', source: await startScript(features, basename(polyfills!)) }));
            page.source = html
              .replace(MODULES, '')
              .replace(SAFARI_10, '')
              .replace(LEGACY, `<script defer src="/${start}" data-entry="${entry}"></script>`);
          }
          for (const file of Object.values(bundle)) {
            if (file.type === 'chunk' && !file.fileName.includes('-legacy')) delete bundle[file.fileName];
          }
        },
      },
    },
  };
}
