// The tests of set-ups without a fault: nobody is told of one. Each healthy-NAME.test.mjs makes its networks and has a few set-ups.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { demolish } from './internet.mjs';
import { Setup } from './setup.mjs';

// What doctor says of them depends on the machine of the tests.
const OF_MACHINE = ['files', 'clock', 'disk', 'programs'];
const CASTS_EVERYWHERE = process.env.CASTWAY_TEST_SETUPS === 'true';

// Declares the tests of set-ups in the same networks, which `make` builds; `options` are those of Setup. Each set-up is an object:
// - `title`, `settings` of its server, and `serve`: the options of `Setup.serve`;
// - `arrange`: changes the network before the server starts, and `restore` undoes that;
// - `route`: an expression for the route of a cast, and `query` that of the pages;
// - `verdict`: an expression for the verdict's code of /check, and `rows`: the expected states of its rows by path;
// - `alarms`: what doctor may say, such as `warning cert`; nothing without it.
// A cast costs more than the rest together: `tests/run setups` casts in every set-up, and otherwise the first one in these networks and
// those with `casts` do.
export function declareHealthy(title, { make, options, setups }) {
  describe(title, () => {
    let setup;
    before(async () => {
      make();
      setup = await Setup.start(undefined, options?.());
    });
    after(async () => {
      await setup?.close();
      demolish();
    });

    for (const each of setups) {
      const casts = CASTS_EVERYWHERE || each === setups[0] || each.casts;
      describe(each.title, () => {
        let [told, checked, seat] = [];
        before(async () => {
          await each.arrange?.(setup);
          await setup.serve(each.settings ?? {}, each.serve);
          await each.prepare?.(setup);
          // Side by side, since each of them mostly waits. A cast begins only after the check, so that neither is evidence for the other.
          [told, checked, seat] = [setup.doctor(), setup.check('home2'), casts && setup.seat(each.query)];
          // Each test tells of its own failure.
          await Promise.allSettled([told, checked, seat]);
        });
        after(async () => {
          await setup.closePages();
          await each.restore?.(setup);
        });

        test('castway doctor finds no fault', async (t) => {
          const { code, lines } = await told;
          for (const { name, state, text } of lines) if (state !== 'ok') t.diagnostic(`${state} ${name}: ${text}`);
          assert.equal(code, 0);
          const alarms = lines.filter(({ name, state }) => ['failed', 'warning'].includes(state) && !OF_MACHINE.includes(name));
          assert.deepEqual(alarms.map(({ name, state }) => `${state} ${name}`), each.alarms ?? [], JSON.stringify(alarms));
        });

        test('/check finds no fault', async (t) => {
          const { verdict, rows, texts, seconds } = await checked;
          assert.match(verdict.code, each.verdict ?? /^(fine|not_tested)$/, JSON.stringify({ verdict, texts }));
          for (const [path, state] of Object.entries(each.rows ?? {})) assert.equal(rows[path], state, `${path}: ${JSON.stringify(texts)}`);
          t.diagnostic(`${verdict.code} after ${seconds} s`);
        });

        if (!casts) return;
        test('a cast works', async () => {
          const { route, seen, ...line } = await setup.cast(each.query, each.route, seat);
          for (const found of [route, seen]) assert.match(found, each.route, JSON.stringify(line));
          assert.equal(line.verdict, undefined);
        });
      });
    }
  });
}
