// Proxies in front of a server, on the host PROXY of internet.mjs or on the server's own machine.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Program, run } from '../interop/support/process.mjs';
import { nginx } from '../interop/support/proxy.mjs';

const PATH = `${process.env.PATH}:/usr/sbin:/usr/local/sbin`;

async function start({ address, namespace }, name, text, args) {
  const folder = mkdtempSync(join(tmpdir(), `castway-${name}-`));
  const file = join(folder, 'settings');
  writeFileSync(file, text(folder));
  const all = [...(namespace ? ['ip', 'netns', 'exec', namespace] : []), name, ...args(file, folder)];
  const program = new Program(all[0], all.slice(1), { env: { PATH, HOME: folder } });
  const close = async () => {
    await program.close();
    rmSync(folder, { recursive: true, force: true });
  };
  await program.ready(async () => (await run('curl', ['-sk', '--max-time', '5', '-o', '/dev/null', '-w', '%{http_code}', `https://${address}/healthz`])).output === '200');
  return { close };
}

// nginx with the headers of docs/deploy.md, which terminates TLS with the authority's certificate.
export const nginxBefore = (upstream, { cert, key }, at) =>
  start(at, 'nginx', (folder) => nginx.config(`
    map $http_upgrade $connection_upgrade { default upgrade; '' close; }
    server {
      listen ${at.address}:443 ssl;
      ssl_certificate ${cert};
      ssl_certificate_key ${key};
      location / {
        proxy_pass ${upstream};
        proxy_http_version 1.1;
        proxy_set_header Host $host;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection $connection_upgrade;
        proxy_set_header X-Forwarded-For $remote_addr;
        proxy_set_header X-Forwarded-Proto https;
        proxy_read_timeout 1h;
      }
    }
`, folder), nginx.args);

// HAProxy that passes TCP on without reading it, and says with the PROXY protocol who has connected.
export const haproxyBefore = (upstream, at) =>
  start(at, 'haproxy', () => `defaults
  mode tcp
  timeout connect 5s
  timeout client 1h
  timeout server 1h
listen castway
  bind ${at.address}:443
  server castway ${upstream} send-proxy-v2
`, (file) => ['-db', '-f', file]);
