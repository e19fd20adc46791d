// TURN clients of other projects, over every transport and family: each gets an allocation with credentials of our /turn, and its data or its
// media passes through the relay, since the two homes can't reach each other. Makes the table "TURN clients" in docs/clients.md.
//
// A run of all tests takes the clients that other tests have, too, and one family for each client and transport; `tests/run clients` takes all.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { ownAuthority } from '../interop/support/authority.mjs';
import { assertMade, cellsOf, table, writes } from '../interop/support/document.mjs';
import { Browsers } from './browsers.mjs';
import { relayed } from './casts.mjs';
import { addV6, blockUdp, build, demolish, nameAll, serve, SERVER, unblock } from './networks.mjs';
import { ADDRESSES, addSipLink, assertRelayedOnly, configuration, driver, exchange, FAMILIES, makeEnd, NAMES, play, SIP, TRANSPORTS, uclient } from './turn-clients.mjs';

const ALL = process.env.CASTWAY_TEST_CLIENTS === 'true';
const API_KEY = 'key-of-janus-and-selkies';
const PAGE = `http://${SERVER}:8080/healthz`;
// How many clients run at the same time.
const SIDE_BY_SIDE = 3;
// Two seconds of sound in one direction are more.
const FEWEST_BYTES = 16_000;

// Programs that this test builds.
const built = (name) => fileURLToPath(new URL(`../../target/${name}`, import.meta.url));
const [pion, GO_CACHE] = [built('turn-client-pion'), built('go-cache')];

const environment = (name) => fileURLToPath(new URL(`../${name}/bin/python`, import.meta.url));
const [python, pythonOfClients] = [environment('.venv'), environment('.venv-clients')];
const ofNpm = (name) => JSON.parse(readFileSync(new URL(`../interop/node_modules/${name}/package.json`, import.meta.url), 'utf8')).version;
const ofPip = (interpreter, name) => execFileSync(interpreter, ['-c', `import importlib.metadata as m; print(m.version("${name}"))`], { encoding: 'utf8' }).trim();
const ofDebian = (name) => execFileSync('dpkg-query', ['-W', '-f', '${Version}', name], { encoding: 'utf8' }).replace(/^\d+:/, '').replace(/[-+~].*/, '');

const browsersOf = {};
let browsers;
// For files of drivers, which are killed.
const folder = mkdtempSync(join(tmpdir(), 'castway-turn-clients-'));
let server;
let authority;

// Two drivers with the same command.
const pair = (command, more = {}) => (config) => {
  const text = JSON.stringify(config);
  return play({ offer: [...command, 'offer', text], answer: [...command, 'answer', text], env: { SSL_CERT_FILE: authority.ca, NODE_EXTRA_CA_CERTS: authority.ca }, ...more });
};
const relayOnly = (command, more) => async (config) => assertRelayedOnly((await pair(command, more)(config)).candidates);
const node = (library) => relayOnly([process.execPath, driver('webrtc.mjs'), library]);

async function inPages(open, config) {
  const [one, other] = await Promise.all([open('home1'), open('home2')]);
  const offer = await one.evaluate(makeEnd, { role: 'offer', config });
  const answer = await other.evaluate(makeEnd, { role: 'answer', config, description: offer });
  for (const { sdp } of [offer, answer]) assertRelayedOnly(sdp.split('\r\n').filter((line) => line.startsWith('a=candidate:')));
  assert.equal(await one.evaluate(exchange, answer), 'all came back');
  for (const page of [one, other]) await page.evaluate(() => window.pc.close());
}

// `play` asserts that data passes. `version` is asked once; those of `debian` change with the distribution, and the document keeps those that
// it was written with. `lacks` says why a cell is not played, for a transport, a family or one of both together.
const CLIENTS = [
  {
    client: 'Chromium',
    debian: true,
    version: () => browsersOf.chromium.home1.version(),
    play: (config) => inPages(async (home) => {
      const page = await browsersOf.chromium[home].newPage();
      await page.goto(PAGE);
      return page;
    // For UDP it takes names only from DNS.
    }, config.transport === 'udp' ? { ...config, url: config.urlOfAddress } : config),
  },
  {
    client: 'Firefox',
    debian: true,
    version: () => browsersOf.firefox.home1.evaluate(() => navigator.userAgent.match(/Firefox\/(\S+)/)[1]),
    play: (config) => inPages(async (home) => browsersOf.firefox[home], config),
  },
  { client: "coturn's turnutils_uclient", debian: true, version: () => ofDebian('coturn'), play: (config) => uclient(config, authority.ca) },
  { client: 'aioice', version: () => ofPip(python, 'aioice'), play: relayOnly([python, driver('ice_agent.py')]) },
  { client: 'aiortc', version: () => ofPip(python, 'aiortc'), play: relayOnly([python, driver('peer_connection.py'), 'aiortc']) },
  // Over UDP it asks only by IPv4.
  { client: 'werift', version: () => ofNpm('werift'), play: node('werift'), lacks: { 'udp 6': 'uses TCP' } },
  { client: 'libwebrtc (@roamhq/wrtc)', version: () => ofNpm('@roamhq/wrtc'), play: node('libwebrtc'), lacks: { tls: 'public authorities only' } },
  {
    client: 'libjuice (node-datachannel)',
    version: () => ofNpm('node-datachannel'),
    play: relayOnly([process.execPath, driver('libjuice.mjs')]),
    lacks: { tcp: 'no TCP', tls: 'no TLS' },
  },
  {
    client: 'pion',
    more: true,
    debian: true,
    version: () => ofDebian('golang-github-pion-webrtc.v3-dev'),
    play: (config) => relayOnly([pion])(config),
    lacks: { 6: 'no IPv6' },
  },
  {
    client: 'GStreamer (webrtcbin, libnice)',
    more: true,
    debian: true,
    version: () => ofDebian('libgstreamer1.0-0'),
    // Debian's bindings belong to its own Python.
    play: relayOnly(['/usr/bin/python3', driver('gstreamer.py')]),
    // libnice speaks TURN without TLS to the port of a `turns:` URL.
    lacks: { tls: 'uses TCP' },
  },
  { client: 'Selkies', more: true, version: () => ofPip(pythonOfClients, 'selkies'), play: pair([pythonOfClients, driver('peer_connection.py'), 'selkies.webrtc']) },
  {
    client: 'pjsua2 (pjnath)',
    more: true,
    version: () => ofPip(pythonOfClients, 'pjsua2-python'),
    alone: true,
    play: pair([pythonOfClients, driver('sip_call.py')], { dones: 2 }),
    // The package is built without it.
    lacks: { 6: 'no IPv6' },
  },
  {
    client: 'baresip',
    more: true,
    debian: true,
    version: () => ofDebian('baresip-core'),
    alone: true,
    play: pair([process.execPath, driver('baresip.mjs')], { dones: 2 }),
    // Its media has the family of SIP, which is IPv4 between the homes.
    lacks: { 'udp 6': 'not tried', tcp: 'uses UDP', tls: 'no TLS' },
  },
  {
    client: 'Janus',
    more: true,
    debian: true,
    version: () => ofDebian('janus'),
    alone: true,
    lacks: { tls: 'uses TCP' },
    // It takes all URLs of the relay, and UDP first.
    play: async (config) => {
      if (config.transport === 'tcp') blockUdp();
      try {
        await play({ offer: [process.execPath, driver('webrtc.mjs'), 'libwebrtc', 'offer', JSON.stringify(config)], answer: [process.execPath, driver('janus.mjs'), JSON.stringify(config)] });
      } finally {
        unblock();
      }
    },
  },
];
const run = CLIENTS.filter(({ more }) => ALL || !more);

const played = new Map();
const cellKey = (transport, family) => `${transport} ${family}`;

before(async () => {
  build();
  addV6();
  nameAll(ADDRESSES);
  authority = ownAuthority(Object.values(NAMES).map((name) => `DNS:${name}`));
  server = await serve({
    ...authority.settings,
    // Otherwise the API redirects to HTTPS, and Janus doesn't follow.
    CASTWAY_CERT_TRUSTED: 'false',
    CASTWAY_HTTP_ADDR: `${SERVER}:8080,[${ADDRESSES[NAMES[6]]}]:8080`,
    CASTWAY_TURN_ADDR: '[::]:3478',
    CASTWAY_TURNS_ADDR: '[::]:5349',
    CASTWAY_EXTERNAL_IP: Object.values(ADDRESSES).join(),
    CASTWAY_RELAY_IP: Object.values(ADDRESSES).join(),
    CASTWAY_RELAY_THREADS: '4',
    CASTWAY_API_KEYS: API_KEY,
    CASTWAY_CREDENTIALS_RATE: '100000',
  });
  if (ALL) {
    addSipLink();
    execFileSync('go', ['build', '-o', pion, driver('pion.go')], { env: { ...process.env, GO111MODULE: 'off', GOPATH: '/usr/share/gocode', GOCACHE: GO_CACHE }, stdio: 'inherit' });
  }
  browsers = new Browsers(authority.ca);
  // All of them are awaited, so that `after` closes those that have started where another one fails.
  const started = await Promise.allSettled(['home1', 'home2'].flatMap((home) => [browsers.chromium(home), browsers.firefox(home, PAGE)]));
  const failed = started.find(({ status }) => status === 'rejected');
  if (failed) throw failed.reason;
  const [chromium1, firefox1, chromium2, firefox2] = started.map(({ value }) => value);
  browsersOf.chromium = { home1: chromium1, home2: chromium2 };
  browsersOf.firefox = { home1: firefox1, home2: firefox2 };
});
after(async () => {
  await browsers?.close();
  await server?.close();
  authority?.close();
  rmSync(folder, { recursive: true, force: true });
  demolish();
});

const credentials = async (name) => (await fetch(`${server.url}/turn?username=${name}`)).json();
const reason = ({ lacks = {} }, transport, family) => lacks[cellKey(transport, family)] ?? lacks[transport] ?? lacks[family];

// The families that this run plays. Without ALL it is one, in turn, so that each client has both, and each transport as well.
function familiesOf(each, transport) {
  const all = FAMILIES.filter((family) => !reason(each, transport, family));
  const turn = CLIENTS.indexOf(each) + TRANSPORTS.indexOf(transport);
  return ALL ? all : all.slice(turn % all.length).slice(0, 1);
}

function playOver(each, transport) {
  for (const family of familiesOf(each, transport)) {
    test(`${each.client} over ${transport.toUpperCase()} and IPv${family}`, async () => {
      const begun = await relayed(server);
      await each.play(configuration(transport, family, await credentials('alice'), { sip: SIP, key: API_KEY, folder, rest: `http://${NAMES[family]}:8080/turn` }));
      const now = await relayed(server);
      assert.ok(now[transport] - begun[transport] > FEWEST_BYTES, `${now[transport] - begun[transport]} bytes were relayed`);
      played.set(each, { ...played.get(each), [cellKey(transport, family)]: true });
    });
  }
}

for (const transport of TRANSPORTS) {
  // The clients of one transport run side by side, and nothing to speak of is relayed over another one meanwhile.
  describe(`over ${transport.toUpperCase()}`, { concurrency: SIDE_BY_SIDE }, () => {
    let begun;
    before(async () => {
      begun = await relayed(server);
    });
    after(async () => {
      const now = await relayed(server);
      for (const other of TRANSPORTS.filter((each) => each !== transport)) assert.ok(now[other] - begun[other] < FEWEST_BYTES, `${now[other] - begun[other]} bytes were relayed over ${other}`);
    });

    for (const each of run.filter(({ alone }) => !alone)) playOver(each, transport);
  });
}

describe('one after the other', () => {
  for (const transport of TRANSPORTS) for (const each of run.filter(({ alone }) => alone)) playOver(each, transport);
});

const column = (transport, family) => `${transport.toUpperCase()}, IPv${family}`;
const HEAD = ['Client', 'Version', ...TRANSPORTS.flatMap((transport) => FAMILIES.map((family) => column(transport, family)))];

test('docs/clients.md says what was found', async () => {
  const documented = new Map(cellsOf('turn-clients.test.mjs').map((cells) => [cells[0], cells]));
  const rows = [];
  for (const each of CLIENTS) {
    const before = documented.get(each.client);
    // A client that this run doesn't play keeps its row.
    if (!run.includes(each)) {
      if (before) rows.push(before);
      continue;
    }
    const cells = TRANSPORTS.flatMap((transport) => FAMILIES.map((family) => {
      const lacking = reason(each, transport, family);
      if (lacking) return lacking;
      // A cell that this run doesn't play stays as it is.
      if (!familiesOf(each, transport).includes(family)) return before?.[HEAD.indexOf(column(transport, family))] ?? 'not tried';
      return played.get(each)?.[cellKey(transport, family)] ? '✔' : 'failed';
    }));
    const version = each.debian && !writes && before ? before[1] : await each.version();
    rows.push([each.client, version, ...cells]);
  }
  assertMade('turn-clients.test.mjs', table(HEAD, rows), 'netns');
});
