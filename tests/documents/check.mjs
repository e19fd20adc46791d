// Checks all documents without running anything: node tests/documents/check.mjs [BOOK]
// - Each code block says which test runs it, or why none does (documents.mjs has the forms).
// - Each link to a file, and to a heading, leads somewhere; in the built BOOK as well.
// - The tests that docs/threats.md names are there: files, and functions of Rust.
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, normalize, relative } from 'node:path';
import { blocks, documents, english, prose, root } from './documents.mjs';

const problems = [];
const report = (where, problem) => problems.push(`${where}: ${problem}`);

// A block without a language is a picture or what a program has printed, unless it begins with one of these.
const COMMAND = /^ *(\$|sudo|cargo|npm|node|npx|curl|git|docker|podman|apt|pip|python3?|systemctl|tests\/run|\.\/|castway (?:[a-z]+ )*--?)[ \n]/m;

const withoutComments = (text) => text.split('\n').map((line) => line.replace(/(^|\s+)(#|\/\/) .*$/, '').trimEnd()).filter(Boolean).join('\n');

function checkBlock(block, originals) {
  const where = `${block.document}:${block.line}`;
  if (block.language === '' && !COMMAND.test(block.text)) return;
  if (block.language === 'json') {
    try {
      JSON.parse(block.text);
    } catch (error) {
      report(where, `is no JSON: ${error.message}`);
    }
    return;
  }
  if (!block.mark) {
    if (originals?.some(({ language, text }) => language === block.language && withoutComments(text) === withoutComments(block.text))) return;
    report(where, originals ? 'the block is none of the English document, and nothing above it says how it is tested' : 'nothing above the block says how it is tested: <!-- run -->, <!-- tested by FILE --> or <!-- not run: REASON -->');
  } else if (block.mark === 'tested by') {
    const named = block.note.match(/[\w./-]+\.(mjs|rs|sh)/g) ?? [];
    if (named.length === 0) report(where, 'names no test');
    for (const file of named) {
      if (!existsSync(join(root, file))) report(where, `names ${file}, which is not there`);
      else if (!readFileSync(join(root, file), 'utf8').includes(block.document)) report(where, `names ${file}, which does not name ${block.document}`);
    }
  } else if (block.mark === 'not run' && block.note.length < 10) report(where, 'gives no reason');
}

// The names by which GitHub's pages and the book know the headings of a document.
function anchors(path) {
  const seen = new Map();
  return new Set([...prose(path).matchAll(/^#{1,6} +(.+?) *$/gm)].map(([, heading]) => {
    const shown = heading.replace(/\[([^\]]*)\]\([^)]*\)/g, '$1').replace(/[`*]/g, '');
    const name = shown.toLowerCase().replace(/[^\p{L}\p{N}\p{M}_ -]/gu, '').replaceAll(' ', '-');
    const before = seen.get(name) ?? 0;
    seen.set(name, before + 1);
    return before ? `${name}-${before}` : name;
  }));
}

function checkLinks(path) {
  const text = prose(path).replace(/`[^`\n]*`/g, (code) => ' '.repeat(code.length));
  for (const match of text.matchAll(/\]\(<?([^)\s>]+)>?(?: "[^"]*")?\)|(?:href|src)="([^"]+)"/g)) {
    const target = match[1] ?? match[2];
    if (/^[a-z]+:/.test(target)) continue;
    const where = `${path}:${text.slice(0, match.index).split('\n').length}`;
    const [file, anchor] = target.split('#').map(decodeURIComponent);
    const leads = file ? normalize(join(dirname(path), file)) : path;
    if (leads.startsWith('..') || !existsSync(join(root, leads))) report(where, `leads to ${leads}, which is not there`);
    else if (anchor && (!leads.endsWith('.md') || !anchors(leads).has(anchor))) report(where, `leads to #${anchor} in ${leads}, which has no such heading`);
  }
}

// Every link of the book's pages leads to a file or an anchor of the book, or to another server; nothing is loaded from elsewhere. Chinese text has
// its language, without which browsers choose Japanese forms of characters.
function checkBook(book) {
  const pages = readdirSync(book, { recursive: true }).filter((name) => name.endsWith('.html') && !/^(print|toc|404)\.html$/.test(name));
  const ids = new Map(pages.map((name) => [name, new Set([...readFileSync(join(book, name), 'utf8').matchAll(/\bid="([^"]+)"/g)].map(([, id]) => id))]));
  if (pages.length < 10) report(book, `has ${pages.length} pages`);
  for (const page of pages) {
    const html = readFileSync(join(book, page), 'utf8');
    const [, main] = html.match(/<main>([\s\S]*)<\/main>/) ?? [, ''];
    if (main.includes('<div lang="zh-CN">') !== /^zh\/|\.zh-CN\./.test(page)) report(page, 'has not the language of its text');
    for (const [, kind, url] of html.matchAll(/<(script|img|link)\b[^>]*?\b(?:src|href)="([^"]+)"/g)) {
      if (/^(https?:)?\/\//.test(url)) report(page, `loads a ${kind} from ${url}`);
    }
    for (const [, url] of html.matchAll(/\b(?:href|src)="([^"]+)"/g)) {
      if (/^([a-z]+:|\/\/)/.test(url)) continue;
      const [file, anchor] = url.replaceAll('&amp;', '&').split('#').map(decodeURIComponent);
      const leads = file ? normalize(join(dirname(page), file)) : page;
      const at = join(book, leads);
      if (!existsSync(at) || statSync(at).isDirectory()) report(page, `leads to ${leads}, which the book has not`);
      else if (anchor && ids.has(leads) && !ids.get(leads).has(anchor)) report(page, `leads to #${anchor} in ${leads}, which has no such heading`);
    }
  }
}

function checkThreats(path) {
  const text = readFileSync(join(root, path), 'utf8').replace(/\n +/g, ' ');
  for (const [, name, named = ''] of text.matchAll(/`([\w./-]+\.(?:rs|mjs))`(?:: ([^`.;\n]*))?/g)) {
    const file = [name, `tests/interop/${name}`].map((each) => join(root, each)).find(existsSync);
    if (!file) report(path, `names the test ${name}, which is not there`);
    const functions = name.endsWith('.rs') ? named.match(/\b[a-z0-9]+(?:_[a-z0-9]+){2,}/g) ?? [] : [];
    for (const each of file ? functions : []) {
      if (!readFileSync(file, 'utf8').includes(`fn ${each}`)) report(path, `names ${each} of ${name}, which is not there`);
    }
  }
}

const paths = documents();
checkThreats('docs/threats.md');
for (const path of paths) {
  const original = english(path);
  const originals = original && paths.includes(original) ? blocks(original) : null;
  for (const block of blocks(path)) checkBlock(block, originals);
  checkLinks(path);
}
// A chapter that no list names is in no book.
const summary = readFileSync(join(root, 'docs/SUMMARY.md'), 'utf8');
for (const path of paths.filter((each) => each.startsWith('docs/') && each !== 'docs/SUMMARY.md')) {
  if (!summary.includes(`(${relative('docs', path)})`)) report('docs/SUMMARY.md', `does not name ${path}`);
}
if (process.argv[2]) checkBook(process.argv[2]);
for (const problem of problems) console.error(problem);
console.log(`${paths.length} documents, ${problems.length} problems`);
process.exitCode = problems.length > 0 ? 1 : 0;
