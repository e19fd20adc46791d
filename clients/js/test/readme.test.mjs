// The examples of clients/js/README.md have the types of the library.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { blocks } from '../../../tests/documents/documents.mjs';

const library = fileURLToPath(new URL('..', import.meta.url));
const EXPORTED = ['Caster', 'CodeChecker', 'castTo', 'signIn'];
// What a page has around an example.
const AROUND = {
  stream: 'declare const stream: MediaStream;',
  field: 'declare const field: HTMLInputElement;',
  name: 'declare const name: string;',
  password: 'declare const password: string;',
  show: 'declare function show(seen: unknown): void;',
  caster: 'declare const caster: Caster;',
};
const has = (text, word) => new RegExp(`\\b${word}\\b`).test(text);

// Examples are JavaScript, and rely on the elements that they name.
const typed = (text) => text.replaceAll("document.getElementById('video')", "(document.getElementById('video') as HTMLVideoElement)");

function written(text, file) {
  const imported = /import \{([^}]*)\}/.exec(text)?.[1].split(',').map((word) => word.trim()) ?? [];
  const lacking = EXPORTED.filter((word) => !imported.includes(word));
  const around = Object.entries(AROUND).filter(([word]) => has(text, word) && !has(text, `const ${word}`));
  writeFileSync(file, [`import { ${lacking.join(', ')} } from '@castway/client';`, ...around.map(([, line]) => line), typed(text), 'export {};'].join('\n'));
}

test('the examples of README.md have the types of the library', () => {
  const folder = mkdtempSync(join(tmpdir(), 'castway-readme-'));
  try {
    const examples = blocks('clients/js/README.md').filter(({ language }) => language === 'js');
    expect(examples.length).toBeGreaterThan(3);
    const files = examples.map(({ line }) => join(folder, `line-${line}.ts`));
    examples.forEach(({ text }, index) => written(text, files[index]));
    const compilerOptions = { noUnusedLocals: false, verbatimModuleSyntax: false, paths: { '@castway/client': [join(library, 'src/index.ts')] } };
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ extends: join(library, 'tsconfig.json'), compilerOptions, include: [], files }));
    let output = '';
    try {
      execFileSync(join(library, 'node_modules/.bin/tsc'), ['--noEmit', '--pretty', 'false', '-p', folder], { encoding: 'utf8', cwd: folder });
    } catch (error) {
      output = error.stdout;
    }
    const found = output.split('\n').filter((line) => line && !/is possibly 'null'/.test(line)).map((line) => line.replace(folder, basename(folder)));
    expect(found).toEqual([]);
  } finally {
    rmSync(folder, { recursive: true });
  }
}, 60_000);
