// Takes pictures of every page and of its error states, for people to look at: npm run screenshots, or for one page:
// npm run screenshots call. The pictures are stored in out/screenshots.
import { mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { newKey } from '../interop/support/check.mjs';
import { startServer } from '../interop/support/server.mjs';
import { DEVICES, inState, joinCall, launch, openSource, openTv, until } from './support/browser.mjs';
import { DEAD_RELAY } from './support/dead-relay.mjs';
import { startMockAdmin } from './support/mock-admin.mjs';
import { startDowngradingProxy } from './support/downgrade.mjs';
import { startPlainCast } from './support/plain-caster.mjs';

const out = fileURLToPath(new URL('out/screenshots/', import.meta.url));
const sizes = { tv: [1920, 1080], desktop: [1440, 900], laptop: [1280, 720], phone: [390, 844] };
mkdirSync(out, { recursive: true });

const server = await startServer();
const proxy = await startDowngradingProxy(server.url);
const unreachable = await startServer(DEAD_RELAY);
const operators = await startMockAdmin();
const browser = await launch(DEVICES);
const errorIs = (page, id) => until(id, () => page.locator('#notice').getAttribute('data-error'), (error) => error === id);

const cleanups = [];

async function each(name, prepare, permissions = []) {
  if (!name.startsWith(process.argv[2] ?? '')) return;
  for (const [size, [width, height]] of Object.entries(sizes)) {
    for (const [locale, colorScheme] of [['en-US', 'dark'], ['zh-CN', 'light']]) {
      const context = await browser.newContext({ locale, colorScheme, viewport: { width, height }, permissions });
      const page = await context.newPage();
      try {
        const shown = (await prepare(page, context)) ?? page;
        await shown.waitForTimeout(500);
        await shown.screenshot({ path: `${out}${name}-${size}-${locale}-${colorScheme}.png` });
      } catch (error) {
        console.error(`${name} ${size} ${locale}: ${error.message}`);
        process.exitCode = 1;
      } finally {
        for (const cleanup of cleanups.splice(0)) await cleanup();
        await context.close();
      }
    }
  }
}

const open = (path) => async (page) => void (await page.goto(server.url + path));
const insecurely = (path) => async (page) => {
  await page.addInitScript(() => Object.defineProperty(window, 'isSecureContext', { value: false }));
  await page.goto(server.url + path);
  await page.locator('#notice-link').waitFor();
};
const startWith = (code) => async (page) => {
  await page.goto(`${server.url}/cast?ice=relay&code=${code}`);
  await page.locator('#start').click();
};

try {
  await openSource(browser);
  const { page: tv, code } = await openTv(browser, server);
  await each('landing', async (page) => {
    await page.goto(server.url);
    // The picture moves for less than five seconds.
    await until('the picture is complete', () => page.evaluate(() => document.getAnimations().length), (moving) => moving === 0);
  });
  await each('landing-insecure', insecurely('/'));
  await each('missing', open('/404'));
  await each('tv-waiting', async (page) => {
    await page.goto(`${server.url}/tv`);
    await inState(page, 'waiting');
  });
  await each('cast-setup', open('/cast'));
  await each('cast-insecure', insecurely('/cast'));
  await each('cast-code-incomplete', async (page) => {
    await startWith('ABC')(page);
    await errorIs(page, 'code_incomplete');
  });
  await each('cast-code-letters', async (page) => {
    await open('/cast')(page);
    await page.locator('#code-input').fill('俄拍');
    await errorIs(page, 'code_letters');
  });
  await each('cast-unknown-code', async (page) => {
    await startWith(code === 'AAAAAA' ? 'BBBBBB' : 'AAAAAA')(page);
    await errorIs(page, 'unknown_code');
  });
  await each('cast-no-screen-capture', async (page) => {
    await page.addInitScript(() => delete MediaDevices.prototype.getDisplayMedia);
    await open('/cast')(page);
    await errorIs(page, 'no_capture');
  });
  await each('cast-cancelled', async (page) => {
    await page.addInitScript(() => {
      MediaDevices.prototype.getDisplayMedia = () => Promise.reject(new DOMException('no', 'NotAllowedError'));
    });
    await startWith(code)(page);
    await errorIs(page, 'capture_cancelled');
  });
  await each('cast-sharing', async (page) => {
    await startWith(code)(page);
    await inState(page, 'sharing');
  });
  const codeIs = (page, state) => until(`the code is ${state}`, () => page.locator('#code-status').getAttribute('data-code-state'), (seen) => seen === state);
  const namedTv = async (context, name) => {
    const page = await context.newPage();
    await page.goto(`${server.url}/tv?ice=relay&name=${encodeURIComponent(name)}`);
    await inState(page, 'waiting');
    return page.evaluate(() => window.castway.code());
  };
  const sharing = async (page, context) => {
    const own = await namedTv(context, '客厅 Living room');
    await page.goto(`${server.url}/cast?ice=relay&code=${own}`);
    await codeIs(page, 'ready');
    await page.bringToFront();
    await page.locator('#start').click();
    await inState(page, 'sharing');
    return own;
  };
  await each('cast-ready', async (page, context) => {
    const own = await namedTv(context, '客厅 Living room');
    await page.goto(`${server.url}/cast?ice=relay&code=${own}`);
    await codeIs(page, 'ready');
    await page.bringToFront();
  });
  await each('cast-busy', async (page, context) => {
    const own = await namedTv(context, '客厅 Living room');
    const other = await context.newPage();
    await other.goto(`${server.url}/cast?ice=relay&code=${own}`);
    await other.locator('#name-input').fill('Anna’s laptop');
    await codeIs(other, 'ready');
    await other.locator('#start').click();
    await inState(other, 'sharing');
    await page.goto(`${server.url}/cast?ice=relay&code=${own}`);
    await codeIs(page, 'busy');
    await page.bringToFront();
  });
  await each('cast-paused', async (page, context) => {
    await sharing(page, context);
    await page.locator('#pause').click();
  });
  await each('cast-details', async (page, context) => {
    await sharing(page, context);
    await page.locator('#more summary').click();
    await page.waitForTimeout(2500);
  });
  await each('cast-again', async (page, context) => {
    await sharing(page, context);
    await page.reload();
    await codeIs(page, 'ready');
  });
  await each('cast-phone', async (page, context) => {
    await page.addInitScript(() => {
      delete MediaDevices.prototype.getDisplayMedia;
      navigator.share = () => Promise.resolve();
    });
    const own = await namedTv(context, '客厅 Living room');
    await page.goto(`${server.url}/cast?ice=relay&code=${own}`);
    await codeIs(page, 'ready');
    await page.bringToFront();
    await page.locator('#elsewhere-more summary').click();
  });
  await each('tv-playing', async (page, context) => {
    await page.goto(`${server.url}/tv?ice=relay`);
    await inState(page, 'waiting');
    const caster = await context.newPage();
    await startWith(await page.evaluate(() => window.castway.code()))(caster);
    await inState(page, 'playing');
    await page.bringToFront();
    await page.keyboard.press('i');
    await page.waitForTimeout(2000);
  });
  const plainCast = async (page, options) => {
    const caster = await startPlainCast(browser, server, await page.evaluate(() => window.castway.code()), options);
    cleanups.push(() => caster.page.context().close());
    return caster;
  };
  const playing = async (page, options) => {
    await page.goto(`${server.url}/tv?ice=relay&name=${encodeURIComponent('Meeting room 3 会议室')}`);
    await inState(page, 'waiting');
    const caster = await plainCast(page, { username: 'Anna’s laptop', ...options });
    await inState(page, 'playing');
    return caster;
  };
  await each('tv-named', async (page) => {
    await page.goto(`${server.url}/tv?name=${encodeURIComponent('Kitchen 厨房')}`);
    await inState(page, 'waiting');
  });
  await each('tv-long-name', async (page) => {
    await page.goto(`${server.url}/tv?name=${encodeURIComponent('宽'.repeat(40))}`);
    await inState(page, 'waiting');
    await plainCast(page, { username: '宽'.repeat(40), patient: true });
    await until('joined', () => page.locator('#status-text bdi').isVisible());
  });
  await each('tv-who', async (page) => {
    await playing(page);
  });
  await each('tv-menu', async (page) => {
    await playing(page);
    await page.keyboard.press('Enter');
    await page.keyboard.press('ArrowLeft');
  });
  await each('tv-back-once', async (page) => {
    await playing(page);
    await page.keyboard.press('Backspace');
  });
  await each('tv-paused', async (page) => {
    await (await playing(page)).do('pause', true);
    await page.locator('#banner[data-paused=true]').waitFor();
  });
  await each('tv-paused-reloaded', async (page) => {
    await (await playing(page)).do('pause', true);
    await page.reload();
    await until('it says so', () => page.locator('#status-text bdi').isVisible());
  });
  await each('tv-taken-over', async (page) => {
    await playing(page, { username: '宽'.repeat(40) });
    await plainCast(page, { username: 'W'.repeat(40) });
    await until('it says so', async () => (await page.locator('#banner bdi').count()) === 2);
  });
  await each('tv-ended', async (page) => {
    await playing(page);
    await page.keyboard.press('Backspace');
    await page.keyboard.press('Backspace');
    await inState(page, 'waiting');
  });
  const failingCast = async (page, context) => {
    const caster = await context.newPage();
    await page.goto(`${unreachable.url}/tv?ice=relay`);
    await inState(page, 'waiting');
    await caster.goto(`${unreachable.url}/cast?ice=relay&code=${await page.evaluate(() => window.castway.code())}`);
    await caster.locator('#start').click();
    return caster;
  };
  await each('cast-still-trying', async (page, context) => {
    const caster = await failingCast(page, context);
    await until('a sentence', () => caster.locator('#status').innerText(), (text) => /Still trying|仍在尝试/.test(text));
    return caster;
  });
  await each('cast-failed', async (page, context) => {
    const caster = await failingCast(page, context);
    await errorIs(caster, 'ice_failed');
    await caster.locator('#notice-more summary').click({ timeout: 500 }).catch(() => {});
    return caster;
  });
  await each('cast-failed-reported', async (page, context) => {
    const caster = await failingCast(page, context);
    await errorIs(caster, 'ice_failed');
    await caster.locator('#send-report').click();
    await until('an answer', () => caster.locator('#report-sent').innerText());
    return caster;
  });
  await each('tv-failed', async (page, context) => {
    const caster = await failingCast(page, context);
    await errorIs(caster, 'ice_failed');
    await page.bringToFront();
    await until('a verdict', () => page.locator('#status').getAttribute('data-verdict'));
  });
  const allowed = ['camera', 'microphone'];
  let rooms = 0;
  const join = async (page, room) => {
    await page.goto(`${server.url}/r/${room}?ice=relay`);
    await joinCall(page);
  };
  const call = async (page, context) => {
    const room = `screenshot-${(rooms += 1)}`;
    await join(page, room);
    await inState(page, 'waiting');
    const other = await context.newPage();
    await join(other, room);
    await page.bringToFront();
    await inState(page, 'talking');
    return { room, other };
  };
  await each('call-start', async (page) => {
    await page.addInitScript(() => localStorage.setItem('castway.rooms', '["team-standup","u-5Lya6K6u"]'));
    await open('/r')(page);
  });
  await each('call-refused', async (page) => {
    await open('/r/team-standup')(page);
    await errorIs(page, 'refused');
  });
  await each('call-insecure', insecurely('/r/team-standup'));
  await each('call-lobby', async (page) => {
    await open('/r/team-standup')(page);
    await page.waitForTimeout(1500);
  }, allowed);
  await each('call-lobby-settings', async (page) => {
    await open('/r/team-standup')(page);
    await page.locator('#preferences').click();
    await page.waitForTimeout(1500);
  }, allowed);
  await each('call-no-websocket', async (page) => {
    await page.goto(`${proxy.url}/r/screenshot-${(rooms += 1)}?ice=relay`);
    await joinCall(page);
    await errorIs(page, 'no_websocket');
  }, allowed);
  await each('call-waiting', async (page) => {
    await join(page, `screenshot-${(rooms += 1)}`);
    await inState(page, 'waiting');
  }, allowed);
  await each('call-talking', async (page, context) => {
    await call(page, context);
    await page.waitForTimeout(1500);
  }, allowed);
  await each('call-muted-with-figures', async (page, context) => {
    await call(page, context);
    for (const key of ['m', 'c', 'i']) await page.keyboard.press(key);
    await page.waitForTimeout(4500);
  }, allowed);
  await each('call-settings', async (page, context) => {
    await call(page, context);
    await page.locator('#preferences').click();
    await page.waitForTimeout(1500);
  }, allowed);
  await each('call-other-is-off', async (page, context) => {
    const { other } = await call(page, context);
    for (const button of ['#camera', '#microphone']) await other.locator(button).click();
    await until('the badge', () => page.locator('#theirs-muted').isVisible());
  }, allowed);
  await each('call-hang-up', async (page, context) => {
    await call(page, context);
    await page.keyboard.press('h');
  }, allowed);
  await each('call-no-picture', async (page, context) => {
    const { other } = await call(page, context);
    await other.addInitScript(() => delete MediaDevices.prototype.getUserMedia);
    await other.reload();
    await until('no picture', () => page.locator('#no-picture').isVisible());
  }, allowed);
  await each('call-full', async (page, context) => {
    const { room } = await call(page, context);
    const third = await context.newPage();
    await join(third, room);
    await until('full', () => third.evaluate(() => document.body.dataset.state), (state) => state === 'full');
    return third;
  }, allowed);
  await each('call-failed', async (page, context) => {
    const room = `${unreachable.url}/r/screenshot-${(rooms += 1)}?ice=relay`;
    const other = await context.newPage();
    for (const one of [page, other]) {
      await one.goto(room);
      await joinCall(one);
    }
    await page.bringToFront();
    await errorIs(page, 'ice_failed');
  }, allowed);
  await each('call-peer-left', async (page, context) => {
    const { other } = await call(page, context);
    await other.close({ runBeforeUnload: false });
    await inState(page, 'waiting');
  }, allowed);
  await each('call-ended', async (page) => {
    await join(page, `screenshot-${(rooms += 1)}`);
    await inState(page, 'waiting');
    await page.locator('#hang-up').click();
    await until('ended', () => page.evaluate(() => document.body.dataset.state), (state) => state === 'ended');
  }, allowed);
  await each('check-without-key', open('/check'));
  await each('check-insecure', insecurely('/check'));
  await each('check-done', async (page) => {
    await page.goto(`${server.url}/check?k=${await newKey(server)}`);
    await page.locator('#start-check').click();
    await page.locator('#digits').waitFor();
  });
  for (const view of ['now', 'casts', 'calls', 'rooms', 'allocations', 'users', 'check', 'log', 'settings']) {
    await each(`admin-${view}`, async (page) => {
      await page.goto(`${operators.url}/admin#${view}`);
      await page.locator('#view[data-loaded]').waitFor();
      if (view === 'check') await page.locator('#new-key').click();
    });
  }
  await each('admin-dialog', async (page) => {
    await page.goto(`${operators.url}/admin#casts`);
    await page.locator('[data-act=block]').first().click();
  });
  await each('admin-insecure', open('/admin'));
  await tv.close();
  const stale = await (await browser.newContext({ viewport: { width: 1280, height: 720 } })).newPage();
  await stale.goto(`${server.url}/tv`);
  await inState(stale, 'waiting');
  const again = await stale.context().newPage();
  await again.goto(`${server.url}/tv`);
  await inState(stale, 'replaced');
  await stale.screenshot({ path: `${out}tv-replaced.png` });
  await server.stop();
  await until('the TV notices', () => again.evaluate(() => document.body.dataset.online), (online) => online === 'false');
  await again.screenshot({ path: `${out}tv-offline.png` });
} finally {
  await browser.close();
  await proxy.close();
  await unreachable.close();
  await operators.close();
  await server.close();
}
console.log(out);
