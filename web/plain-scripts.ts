import type { Plugin } from 'vite';

const INJECTED_STYLE = /var __vite_style__ = [\s\S]*?document\.head\.appendChild\(__vite_style__\);/;
const MODULES = /\s*<script type="module"[\s\S]*?<\/script>/g;
const SAFARI_10 = /\s*<script nomodule>[\s\S]*?<\/script>/;
const LEGACY =
  /<script nomodule[^>]*id="vite-legacy-polyfill" src="([^"]+)"><\/script>\s*<script nomodule[^>]*id="vite-legacy-entry" data-src="([^"]+)">[\s\S]*?<\/script>/;
const START = `System.import(document.currentScript.getAttribute('data-entry'));\n`;

/**
 * The legacy plugin's ES5 chunks for every browser, and nothing inline: so the tests run the code that televisions run,
 * and a policy of `script-src 'self'; style-src 'self'` needs no exception.
 * The plugin has two parts, since one must come before the legacy plugin and the other after it.
 */
export function plainScripts(): { before: Plugin; after: Plugin } {
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
        handler(_options, bundle) {
          const pages = Object.values(bundle).filter((file) => file.fileName.endsWith('.html'));
          if (!pages.length) return;
          const start = this.getFileName(this.emitFile({ type: 'asset', name: 'start.js', source: START }));
          for (const page of pages) {
            if (page.type !== 'asset') continue;
            const html = String(page.source);
            if (!LEGACY.test(html)) this.error(`${page.fileName}: the legacy plugin's scripts look different now`);
            page.source = html
              .replace(MODULES, '')
              .replace(SAFARI_10, '')
              .replace(LEGACY, (_all, polyfills: string, entry: string) =>
                `<script defer src="${polyfills}"></script>\n    <script defer src="/${start}" data-entry="${entry}"></script>`);
          }
          for (const file of Object.values(bundle)) {
            if (file.type === 'chunk' && !file.fileName.includes('-legacy')) delete bundle[file.fileName];
          }
        },
      },
    },
  };
}
