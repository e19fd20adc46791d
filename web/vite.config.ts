import legacy from '@vitejs/plugin-legacy';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { brotliCompressSync, gzipSync } from 'node:zlib';
import { defineConfig, type Plugin } from 'vite';
import { clientLibrary } from './client-library';
import { licences } from './licences';
import { partials } from './partials';
import { plainScripts } from './plain-scripts';

const page = (name: string) => resolve(import.meta.dirname, `${name}.html`);
// The polyfills: features that the pages and their libraries use and that Chromium 53 lacks, with what shows that an engine has them.
const POLYFILLS: Record<string, string> = {
  'es.array.flat': '[].flat',
  'es.array.flat-map': '[].flatMap',
  'es.array.includes': '[].includes',
  'es.global-this': 'globalThis',
  'es.object.entries': 'Object.entries',
  'es.object.from-entries': 'Object.fromEntries',
  'es.object.get-own-property-descriptors': 'Object.getOwnPropertyDescriptors',
  'es.object.values': 'Object.values',
  'es.promise': 'Promise.resolve',
  'es.promise.all-settled': 'Promise.allSettled',
  'es.promise.finally': 'Promise.prototype.finally',
  'es.string.pad-start': '"".padStart',
  'es.string.match-all': '"".matchAll',
  'es.symbol.async-iterator': 'Symbol.asyncIterator',
  'web.dom-collections.for-each': 'NodeList.prototype.forEach',
  'web.queue-microtask': 'queueMicrotask',
  'web.url-search-params': 'URLSearchParams',
};
const scripts = plainScripts(Object.values(POLYFILLS));
const sources = {
  alias: [{ find: /^@castway\/client(\/parts)?$/, replacement: `${resolve(import.meta.dirname, '../clients/js/src')}$1` }],
  dedupe: ['socket.io-client'],
};
const server = process.env['CASTWAY_DEV_SERVER'] ?? 'http://127.0.0.1:8080';

// The files that pages load from a Socket.IO server, as in the npm packages and on the original servers of version 4 and 2.
const socketIoClients: Plugin = {
  name: 'socket-io-clients',
  generateBundle() {
    const emit = (installed: string, file: string, folder = '') => {
      for (const name of [file, `${file}.map`]) {
        const source = readFileSync(resolve(import.meta.dirname, 'node_modules', installed, 'dist', name));
        this.emitFile({ type: 'asset', fileName: `socket.io/${folder}${name}`, source });
      }
    };
    for (const kind of ['', '.min', '.esm.min', '.msgpack.min']) emit('socket.io-client', `socket.io${kind}.js`);
    for (const kind of ['', '.slim']) emit('socket.io-client-2', `socket.io${kind}.js`, 'v2/');
  },
};

// The server embeds every file in both codings, and never compresses a file for a request.
const compressed: Plugin = {
  name: 'compressed',
  apply: 'build',
  closeBundle() {
    const dist = resolve(import.meta.dirname, 'dist');
    for (const entry of readdirSync(dist, { recursive: true, withFileTypes: true })) {
      if (!entry.isFile() || entry.name.startsWith('.')) continue;
      const path = join(entry.parentPath, entry.name);
      const source = readFileSync(path);
      writeFileSync(`${path}.gz`, gzipSync(source, { level: 9 }));
      writeFileSync(`${path}.br`, brotliCompressSync(source));
    }
  },
};

export default defineConfig({
  appType: 'mpa',
  resolve: sources,
  // The server puts the path under which a proxy shows it into the pages; what scripts and styles load, they find beside themselves.
  experimental: { renderBuiltUrl: (_file, { hostType }) => (hostType === 'html' ? undefined : { relative: true }) },
  build: {
    // Televisions support no newer CSS than this, and get no second stylesheet.
    cssTarget: 'chrome53',
    // No asset becomes a data: URL, so that a strict content security policy needs no exception.
    assetsInlineLimit: 0,
    modulePreload: false,
    // The built-in minifier writes strings as template literals, even in ES5 output.
    minify: 'terser',
    reportCompressedSize: false,
    rolldownOptions: { input: { index: page('index'), tv: page('tv'), cast: page('cast'), call: page('call'), check: page('check'), admin: page('admin'), missing: page('404') } },
  },
  plugins: [
    partials(),
    scripts.before,
    legacy({
      // These targets produce ES5.
      targets: ['chrome 38', 'ie 11'],
      polyfills: Object.keys(POLYFILLS),
      // The start script contains the loader.
      externalSystemJS: true,
    }),
    scripts.after,
    socketIoClients,
    clientLibrary(sources),
    licences(),
    compressed,
  ],
  server: {
    proxy: {
      '/socket.io': { target: server, ws: true },
      '/ws': { target: server, ws: true },
      '^/(api|v1alpha|join|message|leave|report|check|admin/api)/': server,
      '^/r(/|$)': { target: server, bypass: () => '/call.html' },
    },
  },
});
