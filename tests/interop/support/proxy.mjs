// Other proxies with the settings of docs/deploy.md in front of a server.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { blocks } from '../../documents/documents.mjs';
import { freePort, onFreePorts } from './ports.mjs';
import { Program } from './process.mjs';

// Debian's haproxy and nginx are in folders that only root has in PATH.
const PATH = `${process.env.PATH}:/usr/sbin:/usr/local/sbin`;

export const isInstalled = (name) => spawnSync('sh', ['-c', `command -v ${name}`], { env: { PATH } }).status === 0;

// All blocks of a language in docs/deploy.md, in order.
export function deployBlocks(language) {
  const found = blocks('docs/deploy.md').filter((block) => block.language === language).map(({ text }) => text);
  assert.ok(found.length > 0, `docs/deploy.md has no block of ${language}`);
  return found;
}

// HAProxy's settings around a block; Debian's settings have these timeouts, too.
export const haproxy = {
  config: (block) => `defaults\n  timeout connect 5s\n  timeout client 30s\n  timeout server 30s\n${block}`,
  args: (file) => ['-db', '-f', file],
};

// nginx's settings around server blocks. In complete settings, only the lines that nginx needs here are added.
export const nginx = {
  config(text, folder) {
    const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((kind) => `${kind}_temp_path ${folder}/${kind};`).join(' ');
    const whole = /^\s*http\s*\{/m.test(text) ? text : `events {}\nhttp {\n${text}}\n`;
    return `daemon off; master_process off; user root; pid ${folder}/pid; error_log stderr;\n${whole.replace(/^(\s*http\s*\{)/m, `$1 access_log off; ${temporary}`)}`;
  },
  args: (file, folder) => ['-p', folder, '-c', file],
};

// Runs the proxy in a folder of its own. `prepare` gets this folder and a free port, and resolves to {text, ready}: the proxy's settings,
// and a function that resolves to a true value once the proxy serves. Resolves to the result of `prepare` with the port and `close`.
export function startProxy(name, args, prepare) {
  return onFreePorts(async () => {
    const folder = mkdtempSync(join(tmpdir(), `castway-${name}-`));
    const port = await freePort();
    const prepared = await prepare({ folder, port });
    const file = join(folder, 'settings');
    writeFileSync(file, prepared.text);
    const proxy = new Program(name, args(file, folder), { env: { PATH, HOME: folder } });
    const close = async () => {
      await proxy.close();
      rmSync(folder, { recursive: true, force: true });
    };
    try {
      await proxy.ready(prepared.ready);
    } catch (error) {
      await close();
      throw error;
    }
    return { ...prepared, port, close };
  });
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
