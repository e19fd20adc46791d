// What GitHub can't be asked here about the workflows in .github/workflows: who runs what with which rights.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { root } from '../documents/documents.mjs';

const folder = join(root, '.github/workflows');
const workflows = new Map(readdirSync(folder).map((name) => [name, readFileSync(join(folder, name), 'utf8').replace(/^ *#.*\n/gm, '')]));
const release = workflows.get('release.yml');
const jobs = new Map(release.split(/^jobs:\n/m)[1].split(/^(?=  \S+:\n)/m).map((text) => [/^  (\S+):/.exec(text)[1], text]));
const withRights = [...jobs].filter(([, text]) => /^ {6}\S+: write$/m.test(text));

test('a workflow that another one calls is in a group of its own, or neither would begin', () => {
  for (const [name, text] of workflows) {
    if (/^  workflow_call:/m.test(text)) assert.doesNotMatch(/^concurrency:\n(?: .*\n)+/m.exec(text)?.[0] ?? '', /github\.workflow\b/, name);
  }
  assert.deepEqual([...release.matchAll(/uses: \.\/\.github\/workflows\/(\S+)/g)].map(([, name]) => name), ['test.yml']);
});

test('each action is named by a commit, with its tag behind it', () => {
  for (const [name, text] of workflows) {
    const used = [...text.matchAll(/uses: (?!\.\/)(.*)$/gm)].map(([, action]) => action);
    assert.ok(used.length > 0, name);
    for (const action of used) assert.match(action, /^[\w.-]+\/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$/, name);
  }
});

test('a job that may write or attest neither compiles nor tests, and compares what it has downloaded', () => {
  assert.deepEqual(withRights.map(([name]) => name), ['attest', 'image', 'draft', 'publish-image', 'crate']);
  for (const [name, text] of withRights) {
    assert.doesNotMatch(text, /cargo (build|test|install|run|check)|\bnpm\b|\bnode\b|\bpip\b|tests\/run|deploy\/release|--privileged/, name);
    for (const [command] of text.matchAll(/cargo (package|publish).*/g)) assert.match(command, / --no-verify\b/, name);
    if (/download-artifact/.test(text)) assert.match(text, /diff <\(sha256sum -- \* \| sort\) <\(sort <<<"\$SUMS"/, name);
  }
  assert.match(release, /^permissions:\n  contents: read\n/m);
});

test('public names wait for somebody, and the first job sees to it that there is somebody', () => {
  const environments = [...jobs].flatMap(([name, text]) => [...text.matchAll(/^    environment: (\S+)$/gm)].map(([, environment]) => [name, environment]));
  assert.deepEqual(environments, [['publish-image', 'images'], ['crate', 'crates']]);
  for (const [name] of environments) assert.match(jobs.get(name), /^    needs: \[\w+, draft\]$/m, name);
  assert.match(jobs.get('version'), /for environment in crates images; do\n[^\n]*environments\/\$environment[^\n]*\n[^\n]*required_reviewers/);
  for (const [name, text] of jobs) if (name !== 'publish-image') assert.doesNotMatch(text, /imagetools create|tags: /, name);
});
