// Prints the licences of the parts of others in the program: node deploy/release/licences.mjs TARGET. Crates with the same text share it.
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { linked } from './crates.mjs';

const [target] = process.argv.slice(2);
if (!target) throw new Error('usage: node deploy/release/licences.mjs TARGET');
const wanted = ['metadata', '--locked', '--format-version', '1', '--filter-platform', target];
const { packages } = JSON.parse(execFileSync('cargo', wanted, { encoding: 'utf8', maxBuffer: 1 << 28 }));
const inProgram = linked(target);

const byText = new Map();
const add = (text, crate) => byText.set(text, [...(byText.get(text) ?? []), crate]);
const crates = packages.filter(({ name, version }) => inProgram.has(`${name} ${version}`)).sort((a, b) => (`${a.name} ${a.version}` < `${b.name} ${b.version}` ? -1 : 1));
for (const { name, version, license, authors, manifest_path: manifest } of crates) {
  const folder = dirname(manifest);
  const files = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isFile() && /^(licen[cs]e|copying|notice|copyright)/i.test(entry.name));
  const texts = files.map((entry) => readFileSync(join(folder, entry.name), 'utf8').replaceAll('\r', '').trim()).sort();
  if (!texts.length) texts.push(`Published under ${license}, without a text of its own${authors.length ? `, by ${authors.join(', ')}` : ''}.`);
  for (const text of new Set(texts)) add(text, `${name} ${version} (${license})`);
}

const rule = '-'.repeat(80);
console.log(`castway has code of these crates, and its pages of npm packages, whose authors ask that their licences go with it.\n`);
for (const [text, users] of byText) console.log(`${rule}\n${users.join('\n')}\n\n${text}\n`);
console.log(readFileSync(new URL('../../web/dist/licences.txt', import.meta.url), 'utf8'));
