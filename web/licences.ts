import { readdirSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Plugin } from 'vite';

/** The licences of all parts of others in the pages, at `/licences.txt`. */
const TEXT = 'licences.txt';
/** The same parts for programs, such as the list of parts of a release. It isn't embedded. */
const LIST = '.parts.json';
/** What the build tools put into the pages: helpers of compiled classes and generators, polyfills, the loader. */
const FROM_TOOLS = ['@babel/helpers', 'core-js', 'rolldown', 'systemjs'];
/** What packages use in Node.js alone. */
const NOT_IN_BROWSERS = ['ws', 'xmlhttprequest-ssl'];

interface Locked {
  version: string;
  dev?: boolean;
}

interface Manifest {
  name: string;
  version: string;
  license?: string;
  licenses?: { type: string }[];
}

interface Part {
  name: string;
  version: string;
  licence: string;
  text: string;
}

const folder = (path: string) => resolve(import.meta.dirname, path);
const read = (path: string) => readFileSync(folder(path), 'utf8');
const packageOf = (path: string) => path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length);

function part(path: string): Part {
  const manifest = JSON.parse(read(`${path}/package.json`)) as Manifest;
  const find = (pattern: RegExp) => readdirSync(folder(path)).filter((name) => pattern.test(name)).map((name) => read(`${path}/${name}`))[0];
  const file = find(/^(licen[cs]e|copying)/i);
  // Some old packages name their licence in the text that describes them, and nowhere else.
  const section = /^#+ *licen[cs]e[^\n]*\n+([\s\S]*)$/im.exec(find(/^readme/i) ?? '')?.[1]?.trim();
  const licence = manifest.license ?? manifest.licenses?.[0]?.type ?? section?.split(/\s/)[0];
  if (!licence) throw new Error(`${path} does not say what its licence is`);
  const text = file ?? section ?? `Its authors publish it under the licence ${licence}, without a text of their own.`;
  return { name: manifest.name, version: manifest.version, licence, text: text.replace(/\r/g, '').trim() };
}

/** Every package that the pages or the scripts beside them may have code of, by name. */
function parts(): Part[] {
  const locked = (JSON.parse(read('package-lock.json')) as { packages: Record<string, Locked> }).packages;
  const paths = Object.keys(locked).filter((path) => path && !locked[path]!.dev && !NOT_IN_BROWSERS.includes(packageOf(path)));
  const found = [...paths, ...FROM_TOOLS.map((name) => `node_modules/${name}`)].map(part);
  return found.sort((a, b) => a.name.localeCompare(b.name, 'en') || a.version.localeCompare(b.version, 'en'));
}

function textOf(parts: Part[]): string {
  const rule = '-'.repeat(80);
  const each = parts.map(({ name, version, licence, text }) => `${rule}\n${name} ${version} (${licence})\n\n${text}\n`);
  return `The pages of Castway have code of these packages, whose authors ask that their licences go with it.\n\n${each.join('\n')}`;
}

/** Keeps the licences of what is bundled, and fails where a page has code of a package that is not among them. */
export function licences(): Plugin {
  return {
    name: 'castway:licences',
    apply: 'build',
    generateBundle(_options, bundle) {
      const all = parts();
      const known = new Set(all.map(({ name }) => name));
      for (const chunk of Object.values(bundle)) {
        for (const id of chunk.type === 'chunk' ? chunk.moduleIds : []) {
          const name = id.includes('/node_modules/') && !id.startsWith('\0') ? /^(@[^/]+\/)?[^/]+/.exec(packageOf(id))![0] : null;
          if (name && !known.has(name)) this.error(`the pages have code of ${name}, whose licence isn't kept: see FROM_TOOLS in licences.ts`);
        }
      }
      this.emitFile({ type: 'asset', fileName: TEXT, source: textOf(all) });
      const list = all.map(({ name, version, licence }) => ({ name, version, licence }));
      this.emitFile({ type: 'asset', fileName: LIST, source: `${JSON.stringify(list, null, 2)}\n` });
    },
  };
}
