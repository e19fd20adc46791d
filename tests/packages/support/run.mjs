// Runs a program until it ends.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { cleanEnv } from '../../interop/support/server.mjs';

export const root = fileURLToPath(new URL('../../../', import.meta.url));
const LIMIT_MS = 30 * 60_000;
const MAX_OUTPUT_BYTES = 64 * 1024 * 1024;

// Returns {status, output} of standard output and standard error together.
export function attempt(command, args, { env = {}, cwd = root } = {}) {
  const options = { env: { ...cleanEnv(), ...env }, cwd, encoding: 'utf8', timeout: LIMIT_MS, maxBuffer: MAX_OUTPUT_BYTES };
  const { status, stdout, stderr, error } = spawnSync(command, args, options);
  return { status, output: `${stdout ?? ''}${stderr ?? ''}${error ?? ''}` };
}

// Returns the output of a program that has to succeed.
export function run(command, args, options) {
  const { status, output } = attempt(command, args, options);
  if (status !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${status}:\n${output.slice(-8000)}`);
  return output;
}
