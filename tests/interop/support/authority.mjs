// Certificate authorities: one of our own, made with openssl, and Let's Encrypt's test server.
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { get } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freeTcpPort, freeUdpPort } from './server.mjs';

const openssl = (...args) => execFileSync('openssl', args, { stdio: ['ignore', 'ignore', 'pipe'] });

// A folder with ca.pem, and chain.pem and key.pem for a name or an address of this machine; `renew` replaces the latter two.
export function ownAuthority(names = ['DNS:localhost', 'IP:127.0.0.1']) {
  const folder = mkdtempSync(join(tmpdir(), 'castway-ca-'));
  const file = (name) => join(folder, name);
  const key = (name) => ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', file(name)];
  openssl('req', '-x509', ...key('ca.key'), '-out', file('ca.pem'), '-days', '30', '-subj', '/CN=Castway test authority', '-addext', 'basicConstraints=critical,CA:TRUE');
  writeFileSync(file('extensions'), `subjectAltName=${names.join(',')}\nextendedKeyUsage=serverAuth\n`);
  const renew = () => {
    openssl('req', ...key('key.pem'), '-out', file('request.pem'), '-subj', '/CN=castway.test');
    openssl('x509', '-req', '-in', file('request.pem'), '-CA', file('ca.pem'), '-CAkey', file('ca.key'), '-CAcreateserial', '-days', '30', '-out', file('leaf.pem'), '-extfile', file('extensions'));
    writeFileSync(file('chain.pem'), Buffer.concat([readFileSync(file('leaf.pem')), readFileSync(file('ca.pem'))]));
  };
  renew();
  return {
    ca: file('ca.pem'),
    cert: file('chain.pem'),
    key: file('key.pem'),
    settings: { CASTWAY_CERT: file('chain.pem'), CASTWAY_PKEY: file('key.pem') },
    renew,
    close: () => rmSync(folder, { recursive: true, force: true }),
  };
}

// Debian's pebble with a name server that sends every name to 127.0.0.1. It looks for proofs at the two given ports.
export async function pebble({ tlsPort, httpPort, life }) {
  const own = ownAuthority();
  const [port, management, dns, dnsManagement] = [await freeTcpPort(), await freeTcpPort(), await freeUdpPort(), await freeTcpPort()];
  const config = {
    pebble: {
      listenAddress: `127.0.0.1:${port}`, managementListenAddress: `127.0.0.1:${management}`, certificate: own.cert, privateKey: own.key,
      httpPort, tlsPort, certificateValidityPeriod: life,
    },
  };
  writeFileSync(`${own.cert}.json`, JSON.stringify(config));
  const env = { PATH: process.env.PATH, PEBBLE_VA_NOSLEEP: '1', PEBBLE_AUTHZREUSE: '0' };
  let output = '';
  const children = [
    spawn('pebble-challtestsrv', ['-defaultIPv6', '', '-dns01', `127.0.0.1:${dns}`, '-http01', '', '-https01', '', '-tlsalpn01', '', '-management', `127.0.0.1:${dnsManagement}`], { env }),
    spawn('pebble', ['-config', `${own.cert}.json`, '-dnsserver', `127.0.0.1:${dns}`], { env }),
  ];
  for (const child of children) {
    child.stdout.on('data', (chunk) => (output += chunk));
    child.stderr.on('data', (chunk) => (output += chunk));
    child.on('error', (error) => (output += `${error}: install Debian's package pebble`));
  }
  const close = async () => {
    for (const child of children.filter(({ exitCode, pid }) => exitCode === null && pid)) {
      child.kill('SIGKILL');
      await once(child, 'exit');
    }
    own.close();
  };
  const fetchText = (url) =>
    new Promise((resolve, reject) => {
      const request = get(url, { ca: readFileSync(own.ca) }, (response) => {
        let text = '';
        response.on('data', (chunk) => (text += chunk));
        response.on('end', () => resolve(text));
      });
      request.on('error', reject);
    });
  const deadline = Date.now() + 15_000;
  for (;;) {
    const root = await fetchText(`https://127.0.0.1:${management}/roots/0`).catch(() => null);
    if (root) {
      const settings = { CASTWAY_ACME_DIRECTORY: `https://127.0.0.1:${port}/dir`, CASTWAY_ACME_CA: own.ca, CASTWAY_ACME_EMAIL: 'admin@castway.test' };
      return { root, settings, close, log: () => output };
    }
    if (Date.now() > deadline || children.some(({ exitCode }) => exitCode !== null)) {
      await close();
      throw new Error(`pebble was not ready: ${output}`);
    }
    await sleep(100);
  }
}
