// docs/tutorials.md, its translation and the tests of the tutorials have the same rows.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { blocks } from '../documents/documents.mjs';
import { binary, cleanEnv } from './support/server.mjs';

const documents = ['docs/tutorials.md', 'docs/tutorials.zh-CN.md'];
const read = (path) => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');
const rows = (path) => [...read(path).matchAll(/^\| (\d+\.\d+) \|.*\| ([^|]+) \|$/gm)].map(([, number, check]) => `${number} ${check}`);
const settings = (path) => [...read(path).matchAll(/^CASTWAY_\w+=\S+/gm)].map(([line]) => line);

const tests = () => {
  const files = readdirSync(new URL('../netns/', import.meta.url)).filter((name) => /^tutorial-.*\.test\.mjs$/.test(name));
  const names = files.flatMap((name) => [...read(`tests/netns/${name}`).matchAll(/^test\((['"])(.*?)\1,/gm)].map(([, , title]) => title));
  const order = (name) => name.split(' ')[0].split('.').map(Number);
  return names.sort((one, other) => order(one)[0] - order(other)[0] || order(one)[1] - order(other)[1]);
};

test('every row of the tutorials is a test, and every test is a row, in both languages', () => {
  const expected = tests();
  assert.ok(expected.length >= 40, `${expected.length} rows`);
  for (const path of documents) assert.deepEqual(rows(path), expected, path);
});

test('both languages have the same settings', () => {
  assert.deepEqual(settings('docs/tutorials.zh-CN.md'), settings('docs/tutorials.md'));
});

test('every setting that they name is one', () => {
  const known = new Set(read('.env.example').match(/CASTWAY_\w+/g));
  for (const name of new Set(documents.map(read).join().match(/CASTWAY_\w+/g))) assert.ok(known.has(name), name);
});

test('castway takes each block of settings as its .env', () => {
  const folder = mkdtempSync(join(tmpdir(), 'castway-tutorials-'));
  try {
    const texts = blocks(documents[0]).filter(({ language }) => language === 'sh').map(({ text }) => text);
    assert.ok(texts.length >= 5, `${texts.length} blocks`);
    for (const block of texts) {
      writeFileSync(join(folder, '.env'), block);
      const { status, stderr } = spawnSync(binary, ['health'], { cwd: folder, env: cleanEnv(), encoding: 'utf8' });
      // The status is 0 if another server of this machine answers.
      assert.ok([0, 1].includes(status), `${block}\n${stderr}`);
      assert.doesNotMatch(stderr, /can't be used|not a setting/, block);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
