// The documents of the repository: their code blocks, and what is said above each of them in a comment of Markdown:
// - `<!-- run -->`: tests/netns/documents.test.mjs types the block into a shell;
// - `<!-- tested by tests/…: … -->`: that test reads the block, or does the same; it names the document;
// - `<!-- not run: … -->`: why no test runs the block.
// A block of JSON needs none, since tests/documents/check.mjs reads it. A block of a Chinese document needs none if it is a block of the English
// one, but for comments and the order of blocks.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('../../', import.meta.url));
const read = (path) => readFileSync(`${root}${path}`, 'utf8');

// Folders of what is installed or made.
const MADE = /^(node_modules|target|dist|out|data|\.git|\.venv.*)$/;

// The paths of all documents, from the root.
export function documents(folder = '') {
  const entries = readdirSync(join(root, folder), { withFileTypes: true }).filter(({ name }) => !MADE.test(name));
  return entries.flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return documents(path);
    return entry.name.endsWith('.md') ? [path] : [];
  });
}

// The text of a document with empty lines instead of code blocks.
export const prose = (path) => read(path).replace(/^( *)(```+)[^\n]*\n[\s\S]*?^\1\2 *$/gm, (block) => block.replace(/[^\n]/g, ''));

// The code blocks of a document, in order: {document, line, heading, language, text, mark, note}. `heading` is the last one above the block, `mark` is
// `run`, `tested by`, `not run` or nothing, and `note` what follows it.
export function blocks(path) {
  const found = [];
  const lines = prose(path).split('\n');
  for (const match of read(path).matchAll(/^( *)(```+)([^\n]*)\n([\s\S]*?)^\1\2 *$/gm)) {
    const [, indent, , language, body] = match;
    const before = match.input.slice(0, match.index);
    const [, mark, note] = before.match(/<!-- (run|tested by|not run)(?:: ?| )?((?:(?!-->)[\s\S])*?) ?-->\s*$/) ?? [];
    const text = body.replace(new RegExp(`^${indent}`, 'gm'), '');
    const line = before.split('\n').length;
    const heading = lines.slice(0, line).findLast((each) => /^#+ /.test(each))?.replace(/^#+ +/, '');
    found.push({ document: path, line, heading, language: language.trim(), text, mark, note });
  }
  return found;
}

// The English document of a Chinese one, or nothing.
export function english(path) {
  if (path.endsWith('.zh-CN.md')) return path.replace('.zh-CN.md', '.md');
  return path.startsWith('docs/zh/') ? path.replace('docs/zh/', 'docs/') : null;
}
