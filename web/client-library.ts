import { transformAsync } from '@babel/core';
import { resolve } from 'node:path';
import { build, type Plugin, type Rolldown, type UserConfig } from 'vite';

const NAME = 'castway-client.js';

/** The client library as one file for script tags, at `/castway-client.js`: ES5, with socket.io-client in it. */
export function clientLibrary(aliases: UserConfig['resolve']): Plugin {
  return {
    name: 'castway:client-library',
    apply: 'build',
    async generateBundle() {
      const entry = resolve(import.meta.dirname, '../clients/js/src/single-file.ts');
      const built = (await build({
        configFile: false,
        logLevel: 'error',
        resolve: aliases,
        build: { write: false, minify: true, target: 'es2015', lib: { entry, formats: ['iife'], name: 'Castway' } },
      })) as Rolldown.RolldownOutput[];
      const { code } = built[0]!.output[0];
      const old = await transformAsync(code, {
        cwd: import.meta.dirname,
        babelrc: false,
        configFile: false,
        compact: true,
        presets: [['@babel/preset-env', { targets: 'chrome 38, ie 11', modules: false }]],
      });
      if (!old || !old.code) throw new Error('babel has made no code of the client library');
      this.emitFile({ type: 'asset', fileName: NAME, source: old.code });
    },
  };
}
