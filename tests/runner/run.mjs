// Runs the test files of interop, netns and e2e side by side, and those of packages where it is named: node tests/runner/run.mjs PART… or
// PART/NAME…, such as `interop e2e` or `interop/clients`. tests/run calls it after it has installed and built everything.
//
// Most tests wait: for a grace period, a deadline of the server, or a browser. So more files run at the same time than there are cores,
// the longest first. Each file runs in a process of its own with its own servers; a file of netns also has its own network namespaces.
// The output of a file is in target/node-tests/PART/NAME.log, and is printed here as well if the file fails.
import { spawn } from 'node:child_process';
import { createWriteStream, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../', import.meta.url));
const logs = join(root, 'target/node-tests');
const reporter = new URL('results.mjs', import.meta.url).href;

// `cost`: how many of the PLACES a file takes while it runs, 3 for a busy core: the time that all its processes compute, divided by the time
// that it takes on an idle machine, times 3. Browsers compute, while a client of interop mostly waits.
const PARTS = {
  interop: { command: [process.execPath], cost: 0.25 },
  netns: { command: [join(root, 'tests/netns/enter'), process.execPath], cost: 1 },
  e2e: { command: [process.execPath], cost: 1.5 },
  // Compilers, and a Debian that unpacks itself.
  packages: { command: [process.execPath], cost: 3, minutes: 60, namedAlone: true },
};
const PLACES = Number(process.env.CASTWAY_TEST_PLACES ?? 3 * availableParallelism());
// Files that run only where they are named, as `tests/run setups` and `tests/run storm` do. The other set-ups have the same steps, each in a network
// of another kind.
const NAMED_ALONE = [
  'netns/fault-answers-lost', 'netns/fault-certificate', 'netns/fault-clock', 'netns/fault-external-nat', 'netns/fault-tcp-closed',
  // A million forged requests.
  'netns/flood',
  'netns/healthy-bridge', 'netns/healthy-firewall', 'netns/healthy-hairpin', 'netns/healthy-public', 'netns/healthy-range',
];
// Files of packages that need networks of their own, as all of netns do.
const IN_NETWORKS = ['packages/image'];
// Files that compute more or less than others of their part.
const COSTS = {
  'e2e/multi': 4, 'e2e/call': 4, 'e2e/cast': 2.5, 'e2e/check': 2, 'e2e/one-port': 2,
  'netns/one-port': 2, 'netns/turn-clients': 2, 'netns/check': 1.5, 'netns/dual-stack': 1.5, 'netns/nat': 0.5, 'netns/firewall': 0.5, 'netns/doctor-firewall': 0.5,
  'interop/tls': 1, 'interop/kept-memory': 1, 'interop/unfinished': 1, 'interop/sessions': 0.5, 'interop/charged': 1, 'interop/cors': 1, 'interop/unread': 1,
};
// Two browsers each, which cast one picture after the other; those of a fault wait for what does not come, most of the time.
const ofSetup = (id) => (/^netns\/healthy-/.test(id) ? 2 : /^netns\/fault-/.test(id) ? 0.75 : undefined);
const costOf = (id, cost) => COSTS[id] ?? ofSetup(id) ?? cost;
// Files that run for more than 40 s, the longest first. If one of them began last, it would be the only one at the end.
const LONGEST = [
  'e2e/multi', 'e2e/call', 'netns/one-port', 'interop/unfinished-crowds', 'netns/doctor-firewall', 'netns/fault-udp-closed', 'interop/refusals', 'e2e/code', 'e2e/looks', 'e2e/admin-looks', 'e2e/admin', 'e2e/failure', 'e2e/one-port',
  'netns/dual-stack', 'e2e/policy', 'e2e/cast', 'e2e/caster-page', 'e2e/under-a-path', 'interop/tls', 'interop/sessions', 'netns/check', 'e2e/examples', 'netns/turn-clients', 'e2e/old-tv', 'e2e/websocket', 'netns/classroom',
  'interop/one-host-port', 'interop/refused-for-now', 'interop/collider', 'interop/clock', 'interop/kept-memory', 'interop/multi-original', 'interop/multi', 'e2e/foreign-origin',
  'netns/nat', 'netns/fault-external-address', 'netns/fault-visitor', 'interop/rooms', 'netns/firewall', 'netns/fault-proxy', 'interop/unread', 'interop/passwords', 'netns/self-test',
  'interop/apprtc', 'e2e/tls', 'interop/power-cut', 'interop/published', 'interop/multi-return', 'interop/unfinished', 'interop/stranger-expiry',
];
const FILE_TIMEOUT_MINUTES = 15;
const SLOWEST = 10;

function filesOf(wanted) {
  const [part, name] = wanted.split('/');
  if (!PARTS[part]) throw new Error(`no part of the tests is called ${part}: ${Object.keys(PARTS).join(', ')}`);
  const names = readdirSync(join(root, 'tests', part)).filter((file) => file.endsWith('.test.mjs')).map((file) => file.replace('.test.mjs', ''));
  const chosen = names.filter((each) => (name ? each === name : !NAMED_ALONE.includes(`${part}/${each}`)));
  if (chosen.length === 0) throw new Error(`no tests in tests/${wanted}.test.mjs`);
  return chosen.map((each) => {
    const id = `${part}/${each}`;
    const { command, cost, minutes = FILE_TIMEOUT_MINUTES } = PARTS[part];
    const entered = IN_NETWORKS.includes(id) ? PARTS.netns.command : command;
    return { id, part, name: each, command: entered, cost: costOf(id, cost), minutes };
  });
}

const rank = ({ id }) => (LONGEST.includes(id) ? LONGEST.indexOf(id) : LONGEST.length);

const running = new Set();
// The process group belongs to the child, so everything that the child started ends with it.
function endGroup(child) {
  try {
    process.kill(-child.pid, 'SIGKILL');
  } catch {
    // The group has ended.
  }
}
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.on(signal, () => {
    running.forEach(endGroup);
    process.exit(1);
  });
}

// Resolves to the file's results: {file, tests, failed, seconds, log}.
function runFile(file) {
  const stem = join(logs, file.part, file.name);
  mkdirSync(join(logs, file.part), { recursive: true });
  const [log, lines] = [`${stem}.log`, `${stem}.json`];
  rmSync(lines, { force: true });
  const reporters = [
    '--test-reporter=spec', '--test-reporter-destination=stdout',
    `--test-reporter=${reporter}`, `--test-reporter-destination=${lines}`,
  ];
  const [command, ...args] = [...file.command, ...reporters, `${file.name}.test.mjs`];
  const begun = Date.now();
  const child = spawn(command, args, { cwd: join(root, 'tests', file.part), stdio: ['ignore', 'pipe', 'pipe'], detached: true });
  running.add(child);
  const output = createWriteStream(log);
  for (const stream of [child.stdout, child.stderr]) stream.pipe(output, { end: false });
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    endGroup(child);
  }, file.minutes * 60_000);
  return new Promise((resolve) => {
    child.on('error', (error) => output.write(`${error}\n`));
    child.on('close', (code) => {
      clearTimeout(timer);
      running.delete(child);
      if (late) output.write(`ended after ${file.minutes} minutes\n`);
      output.end(() => {
        const tests = resultsIn(lines);
        const counts = (outcome) => tests.filter((test) => test.outcome === outcome).length;
        // A file has also failed if it ends with an error outside its tests, or if it has no tests.
        const broken = code !== 0 && counts('failed') === 0;
        const failed = counts('failed') + Number(broken || tests.length === 0);
        resolve({ file, tests, passed: counts('passed'), skipped: counts('skipped'), failed, seconds: (Date.now() - begun) / 1000, log });
      });
    });
  });
}

function resultsIn(path) {
  try {
    return readFileSync(path, 'utf8').split('\n').filter(Boolean).map((line) => JSON.parse(line));
  } catch {
    return [];
  }
}

// The failed tests as the spec reporter lists them at its end, or, without that list, the last lines of the output.
function details(output) {
  const at = output.indexOf('✖ failing tests:');
  return at >= 0 ? output.slice(at) : output.split('\n').slice(-50).map((line) => `  ${line}`).join('\n');
}

function report({ file, passed, skipped, failed, seconds, log }) {
  const counts = [`${passed} passed`, ...(skipped ? [`${skipped} skipped`] : []), ...(failed ? [`${failed} FAILED`] : [])];
  console.log(`${failed ? '✖' : '✔'} ${file.id}: ${counts.join(', ')} (${seconds.toFixed(1)} s)`);
  if (failed) console.log(`${details(readFileSync(log, 'utf8'))}\n✖ ${file.id}: see ${log}`);
}

// Runs `files` in order, as many at the same time as fit into the places.
function sideBySide(files, places) {
  const waiting = [...files];
  const done = [];
  let free = places;
  return new Promise((resolve) => {
    const next = () => {
      if (done.length === files.length) resolve(done);
      // A file that needs more places than are free lets smaller files start before it.
      for (let at = 0; at < waiting.length && free > 0; ) {
        const file = waiting[at];
        const cost = Math.min(file.cost, places);
        if (cost > free) {
          at += 1;
          continue;
        }
        waiting.splice(at, 1);
        free -= cost;
        runFile(file).then((result) => {
          free += cost;
          done.push(result);
          report(result);
          next();
        });
      }
    };
    next();
  });
}

const wanted = process.argv.slice(2);
const files = (wanted.length ? wanted : Object.keys(PARTS).filter((part) => !PARTS[part].namedAlone)).flatMap(filesOf).sort((a, b) => rank(a) - rank(b));
const results = await sideBySide(files, PLACES);

const slowest = results
  .flatMap(({ file, tests }) => tests.map((test) => ({ ...test, id: file.id })))
  .sort((a, b) => b.ms - a.ms)
  .slice(0, SLOWEST)
  .map(({ id, name, ms }) => `${(ms / 1000).toFixed(1).padStart(7)} s  ${id}: ${name}`);
writeFileSync(join(logs, 'slowest.txt'), `${slowest.join('\n')}\n`);
const total = (key) => results.reduce((sum, result) => sum + result[key], 0);
for (const [label, key] of [['pass', 'passed'], ['fail', 'failed'], ['skipped', 'skipped']]) console.log(`ℹ ${label} ${total(key)}`);
process.exitCode = total('failed') > 0 ? 1 : 0;
