// A test with a server and browsers of its own, which end with the test. If it fails, its pictures and logs are in out/.
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { startServer } from '../../interop/support/server.mjs';
import { launch, launchKillable } from './browser.mjs';

const out = fileURLToPath(new URL('../out/', import.meta.url));

// How many tests of a long file run at a time: each has browsers and a server of its own, and waits more than it computes.
export const BROWSER_TESTS_AT_A_TIME = 2;

export const isViolation = (message) => /security policy|permissions.policy/i.test(message);

// Idle browsers of passed tests, by their launch options. They have no contexts, so they keep nothing of those tests.
const idle = new Map();

after(async () => {
  for (const browser of [...idle.values()].flat()) await browser.close().catch(() => {});
});

class Fixture {
  browsers = [];
  closers = [];
  passed = false;
  #keys = new Map();

  // A browser that no other test uses at the same time. If it has a home or a desktop of its own, it is launched for this test only.
  async browser(options = {}) {
    if (!options.home && !options.desktop) return this.reusable(JSON.stringify(options), () => launch(options));
    const browser = await launch(options);
    this.browsers.push(browser);
    return browser;
  }

  // Like `browser`, but `start` launches the browser unless an idle one with the same `key` exists.
  async reusable(key, start) {
    const left = (idle.get(key) ?? []).pop();
    const browser = left?.isConnected() ? left : await start();
    this.browsers.push(browser);
    this.#keys.set(browser, key);
    return browser;
  }

  async killableBrowser(options) {
    const { browser, kill } = await launchKillable(options);
    this.browsers.push(browser);
    this.onClose(kill);
    return { browser, kill };
  }

  onClose(cleanup) {
    this.closers.push(cleanup);
  }

  async evidence(name) {
    mkdirSync(out, { recursive: true });
    const stem = join(out, name.replaceAll(/[^a-z0-9]+/gi, '-').slice(0, 80));
    writeFileSync(`${stem}.server.log`, this.server?.log ?? 'the server did not start');
    const saved = [`${stem}.server.log`];
    let count = 0;
    for (const page of this.browsers.flatMap((browser) => browser.contexts()).flatMap((context) => context.pages())) {
      count += 1;
      const path = `${stem}.${count}.png`;
      const shot = await page.screenshot({ path, timeout: 5000 }).catch(() => null);
      if (shot) saved.push(path);
      if (page.messages?.length) {
        writeFileSync(`${stem}.${count}.console.log`, `${page.url()}\n${page.messages.join('\n')}\n`);
        saved.push(`${stem}.${count}.console.log`);
      }
    }
    return saved;
  }

  // The pages comply with their own policies.
  assertNothingWasBlocked() {
    const pages = this.browsers.flatMap((browser) => browser.contexts()).flatMap((context) => context.pages());
    assert.deepEqual(pages.flatMap((page) => page.messages ?? []).filter(isViolation), []);
  }

  async #release(browser) {
    const key = this.#keys.get(browser);
    if (!this.passed || key === undefined || !browser.isConnected()) return browser.close();
    await Promise.all(browser.contexts().map((context) => context.close()));
    idle.set(key, [...(idle.get(key) ?? []), browser]);
  }

  async close() {
    for (const cleanup of this.closers.reverse()) await cleanup().catch(() => {});
    for (const browser of this.browsers) await this.#release(browser).catch(() => {});
    await this.server?.close();
  }
}

// `settings`: the server's settings, or a function that starts the server.
export function browserTest(name, settings, body) {
  test(name, { timeout: 600_000 }, async () => {
    const fixture = new Fixture();
    try {
      fixture.server = typeof settings === 'function' ? await settings(fixture) : await startServer(settings);
      await body(fixture, fixture.server);
      fixture.assertNothingWasBlocked();
      fixture.passed = true;
    } catch (error) {
      const saved = await fixture.evidence(name);
      console.error(`${name}: see\n  ${saved.join('\n  ')}`);
      throw error;
    } finally {
      await fixture.close();
    }
  });
}
