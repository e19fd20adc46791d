// Other projects that issue credentials for our relay with a secret that they share with it, as they would for coturn: each one's way of
// making a username and a password, from its source or its documents, with clocks that differ. Janus and Selkies can also fetch them from us.
// Of what is refused the log says why.
import assert from 'node:assert/strict';
import { createHmac, randomBytes } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { startServer } from './support/server.mjs';
import { relayBothWays, verify } from './support/turn.mjs';
import { until } from './support/wait.mjs';

const SECRET = 'a secret that Castway shares with other issuers';
const API_KEY = 'the key of Janus and Selkies';
const [HOUR, DAY] = [3600, 86_400];
// How far the clocks of an issuer and of the relay may be apart, in seconds.
const CLOCKS_APART = 300;

const hmac = (secret, text) => createHmac('sha1', secret).update(text).digest('base64');
const signed = (username, secret = SECRET) => ({ username, password: hmac(secret, username) });
// PHP's, Python's, Lua's, Go's and Erlang's clocks in whole seconds.
const seconds = (clock) => Math.floor(clock / 1000);

// Each `issue` takes the issuer's clock in milliseconds.
const ISSUERS = [
  // nextcloud/spreed, lib/Config.php: a random name with the alphabet of base64, and always a day.
  { issuer: 'Nextcloud Talk', issue: (clock) => signed(`${seconds(clock) + DAY}:${randomBytes(12).toString('base64')}`) },
  // element-hq/synapse, voip.py: turn_user_lifetime is in milliseconds, by default an hour; the user's id has a colon of its own.
  { issuer: 'Synapse', issue: (clock) => signed(`${Math.floor((clock + HOUR * 1000) / 1000)}:@alice:example.org`) },
  { issuer: 'Synapse with turn_user_lifetime: 86400000', issue: (clock) => signed(`${Math.floor((clock + DAY * 1000) / 1000)}:@alice:example.org`) },
  { issuer: 'Synapse with turn_user_lifetime: 7d', issue: (clock) => signed(`${Math.floor((clock + 7 * DAY * 1000) / 1000)}:@alice:example.org`) },
  { issuer: 'Synapse, a guest', issue: (clock) => signed(`${Math.floor((clock + HOUR * 1000) / 1000)}:@17:example.org`) },
  // Prosody's mod_external_services and mod_turn_external, which Jitsi configures: the expiry alone, unless the service has a name.
  { issuer: 'Jitsi, with mod_external_services of Prosody', issue: (clock) => signed(`${seconds(clock) + DAY}`) },
  { issuer: 'mod_external_services of Prosody with a username', issue: (clock) => signed(`${seconds(clock) + DAY}:jitsi`) },
  // The older mod_turncredentials makes the same name; turncredentials_ttl may be short.
  { issuer: 'mod_turncredentials of Prosody for ten minutes', issue: (clock) => signed(`${seconds(clock) + 600}`) },
  // ejabberd, mod_stun_disco: half a day, and hashes of the user and of the host.
  { issuer: 'ejabberd', issue: (clock) => signed(`${seconds(clock) + DAY / 2}:c3ab8ff13720e8ad`) },
  // eturnalctl credentials 1d [alice]
  { issuer: 'eturnal', issue: (clock) => signed(`${seconds(clock) + DAY}`) },
  { issuer: 'eturnal with a suffix', issue: (clock) => signed(`${seconds(clock) + DAY}:alice`) },
  // jech/galene, ice.go: credentialType hmac-sha1.
  { issuer: 'Galene', issue: (clock) => signed(`${seconds(clock) + DAY}:galene`) },
  { issuer: 'Galene without a username', issue: (clock) => signed(`${seconds(clock) + DAY}`) },
  // selkies, webrtc_ice_config.py: colons in the name become dashes.
  { issuer: 'Selkies with a shared secret', issue: (clock) => signed(`${seconds(clock) + DAY}:${'selkies:host'.replace(':', '-')}`) },
  // The order that coturn also reads, of scripts for the first servers of this kind.
  { issuer: 'a script that puts the name first', issue: (clock) => signed(`alice:${seconds(clock) + DAY}`) },
  { issuer: 'a script that leaves the name empty', issue: (clock) => signed(`${seconds(clock) + DAY}:`) },
  { issuer: 'a script with the milliseconds of Date.now()', issue: (clock) => signed(`${clock + DAY * 1000}:alice`) },
];

let server;
before(async () => {
  server = await startServer({ CASTWAY_STATIC_AUTH_SECRET: SECRET, CASTWAY_API_KEYS: API_KEY });
});
after(() => server?.close());

const relay = ({ username, password }) => relayBothWays({ port: server.turnPort, username, password });

// Asserts that credentials are refused, and that the log says that it was them, and why. The log has one line for each address
// and reason, so each case has an address of its own.
async function assertRefused(asked, { username, password }, local, reason) {
  assert.equal(await verify({ port: asked.turnPort, username, password, local }), 401);
  const line = `INFO relay refused client=${local}:\\d+ transport=udp user="${username}" code=401 reason="${reason}`;
  await until(line, () => asked.logged(new RegExp(line)).length, (lines) => lines === 1);
}

for (const [clocks, ahead] of [['equal clocks', 0], ['a clock five minutes ahead', CLOCKS_APART], ['a clock five minutes behind', -CLOCKS_APART]]) {
  describe(`with ${clocks}, data is relayed with credentials of`, { concurrency: 4 }, () => {
    for (const { issuer, issue } of ISSUERS) {
      test(issuer, async () => assert.equal(await relay(issue(Date.now() + ahead * 1000)), 'relayed'));
    }
  });
}

describe('refused are, with the reason in the log,', { concurrency: 4 }, () => {
  const SIGNATURE = 'no secret of this server signed the credentials: the issuer has another one than CASTWAY_STATIC_AUTH_SECRET';
  const UNKNOWN = 'there is no such user, and the username has no expiry"$';
  [
    ['another secret', (clock) => signed(`${seconds(clock) + DAY}:alice`, 'another secret'), SIGNATURE],
    ['a password for another name', (clock) => ({ ...signed(`${seconds(clock) + DAY}:alice`), username: `${seconds(clock) + DAY}:bob` }), SIGNATURE],
    ['credentials that expired more than five minutes ago', (clock) => signed(`${seconds(clock) - CLOCKS_APART - 60}:alice`), 'the credentials expired 6 min( \\d+ s)? ago"$'],
    ['credentials of the name alone', () => signed('alice'), UNKNOWN],
    ['credentials with two expiries of which neither stands alone', (clock) => signed(`alice:${seconds(clock) + DAY}:bob`), UNKNOWN],
    ['credentials whose time is no Unix time', () => signed('99999999999999999999:alice'), 'the digits beside the colon are no Unix time in seconds"$'],
  ].forEach(([what, issue, reason], i) => {
    test(what, () => assertRefused(server, issue(Date.now()), `127.0.1.${1 + i}`, reason));
  });
});

test('with CASTWAY_MAX_FOREIGN_TTL, credentials that live longer are refused, and those of a clock five minutes ahead are not', async () => {
  const strict = await startServer({ CASTWAY_STATIC_AUTH_SECRET: SECRET, CASTWAY_MAX_FOREIGN_TTL: String(DAY) });
  try {
    const living = (life) => signed(`${seconds(Date.now()) + life}:alice`);
    assert.equal(await verify({ port: strict.turnPort, ...living(DAY) }), 'allocated');
    assert.equal(await verify({ port: strict.turnPort, ...living(DAY + CLOCKS_APART) }), 'allocated');
    const reason = 'the credentials expire in (7 d|6 d 23 h), and may in 1 d at most \\(CASTWAY_TTL, CASTWAY_MAX_FOREIGN_TTL\\)"$';
    await assertRefused(strict, living(7 * DAY), '127.0.1.1', reason);
  } finally {
    await strict.close();
  }
});

// What the clients send: meetecho/janus-gateway, turnrest.c, by both methods, and selkies, webrtc_ice_config.py.
describe('data is relayed with credentials that are fetched from us by', () => {
  const fetched = async (query, init) => {
    const response = await fetch(`${server.url}/turn${query}`, init);
    const body = await response.text();
    assert.equal(response.status, 200, body);
    return JSON.parse(body);
  };
  // Janus takes the answer only with these types, and a URL only as turn:HOST:PORT.
  const forJanus = ({ username, password, ttl, uris }) => {
    assert.deepEqual([typeof username, typeof password, Number.isInteger(ttl) && ttl > 0], ['string', 'string', true]);
    for (const uri of uris) assert.match(uri, /^turns?:[^:[\]]+:\d+\?transport=(udp|tcp)$/);
    return { username, password };
  };
  const query = (name) => new URLSearchParams([['service', 'turn'], ['api', API_KEY], ['key', API_KEY], ['username', name]]).toString();

  test('Janus with GET', async () => assert.equal(await relay(forJanus(await fetched(`?${query('3471629185')}`))), 'relayed'));

  test('Janus with POST', async () => {
    // The method of its configuration's default: the query is the body as well.
    const init = { method: 'POST', body: query('3471629185'), headers: { 'content-type': 'application/x-www-form-urlencoded', 'user-agent': 'Janus/1.0' } };
    assert.equal(await relay(forJanus(await fetched(`?${query('3471629185')}`, init))), 'relayed');
  });

  test('Janus without a key: scope clients', async () => assert.equal(await relay(forJanus(await fetched('?service=turn&username=3471629185'))), 'relayed'));

  test('Selkies', async () => {
    const headers = { 'x-auth-user': 'selkies', 'x-turn-protocol': 'tcp', 'x-turn-tls': 'false' };
    const { username, password, uris } = await fetched(`?${query('selkies')}`, { headers });
    assert.ok(uris.some((uri) => uri.startsWith('turn:')), uris.join(' '));
    assert.equal(await relay({ username, password }), 'relayed');
  });
});
