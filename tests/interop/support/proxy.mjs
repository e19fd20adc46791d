// Proxies of other descent with the README's settings in front of a server.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const readme = readFileSync(new URL('../../../README.md', import.meta.url), 'utf8');
// Debian's haproxy and nginx are where only root looks.
const PATH = `${process.env.PATH}:/usr/sbin:/usr/local/sbin`;

export const isInstalled = (name) => spawnSync('sh', ['-c', `command -v ${name}`], { env: { PATH } }).status === 0;

// All of the README's blocks of a language, in order.
export function readmeBlocks(language) {
  const blocks = [...readme.matchAll(new RegExp(`\`\`\`${language}\n([\\s\\S]*?)\`\`\``, 'g'))].map(([, block]) => block);
  assert.ok(blocks.length > 0, `the README has no block of ${language}`);
  return blocks;
}

// HAProxy's settings around a block; Debian's have these time-outs, too.
export const haproxy = {
  config: (block) => `defaults\n  timeout connect 5s\n  timeout client 30s\n  timeout server 30s\n${block}`,
  args: (file) => ['-db', '-f', file],
};

export function proxyFolder(name) {
  return mkdtempSync(join(tmpdir(), `castway-${name}-`));
}

// Runs the proxy in its folder, and resolves when `ready` does to something true. `close` ends it and removes the folder.
export async function startProxy(name, { folder, text, args, ready }) {
  const file = join(folder, 'settings');
  writeFileSync(file, text);
  const child = spawn(name, args(file, folder), { env: { PATH, HOME: folder }, stdio: ['ignore', 'pipe', 'pipe'] });
  let log = '';
  let failure = null;
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (log += chunk));
  child.on('error', (error) => (failure = error));
  const close = async () => {
    if (!failure && child.exitCode === null && child.signalCode === null) {
      child.kill('SIGKILL');
      await once(child, 'exit');
    }
    rmSync(folder, { recursive: true, force: true });
  };
  const deadline = Date.now() + 20_000;
  while (!(await ready().catch(() => false))) {
    if (failure || child.exitCode !== null || Date.now() > deadline) {
      await close();
      throw new Error(`${name} does not serve: ${failure ?? ''}\n${log}`);
    }
    await sleep(50);
  }
  return { close };
}

// A verified request over HTTPS from one of this machine's loopback addresses: {status, headers, body}.
export function getFrom({ port, ca, name }, path, { from = '127.0.0.9', headers = {} } = {}) {
  return new Promise((resolve, reject) => {
    const options = { host: '127.0.0.1', port, path, localAddress: from, ca, servername: name, headers: { host: name, ...headers }, agent: false };
    const asked = request(options, (answer) => {
      let body = '';
      answer.on('data', (chunk) => (body += chunk));
      answer.on('end', () => resolve({ status: answer.statusCode, headers: answer.headers, body }));
    });
    asked.on('error', reject);
    asked.end();
  });
}
