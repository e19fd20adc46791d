// The resident memory of a process.
import { readFileSync } from 'node:fs';

// MiB of a process's resident memory.
export const residentMib = (pid) => Number(readFileSync(`/proc/${pid}/status`, 'utf8').match(/^VmRSS:\s+(\d+) kB$/m)[1]) / 1024;
