// tests/run --newest: runs the tests with the newest versions in the registries. It works in target/newest, a copy of the repository, and
// first renews the copy's pinned versions: lock files, package.json, requirements.txt. Versions that pass can be copied back. What stays old on
// purpose: engines of browsers, packages that are tested in several versions (isKept, requirements-socketio4.txt), and the Python packages of
// `clients` (requirements-clients.txt), which are for one version of Python, and without most of what Selkies asks for.
import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../', import.meta.url));
const copy = join(root, 'target/newest');
// A minor version is in the names of packages that are tested in several versions.
const isKept = (name) => name.startsWith('chrome-aws-lambda') || /-\d+\.\d+$/.test(name);

const execute = (command, args, folder = copy) => execFileSync(command, args, { cwd: folder, stdio: ['ignore', 'inherit', 'inherit'] });
const json = (path) => JSON.parse(readFileSync(path, 'utf8'));
const write = (path, value) => writeFileSync(path, `${JSON.stringify(value, null, 2)}\n`);

// Copies the working tree without ignored files. Cargo's build folder in the copy stays, and so do the file times by which cargo detects
// changes.
function copyFiles() {
  mkdirSync(copy, { recursive: true });
  for (const name of readdirSync(copy)) if (name !== 'target') rmSync(join(copy, name), { recursive: true });
  const files = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], { cwd: root, encoding: 'utf8' });
  for (const file of files.split('\0').filter((name) => name && existsSync(join(root, name)))) {
    mkdirSync(dirname(join(copy, file)), { recursive: true });
    cpSync(join(root, file), join(copy, file), { preserveTimestamps: true });
  }
}

// Applies `change` to each leaf of the overrides; `path` names the packages on the way to it.
const overridden = (overrides, change, path = []) =>
  Object.fromEntries(
    Object.entries(overrides).map(([name, value]) => {
      const here = [...path, name];
      return [name, typeof value === 'string' ? change(here, value) : overridden(value, change, here)];
    }),
  );

// The installed version of the last package of `path`: npm places it as near to its dependents as necessary.
function installed({ packages }, path) {
  const name = path.at(-1);
  const folders = path.map((_, outer) => [...path.slice(0, outer), name].map((part) => `node_modules/${part}`).join('/'));
  return folders.reverse().map((folder) => packages[folder]).find(Boolean).version;
}

// Renews exact versions to the newest one, or to the newest one of the same major version if the name stands for that version
// ("npm:socket.io-client@2.5.0"), and ranges to the newest version within them.
function renewNpm(folder) {
  const [file, lock] = ['package.json', 'package-lock.json'].map((name) => join(copy, folder, name));
  const description = json(file);
  const pinned = Object.entries(description.dependencies).filter(([name, wanted]) => /^(npm:.*@)?\d/.test(wanted) && !isKept(name));
  for (const [name, wanted] of pinned) description.dependencies[name] = wanted.startsWith('npm:') ? wanted.replace(/@(?=\d)/, '@^') : 'latest';
  const { overrides } = description;
  if (overrides) description.overrides = overridden(overrides, () => 'latest');
  write(file, description);
  rmSync(lock);
  const install = () => execute('npm', ['install', '--package-lock-only', '--omit-lockfile-registry-resolved', '--ignore-scripts', '--no-audit', '--no-fund'], join(copy, folder));
  install();
  const found = json(lock);
  for (const [name, wanted] of pinned) description.dependencies[name] = wanted.replace(/\d[^@]*$/, installed(found, [name]));
  if (overrides) description.overrides = overridden(overrides, (path) => installed(found, path));
  write(file, description);
  install();
}

// Complete lists, so what pip resolves is the next list.
function renewPython(list) {
  const [requirements, venv] = [join(copy, list), join(copy, 'tests/.venv-newest')];
  const names = readFileSync(requirements, 'utf8').replaceAll(/==\S+/g, '').trim().split('\n');
  execute('python3', ['-m', 'venv', venv]);
  const pip = join(venv, 'bin/pip');
  execute(pip, ['install', '-q', '--disable-pip-version-check', '--only-binary=:all:', '--upgrade', ...names]);
  writeFileSync(requirements, execFileSync(pip, ['freeze'], { encoding: 'utf8' }));
  rmSync(venv, { recursive: true });
}

copyFiles();
for (const folder of ['web', 'tests/interop', 'tests/e2e', 'clients/js', 'clients/examples/react']) renewNpm(folder);
const lists = ['tests/interop/requirements.txt', 'tests/packages/requirements-openapi.txt', 'tests/documents/requirements.txt'];
for (const list of lists) renewPython(list);
execute('cargo', ['update']);
for (const file of ['Cargo.lock', 'web/package-lock.json', 'tests/interop/package.json', 'tests/e2e/package.json', ...lists]) {
  spawnSync('git', ['--no-pager', 'diff', '--no-index', '--stat', '--', file, join('target/newest', file)], { cwd: root, stdio: 'inherit' });
}
// docs/clients.md names the tested versions.
const env = { ...process.env, CASTWAY_TEST_WRITE: '1' };
const { status } = spawnSync(join(copy, 'tests/run'), process.argv.slice(2), { stdio: 'inherit', env });
console.log(`The renewed pins are in ${copy}.`);
process.exit(status ?? 1);
