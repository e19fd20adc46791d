// Counts the instructions of each hot path with callgrind, and compares them with budgets.json: node --test tests/instructions/check.mjs
//
// A path runs 1,000 times and 2,000 times; the difference of both counts, divided by 1,000, has no part of the start and of the preparation.
// Keys and seeds of the paths are fixed, except those of hash tables, which the standard library draws: keys that meet in a table cost a few
// instructions more in some runs. So the lowest of three counts decides.
//
// A count above its budget fails. One that is more than 15% below it asks for a lower budget and does not fail, so that an improvement can be
// merged on its own.
//
// node tests/instructions/check.mjs --write sets each budget to 5% above what is counted; name paths behind it to write only theirs.
import { test } from 'node:test';
import { strict as assert } from 'node:assert';
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '../..');
const budgetsFile = join(import.meta.dirname, 'budgets.json');
const FEW = 1000;
const MANY = 2000;
const MARGIN = 1.05;
const LOW = 0.85;
const COUNTS = 3;
const LARGE_OUTPUT = 64 << 20;

const run = (command, ...args) => execFileSync(command, args, { cwd: root, encoding: 'utf8', maxBuffer: LARGE_OUTPUT, stdio: ['ignore', 'pipe', 'pipe'] });

// The program's path has a hash, which cargo alone knows.
function build() {
  const messages = run('cargo', 'build', '--release', '--locked', '--bench', 'instructions', '--message-format=json');
  const built = messages.split('\n').filter(Boolean).map((line) => JSON.parse(line));
  return built.find(({ reason, target, executable }) => reason === 'compiler-artifact' && target.name === 'instructions' && executable).executable;
}

// All instructions of one run of the program, from callgrind's last line: `==PID== Collected : 1234`.
function instructions(program, path, repetitions) {
  const valgrind = ['--tool=callgrind', '--callgrind-out-file=/dev/null', '--log-fd=1', program, path, String(repetitions)];
  const total = run('valgrind', ...valgrind).match(/Collected : (\d+)/);
  assert.ok(total, `callgrind has not said how many instructions ${path} has`);
  return Number(total[1]);
}

const countOnce = (program, path) => Math.round((instructions(program, path, MANY) - instructions(program, path, FEW)) / (MANY - FEW));

// Counts until a count is within the budget; without a budget all counts are made.
function count(program, path, budget = 0) {
  let lowest = countOnce(program, path);
  for (let counted = 1; counted < COUNTS && lowest > budget; counted += 1) lowest = Math.min(lowest, countOnce(program, path));
  return lowest;
}

const howToLook = (program, path) =>
  `valgrind --tool=callgrind --callgrind-out-file=callgrind.out ${program} ${path} ${FEW} && callgrind_annotate --inclusive=yes callgrind.out | head -60`;

const program = process.env.CASTWAY_INSTRUCTIONS_BINARY ?? build();
const paths = run(program, '--list').trim().split('\n');
const budgets = JSON.parse(readFileSync(budgetsFile, 'utf8'));

if (process.argv[2] === '--write') {
  const wanted = process.argv.slice(3);
  const rustc = run('rustc', '--version').match(/^rustc (\d+\.\d+)/)[1];
  const kept = wanted.length === 0 ? {} : budgets.budgets;
  for (const path of paths.filter((path) => wanted.length === 0 || wanted.includes(path))) {
    const counted = count(program, path);
    kept[path] = Math.ceil(counted * MARGIN);
    console.log(`${path}: ${counted}, budget ${kept[path]}`);
  }
  writeFileSync(budgetsFile, `${JSON.stringify({ rustc, budgets: kept }, null, 2)}\n`);
} else {
  test('each path has a budget, and each budget a path', () => {
    assert.deepEqual(Object.keys(budgets.budgets).sort(), [...paths].sort());
  });
  for (const path of paths) {
    test(`${path} stays within its budget`, (t) => {
      const budget = budgets.budgets[path];
      const counted = count(program, path, budget);
      t.diagnostic(`${path}: ${counted} instructions of ${budget}`);
      assert.ok(
        counted <= budget,
        `${path} takes ${counted} instructions, and its budget is ${budget}. To see where they are:\n  ${howToLook(program, path)}\n` +
          `If it has to cost that: node tests/instructions/check.mjs --write ${path}`,
      );
      if (counted < budget * LOW) t.diagnostic(`${path} has become cheaper: lower its budget with node tests/instructions/check.mjs --write ${path}`);
    });
  }
}
