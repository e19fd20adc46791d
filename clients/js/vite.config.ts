import { transformAsync } from '@babel/core';
import { resolve } from 'node:path';
import { defineConfig, type Plugin } from 'vite';

const source = (name: string) => resolve(import.meta.dirname, 'src', name);

/** ES5 for the engines of televisions. */
const es5: Plugin = {
  name: 'castway:es5',
  async renderChunk(code) {
    const result = await transformAsync(code, {
      babelrc: false,
      configFile: false,
      compact: true,
      presets: [['@babel/preset-env', { targets: 'chrome 38, ie 11', modules: false }]],
    });
    return { code: result?.code ?? code, map: null };
  },
};

// `vite build`: modules for new engines, which take socket.io-client from the application.
// `vite build --mode single-file`: one script for script tags, with everything in it, whose global is `Castway`.
export default defineConfig(({ mode }) => {
  const single = mode === 'single-file';
  return {
    plugins: single ? [es5] : [],
    build: {
      emptyOutDir: !single,
      minify: single ? 'terser' : false,
      target: single ? 'es2015' : 'es2020',
      lib: single
        ? { entry: source('single-file.ts'), formats: ['iife'], name: 'Castway', fileName: () => 'castway-client.js' }
        : { entry: { index: source('index.ts'), parts: source('parts.ts'), element: source('element.ts') }, formats: ['es'] },
      rolldownOptions: single ? {} : { external: ['socket.io-client'] },
    },
  };
});
