// The tests of one fault. Each fault-NAME.test.mjs makes the fault in internet.mjs and says what is expected of whom.
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import { startServer } from '../interop/support/server.mjs';
import { build, demolish, ELSEWHERE, run } from './internet.mjs';
import { Setup } from './setup.mjs';

// Settings of a server that offers one way to its relay. Browsers of the tests trust the certificate of the pages all the same.
export const UDP_ALONE = { CASTWAY_NO_TCP: 'true', CASTWAY_CERT_TRUSTED: 'false' };
export const TCP_ALONE = { CASTWAY_NO_UDP: 'true', CASTWAY_CERT_TRUSTED: 'false' };
export const WITHOUT_TLS = { CASTWAY_CERT_TRUSTED: 'false' };

// The settings of pages whose relay is another server, and that server, which has these settings.
export const PAGES_ALONE = { ...WITHOUT_TLS, CASTWAY_EXTERNAL_IP: ELSEWHERE };
export const relayElsewhere = (settings) =>
  startServer({
    TEST_NAMESPACE: 'elsewhere',
    CASTWAY_HTTP_ADDR: `${ELSEWHERE}:8080`,
    CASTWAY_TURN_ADDR: `${ELSEWHERE}:3478`,
    CASTWAY_EXTERNAL_IP: ELSEWHERE,
    CASTWAY_RELAY_IP: ELSEWHERE,
    ...settings,
  });

// Declares the tests of a fault:
// - `make`: builds the networks with the fault; `settings` of the server, and `options` of Setup; `prepare`: does what needs a running server,
//   and `finish` ends it.
// - `evidence`: what a reference client finds in home 2 by transport, or a function of the setup that asserts that the fault is there.
// - `check`: the verdict's code in home 2 or an expression for it, and the expected states of rows by path.
//   `together`: the verdict's code once a device in home 1 has made the second step with it.
// - `doctor`: by the name of a line, the expected state, text and verdict, after that check; `exit`: its exit code.
// - `route`: how a cast goes all the same. Chromium often stays with the first pair that works, so it is an expression.
// - `opens`: what the reference client finds once doctor's commands for the firewall were run, or a function of the setup that asserts it.
// - `failure`: the verdict's code and side of a cast with `failure.settings`, and the state of the network that `failure.change` makes.
export function declareFault(title, { make = build, settings = {}, options, prepare, finish, evidence, doctor, check, route, failure, opens }) {
  describe(title, () => {
    let setup;
    let given;
    before(async () => {
      make();
      given = typeof settings === 'function' ? settings() : settings;
      setup = await Setup.start(given, options?.());
      await prepare?.(setup);
    });
    after(async () => {
      await setup?.close();
      await finish?.();
      demolish();
    });
    afterEach(() => setup.closePages());

    test('it is there', async () => {
      if (typeof evidence === 'function') await evidence(setup);
      else assert.deepEqual(await setup.probe('home2'), evidence);
    });

    if (check) {
      test('/check names it', async (t) => {
        const found = await setup.check('home2');
        const { verdict, rows, texts, seconds } = found;
        assert.match(verdict.code, whole(check.verdict), JSON.stringify({ verdict, texts }));
        for (const [path, state] of Object.entries(check.rows ?? {})) assert.equal(rows[path], state, `${path}: ${JSON.stringify(texts)}`);
        if (check.text) assert.match(verdict.text, check.text);
        t.diagnostic(`${verdict.code} after ${seconds} s: ${verdict.text}`);
        if (!check.together) return;
        const both = await setup.checkWith('home1', found);
        assert.equal(both.verdict.code, check.together, JSON.stringify(both));
        t.diagnostic(`with a second device ${both.verdict.code}: ${both.verdict.text}`);
      });
    }
    if (doctor) {
      test('castway doctor names it', async (t) => {
        const told = await setup.doctor();
        for (const { state, name, text } of told.lines.filter(({ state }) => state !== 'ok')) t.diagnostic(`${state} ${name}: ${text}`);
        for (const [name, expected] of Object.entries(doctor.lines)) assertLine(told, name, expected);
        if (doctor.exit !== undefined) assert.equal(told.code, doctor.exit, JSON.stringify(told));
      });
    }
    if (route) {
      test('a cast works all the same', async () => {
        const line = await setup.cast(undefined, route);
        for (const found of [line.route, line.seen]) assert.match(found, route, JSON.stringify(line));
      });
    }
    if (failure) {
      test('/cast names it where a cast fails', async (t) => {
        if (failure.settings) await setup.serve({ ...given, ...failure.settings });
        await failure.before?.(setup);
        const { verdict, tv, seconds } = await setup.failedCast(failure.query, failure);
        assert.match(verdict.code, whole(failure.verdict), JSON.stringify({ verdict, tv }));
        if (failure.text) assert.match(verdict.text, failure.text);
        if (failure.side) assert.equal(tv.side, failure.side, JSON.stringify(tv));
        t.diagnostic(`/cast: ${verdict.text}`);
        t.diagnostic(`/tv: ${tv.text}`);
        t.diagnostic(`${verdict.code}, ${Object.entries(seconds).map(([since, value]) => `${value} s ${since}`).join(', ')}`);
      });
    }
    if (opens) {
      test('the commands that doctor prints open it', async () => {
        const firewallOf = async () => (await setup.doctor()).lines.filter(({ name }) => name === 'firewall');
        const closed = (await firewallOf()).filter(({ state }) => state !== 'ok');
        assert.ok(closed.length > 0 && closed.every(({ command }) => command), JSON.stringify(closed));
        for (const { command } of closed) run(command.replaceAll('sudo ', ''));
        assert.deepEqual((await firewallOf()).filter(({ state }) => state !== 'ok'), []);
        if (typeof opens === 'function') return opens(setup);
        const found = await setup.probe('home2');
        for (const [transport, outcome] of Object.entries(opens)) assert.equal(found[transport], outcome);
      });
    }
  });
}

// An expression for a code, which a string is as a whole.
const whole = (code) => (code instanceof RegExp ? code : new RegExp(`^${code}$`));

// A topic may have several lines: one of them says what is expected, or all are well.
function assertLine(told, name, { state, text = /./, verdict }) {
  const lines = told.lines.filter((line) => line.name === name);
  const fits = (line) => (state ? new RegExp(state).test(line.state) : true) && text.test(line.text) && (!verdict || whole(verdict).test(line.verdict));
  const fit = state === 'ok' ? lines.length > 0 && lines.every(fits) : lines.some(fits);
  assert.ok(fit, `${name} is not ${JSON.stringify({ state: String(state), text: String(text), verdict })}: ${JSON.stringify(lines.length ? lines : told)}`);
}
