// What compose.yaml says, with the values of an .env file: as Docker Compose reads both, as far as our files use it.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../../', import.meta.url));
// Debian's Python with python3-yaml. `!reset` takes away what an earlier file has, and `!override` replaces it; lists are else put together.
const READER = `
import json, sys, yaml
class Loader(yaml.SafeLoader): pass
Loader.add_constructor('!reset', lambda loader, node: {'!reset': True})
Loader.add_constructor('!override', lambda loader, node: {'!override': loader.construct_sequence(node)})
print(json.dumps(list(yaml.load_all(sys.stdin, Loader))))`;

const documents = (text) => JSON.parse(execFileSync('/usr/bin/python3', ['-c', READER], { input: text }));

// The documents of a YAML file of the repository.
export const readYaml = (file) => documents(readFileSync(`${root}${file}`));

// ${NAME:-default} is all that our files use; anything else is a mistake.
function interpolated(value, env) {
  if (Array.isArray(value)) return value.map((item) => interpolated(item, env));
  if (value && typeof value === 'object') return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, interpolated(item, env)]));
  if (typeof value !== 'string') return value;
  const text = value.replace(/\$\{(\w+):-([^${}]*)\}/g, (_, name, fallback) => env[name] || fallback);
  if (text.includes('$')) throw new Error(`${value} has an interpolation that this reader does not know`);
  return text;
}

function merged(below, above) {
  const result = { ...below };
  for (const [key, value] of Object.entries(above)) {
    if (value?.['!reset']) delete result[key];
    else if (value?.['!override']) result[key] = value['!override'];
    else if (Array.isArray(value) && Array.isArray(result[key])) result[key] = [...result[key], ...value];
    else if (value && typeof value === 'object' && !Array.isArray(value)) result[key] = merged(result[key] ?? {}, value);
    else result[key] = value;
  }
  return result;
}

// The service `castway` of the files, one over the other, where `env` is the content of .env: its `environment` is what the container gets. A file
// can also be the text of one.
export function composed(files, env = {}) {
  const read = (file) => (file.includes('\n') ? documents(file) : readYaml(file))[0].services.castway;
  const service = files.map((file) => interpolated(read(file), env)).reduce(merged, {});
  if (service.env_file?.[0]?.path !== '.env' || service.env_file[0].required !== false) throw new Error('the service does not read .env');
  return { ...service, environment: { ...env, ...service.environment } };
}

// The published ports as {at, host, container, protocol}.
export const published = (service) =>
  (service.ports ?? []).map((port) => {
    const [, at, host, container, protocol] = /^(?:([\d.]+):)?(\d+):(\d+)\/(tcp|udp)$/.exec(port) ?? [];
    if (!protocol) throw new Error(`${port} is no published port`);
    return { at: at ?? 'all', host: Number(host), container: Number(container), protocol };
  });
