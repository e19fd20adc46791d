// docs/clients.md: compares the parts that tests make with the document, or writes them.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';

const file = new URL('../../../docs/clients.md', import.meta.url);
// Set for `node tests/interop/clients.test.mjs --write`, and for tests/run --newest, which uses other versions.
export const writes = process.argv.includes('--write') || process.env.CASTWAY_TEST_WRITE === '1';

export const document = () => readFileSync(file, 'utf8');

// A table of Markdown from rows of cells.
export const table = (head, rows) => [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n').replaceAll('| --- ', '|---').replaceAll('|--- |', '|---|');

function part(name) {
  const [whole, made] = document().match(new RegExp(`<!-- made by ${name} -->\n([\\s\\S]*?)\n?<!-- end -->`)) ?? [];
  assert.ok(whole, `docs/clients.md has no part that is made by ${name}`);
  return { whole, made };
}

// The cells of each row in the part that NAME has made, without the head.
export const cellsOf = (name) => part(name).made.split('\n').slice(2).map((line) => line.slice(2, -2).split(' | '));

// Asserts that the part between `<!-- made by NAME -->` and `<!-- end -->` is `text`, or writes it.
export function assertMade(name, text, folder = 'interop') {
  const { whole, made } = part(name);
  if (writes && made !== text) writeFileSync(file, document().replace(whole, () => `<!-- made by ${name} -->\n${text}\n<!-- end -->`));
  else assert.equal(made, text, `docs/clients.md says something else than the tests have found: node tests/${folder}/${name.split(':')[0]} --write`);
}

// Merges rows that differ only in the version, their second cell.
export function merged(rows) {
  const result = [];
  for (const row of rows) {
    const like = result.find((other) => row.every((cell, i) => i === 1 || cell === other[i]));
    if (like) like[1] += `, ${row[1]}`;
    else result.push([...row]);
  }
  return result;
}

// Like Map.groupBy, which Node.js 20 lacks.
export function grouped(items, key) {
  const groups = new Map();
  for (const item of items) groups.set(key(item), [...(groups.get(key(item)) ?? []), item]);
  return groups;
}
