// Certificate authorities: our own, made with openssl, and Let's Encrypt's test server.
import { execFileSync } from 'node:child_process';
import { Resolver } from 'node:dns/promises';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { get } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from './ports.mjs';
import { Program } from './process.mjs';

const openssl = (...args) => execFileSync('openssl', args, { stdio: ['ignore', 'ignore', 'pipe'] });

// A folder with ca.pem, and with chain.pem and key.pem for names or addresses of this machine; `renew` replaces the latter two.
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
    settings: { CASTWAY_CERT: file('chain.pem'), CASTWAY_PKEY: file('key.pem'), CASTWAY_CERT_TRUSTED: 'true' },
    renew,
    close: () => rmSync(folder, { recursive: true, force: true }),
  };
}

// Debian's pebble with a name server that resolves every name to `at`, where it listens itself. It checks challenges at the two given ports.
export async function pebble({ tlsPort, httpPort, life, at = '127.0.0.1' }) {
  const own = ownAuthority(['DNS:localhost', 'IP:127.0.0.1', `IP:${at}`]);
  const [port, management, dns, dnsManagement] = [await freePort(), await freePort(), await freePort(), await freePort()];
  const config = {
    pebble: {
      listenAddress: `${at}:${port}`, managementListenAddress: `127.0.0.1:${management}`, certificate: own.cert, privateKey: own.key,
      httpPort, tlsPort, certificateValidityPeriod: life,
      // Since 2.7 pebble takes the lifetime only from a profile.
      ...(life && { profiles: { default: { description: 'the only one', validityPeriod: life } } }),
    },
  };
  writeFileSync(`${own.cert}.json`, JSON.stringify(config));
  // By default pebble refuses one in twenty valid nonces. Our library tries three times, which sometimes is not enough.
  const env = { PATH: process.env.PATH, PEBBLE_VA_NOSLEEP: '1', PEBBLE_AUTHZREUSE: '0', PEBBLE_WFE_NONCEREJECT: '0' };
  const names = new Program('pebble-challtestsrv', ['-defaultIPv4', at, '-defaultIPv6', '', '-dns01', `127.0.0.1:${dns}`, '-http01', '', '-https01', '', '-tlsalpn01', '', '-management', `127.0.0.1:${dnsManagement}`], { env });
  const authority = new Program('pebble', ['-config', `${own.cert}.json`, '-dnsserver', `127.0.0.1:${dns}`], { env });
  const close = async () => {
    await names.close();
    await authority.close();
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
  const resolver = new Resolver({ timeout: 1000, tries: 1 });
  resolver.setServers([`127.0.0.1:${dns}`]);
  try {
    await names.ready(() => resolver.resolve4('ready.castway.test'));
    const root = await authority.ready(() => fetchText(`https://127.0.0.1:${management}/roots/0`));
    const settings = { CASTWAY_ACME_DIRECTORY: `https://${at}:${port}/dir`, CASTWAY_ACME_CA: own.ca, CASTWAY_ACME_EMAIL: 'admin@castway.test' };
    // Takes a serial number as bytes or in base64url: {Status: 'Valid' or 'Revoked', …}.
    const status = async (serial) => {
      const hex = Buffer.from(serial, 'base64url').toString('hex').replace(/^0+/, '');
      return JSON.parse(await fetchText(`https://127.0.0.1:${management}/cert-status-by-serial/${hex}`));
    };
    return { root, settings, status, close, log: () => names.output + authority.output };
  } catch (error) {
    await close();
    throw error;
  }
}
