// Other programs, run to their end.
import { spawn } from 'node:child_process';
import { once } from 'node:events';

// Resolves to {code, output}; code is null where the program is killed after `limit` ms.
export async function run(command, args, limit = 60_000) {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  child.stdout.on('data', (chunk) => (output += chunk));
  child.stderr.on('data', (chunk) => (output += chunk));
  const timer = setTimeout(() => child.kill('SIGKILL'), limit);
  const [code] = await once(child, 'close');
  clearTimeout(timer);
  return { code, output };
}
