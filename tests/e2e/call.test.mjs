// Our call page in real browsers, which can reach each other only through the embedded relay.
import assert from 'node:assert/strict';
import { describe } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Android } from '../interop/support/apprtc.mjs';
import { assertMagenta, assertPicture, assertRelayed, DEVICES, FRAME_RATE, inState, joinCall, TIMEOUT_MS, openPage, openSource, seenColour, statistics, until } from './support/browser.mjs';
import { BROWSER_TESTS_AT_A_TIME, browserTest } from './support/browser-test.mjs';

// `tests/run matrix` has all cases of what the default parts try once.
const MATRIX = process.env.CASTWAY_TEST_MATRIX === 'true';

const ROOM = 'e2e-room';
const RECOVERY_TIMEOUT_MS = 2 * TIMEOUT_MS;

const DEVICE_PERMISSIONS = ['camera', 'microphone'];

async function enter(browser, server, { room = ROOM, permissions = DEVICE_PERMISSIONS, query = 'ice=relay', locale, script } = {}) {
  const page = await openPage(browser, `${server.url}/r/${room}?${query}`, { permissions, locale, script });
  page.joins = [];
  page.on('response', async (response) => {
    if (new URL(response.url()).pathname.startsWith('/join/')) page.joins.push(await response.json().catch(() => ({})));
  });
  await joinCall(page);
  return page;
}

const open = async (fixture, server, options) => enter(await fixture.browser(DEVICES), server, options);

async function talking(fixture, server) {
  const first = await open(fixture, server);
  await inState(first, 'waiting');
  const second = await open(fixture, server);
  for (const page of [first, second]) await inState(page, 'talking');
  return [first, second];
}

// Within the first second Chromium sometimes recreates its decoder, which then counts from 0 again.
const FRAMES_UNTIL_STEADY = 2 * FRAME_RATE;
const bothSee = (pages, steps = 5) => Promise.all(pages.map((page) => assertPicture(page, steps, FRAMES_UNTIL_STEADY)));
const results = (page) => page.joins.map(({ result }) => result);
const dark = (rgb) => rgb !== null && rgb.every((value) => value < 24);
const bright = (rgb) => rgb !== null && rgb.some((value) => value > 60);

describe('a call between our pages', { concurrency: BROWSER_TESTS_AT_A_TIME }, () => {
  browserTest('two people see each other over the relay alone', {}, async (fixture, server) => {
    const pages = await talking(fixture, server);
    await bothSee(pages);
    for (const page of pages) {
      await assertRelayed(page, server);
      await until('sound comes', () => statistics(page), ({ energy }) => energy > 0);
      assert.equal(await page.locator('#stage').isVisible(), true);
      assert.equal(await page.locator('#panel').isVisible(), false);
    }
    await pages[0].keyboard.press('i');
    await until('the figures tell the route', () => pages[0].locator('#figures').getAttribute('data-route'), (route) => route === 'relay');
    await until('and the size', () => pages[0].locator('[data-figure=size]').textContent(), (text) => /^[1-9]\d* × [1-9]\d*$/.test(text));
  });

  browserTest('the call comes back when a browser was killed and joins again', {}, async (fixture, server) => {
    for (const victim of MATRIX ? [0, 1] : [0]) {
      const room = `kill-${victim}`;
      const hosts = [await fixture.killableBrowser(DEVICES), await fixture.killableBrowser(DEVICES)];
      const pages = [await enter(hosts[0].browser, server, { room })];
      await inState(pages[0], 'waiting');
      pages.push(await enter(hosts[1].browser, server, { room }));
      for (const page of pages) await inState(page, 'talking');
      const survivor = pages[1 - victim];
      await assertPicture(survivor, 2);
      await hosts[victim].kill();
      const again = await open(fixture, server, { room });
      await inState(again, 'talking', RECOVERY_TIMEOUT_MS);
      await inState(survivor, 'talking', RECOVERY_TIMEOUT_MS);
      await bothSee([again, survivor], 3);
      for (const page of [again, survivor]) await assertRelayed(page, server);
    }
  });

  browserTest('whoever finds the offer of a killed caller is not stuck with it', {}, async (fixture, server) => {
    const { browser, kill } = await fixture.killableBrowser(DEVICES);
    await inState(await enter(browser, server), 'waiting');
    await kill();
    const second = await open(fixture, server);
    await inState(second, 'connecting');
    await inState(second, 'waiting', RECOVERY_TIMEOUT_MS);
    const third = await open(fixture, server);
    for (const page of [second, third]) await inState(page, 'talking');
    await bothSee([second, third], 2);
  });

  browserTest('a third gets the full page, and a place when one has left', {}, async (fixture, server) => {
    const [first, second] = await talking(fixture, server);
    const third = await open(fixture, server);
    await until('it is told', () => third.evaluate(() => document.body.dataset.state), (state) => state === 'full');
    assert.equal(await third.locator('#panel-title').textContent(), 'This call is full');
    await bothSee([first, second], 3);
    await until('it no longer tries', () => third.locator('#panel-hint').textContent(), (text) => /^It has two people/.test(text), RECOVERY_TIMEOUT_MS);
    await second.locator('#hang-up').click();
    await inState(first, 'waiting');
    await third.locator('#join').click();
    for (const page of [first, third]) await inState(page, 'talking');
    await bothSee([first, third], 3);
  });

  browserTest('a call gets over a restart of the server', {}, async (fixture, server) => {
    const pages = await talking(fixture, server);
    await bothSee(pages, 2);
    await server.restart();
    const before = await Promise.all(pages.map(statistics));
    for (const page of pages) await until('the page is online again', () => page.evaluate(() => window.castway.online()), Boolean, RECOVERY_TIMEOUT_MS);
    // The relay's allocations ended with the old process.
    for (const [at, page] of pages.entries()) {
      await inState(page, 'talking', RECOVERY_TIMEOUT_MS);
      await until('new frames are decoded', () => statistics(page), ({ decoded }) => decoded > before[at].decoded + 10 || decoded < before[at].decoded, RECOVERY_TIMEOUT_MS);
    }
    await bothSee(pages, 3);
    for (const page of pages) await assertRelayed(page, server);
    // The server also counts both pages in one room.
    const third = await open(fixture, server);
    await until('it is full', () => third.evaluate(() => document.body.dataset.state), (state) => state === 'full');
  });

  browserTest('mute, camera off and hang up reach the other side', {}, async (fixture, server) => {
    const [first, second] = await talking(fixture, server);
    await bothSee([first, second], 2);
    await until('a picture', () => seenColour(second), bright);

    // The sound energy during so many video frames, which take at least 2.5 s, so the other side, which beeps once a second, beeps at
    // least twice.
    const heard = async () => {
      const before = await statistics(second);
      const after = await until('the picture goes on', () => statistics(second), ({ decoded }) => decoded >= before.decoded + 2.5 * FRAME_RATE);
      return after.energy - before.energy;
    };
    await until('beeps are heard', heard, (sound) => sound > 0);
    await first.keyboard.press('m');
    assert.equal(await first.locator('#microphone-text').textContent(), 'Unmute');
    await until('silence', heard, (sound) => sound === 0, RECOVERY_TIMEOUT_MS);
    await first.locator('#microphone').click();
    await until('beeps again', heard, (sound) => sound > 0, RECOVERY_TIMEOUT_MS);

    const sent = (page) => page.evaluate(() => window.castway.pc().getSenders().map(({ track }) => track?.kind ?? null));
    await first.keyboard.press('c');
    await until('it is said', () => second.locator('#no-picture').innerText(), (text) => text === 'The other person’s camera is off');
    assert.equal(await first.locator('#self-off').isVisible(), true);
    assert.deepEqual(await sent(first), ['audio', null], 'nothing is sent');
    assert.equal(await first.evaluate(() => document.getElementById('self').srcObject), null, 'no camera is open');
    await first.keyboard.press('m');
    await until('the badge', () => second.locator('#theirs').innerText(), (text) => text.trim() === 'The other person is muted');
    await first.locator('#camera').click();
    await first.keyboard.press('m');
    await until('no panel', () => second.locator('#no-picture').isVisible(), (visible) => !visible);
    await until('no badge', () => second.locator('#theirs').innerText(), (text) => text.trim() === '');
    await assertPicture(second, 3);

    // A key alone ends no call.
    await first.keyboard.press('h');
    assert.equal(await first.evaluate(() => document.activeElement.id), 'confirm-stay');
    for (const key of ['h', 'm', 'Tab', 'Tab', 'ArrowDown', 'ArrowUp', 'Escape']) await first.keyboard.press(key);
    assert.equal(await first.locator('#confirm').isVisible(), false);
    assert.equal(await first.locator('#microphone-text').textContent(), 'Mute');
    await first.keyboard.press('h');
    await first.locator('#confirm-leave').click();
    await until('the first has left', () => first.evaluate(() => window.castway.state()), (state) => state === 'ended');
    await inState(second, 'waiting');
    await until('it is said', () => second.locator('#status-text').textContent(), (text) => text === 'The other person has hung up.');
    assert.equal(await second.locator('#theirs').innerText(), '');
    await first.locator('#join').click();
    for (const page of [first, second]) await inState(page, 'talking');
    await bothSee([first, second], 3);
  });

  browserTest('a screen takes the place of the camera, and the camera comes back', {}, async (fixture, server) => {
    const browser = await fixture.browser(DEVICES);
    await openSource(browser);
    const first = await enter(browser, server);
    await inState(first, 'waiting');
    const second = await open(fixture, server);
    for (const page of [first, second]) await inState(page, 'talking');
    await first.locator('#screen').click();
    await assertMagenta(second);
    await until('it is said', () => second.locator('#theirs').innerText(), (text) => text.trim() === 'The other person is sharing their screen');
    await assertPicture(second, 3);
    await first.locator('#screen').click();
    await until('the camera again', () => seenColour(second), (rgb) => rgb !== null && !(rgb[0] > 180 && rgb[1] < 90 && rgb[2] > 180));
    await assertPicture(second, 3);
  });

  browserTest('a page has one place, however often one joins', {}, async (fixture, server) => {
    // The browser takes its time to open the devices, and counts how often it is asked.
    const slowDevices = () => {
      const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
      window.asked = 0;
      navigator.mediaDevices.getUserMedia = async (wishes) => {
        window.asked += 1;
        await (window.answered ??= new Promise((resolve) => (window.answer = resolve)));
        return open(wishes);
      };
    };
    const first = await openPage(await fixture.browser(DEVICES), `${server.url}/r/${ROOM}?ice=relay`, { permissions: DEVICE_PERMISSIONS, script: slowDevices });
    first.joins = [];
    first.on('response', async (response) => response.url().includes('/join/') && first.joins.push(await response.json().catch(() => ({}))));
    assert.equal(await first.locator('#join').isDisabled(), true, 'there is nothing to see yet');
    // The user may join without an answer to the browser's question, and then nothing is turned on unseen.
    await first.locator('#join').dblclick();
    await inState(first, 'waiting');
    await first.evaluate(() => window.answer());
    await until('the microphone is there', () => first.locator('#microphone').isEnabled());
    assert.deepEqual([await first.locator('#microphone-text').textContent(), await first.locator('#camera-text').textContent()], ['Unmute', 'Camera on']);
    assert.deepEqual([await first.evaluate(() => window.asked), results(first)], [1, ['SUCCESS']]);

    // Whoever hangs up before the server has answered, and joins again, is alone in the room.
    const joins = [];
    await first.route('**/join/**', (route) => joins.push(route));
    await first.locator('#hang-up').click();
    await first.locator('#join').click();
    await until('it joins', () => joins.length, (count) => count === 1);
    await first.locator('#hang-up').click();
    await first.locator('#join').click();
    await joins[0].continue();
    await until('it joins again', () => joins.length, (count) => count === 2);
    await joins[1].continue();
    await inState(first, 'waiting');
    assert.equal(first.joins.at(-1).params.is_initiator, 'true');
    const second = await open(fixture, server);
    for (const page of [first, second]) await inState(page, 'talking');
  });

  const WITHOUT = { refused: { devices: DEVICES, permissions: [] }, nothing: { devices: {}, permissions: DEVICE_PERMISSIONS } };
  for (const [lack, { devices, permissions }] of Object.entries(WITHOUT)) {
    browserTest(`whoever has no camera and no microphone joins all the same: ${lack}`, {}, async (fixture, server) => {
      const blind = await openPage(await fixture.browser(devices), `${server.url}/r/${ROOM}?ice=relay`, { permissions });
      await until('it is said why', () => blind.locator('#notice').getAttribute('data-error'), (error) => error === lack);
      await blind.locator('#join').click();
      await inState(blind, 'waiting');
      const other = await open(fixture, server);
      for (const page of [blind, other]) await inState(page, 'talking');
      await assertPicture(blind, 3);
      await assertRelayed(blind, server);
      assert.equal((await statistics(other)).decoded, 0);
      await until('the other is told', () => other.locator('#no-picture').isVisible());
      assert.equal(await blind.locator('#microphone').isDisabled(), true);
    });
  }

  browserTest('a page that is loaded again is in the call again', {}, async (fixture, server) => {
    const pages = await talking(fixture, server);
    for (const page of pages) {
      await page.reload();
      for (const each of pages) await inState(each, 'talking', RECOVERY_TIMEOUT_MS);
      await bothSee(pages, 2);
    }
  });

  // While a page is being closed, browsers may drop its requests. Then only the bye on the WebSocket reaches the server.
  const MUTE = { script: () => (navigator.sendBeacon = () => true) };

  browserTest('a page that is loaded again finds its room free, though the server heard nothing but bye', {}, async (fixture, server) => {
    const first = await open(fixture, server, MUTE);
    await inState(first, 'waiting');
    for (const loads of [2, 3, 4]) {
      await first.reload();
      await until('it has joined', () => first.joins.length, (joins) => joins === loads);
      await inState(first, 'waiting');
    }
    for (const { result, params } of first.joins) assert.deepEqual([result, params.is_initiator, params.messages], ['SUCCESS', 'true', []]);

    const second = await open(fixture, server, MUTE);
    const pages = [first, second];
    for (const page of pages) await inState(page, 'talking');
    for (const page of pages) {
      const loads = page.joins.length + 1;
      await page.reload();
      await until('it has joined', () => page.joins.length, (joins) => joins === loads);
      for (const each of pages) await inState(each, 'talking');
      await bothSee(pages, 2);
    }
    // The browser loads the new page while it closes the old one, so a join may overtake the bye and find the room full once. The page
    // retries after 3 s. If the connection had been lost instead, its place would be free only after 10 s.
    for (const [page, times] of [[first, 5], [second, 2]]) {
      const all = results(page).join(' ');
      assert.ok(!all.includes('FULL FULL'), all);
      assert.equal(results(page).filter((result) => result === 'SUCCESS').length, times, all);
    }
  });

  browserTest('a loopback call shows oneself over the relay, to nobody else, and again after a reload', {}, async (fixture, server) => {
    const page = await open(fixture, server, { query: 'debug=loopback&it=relay' });
    const seen = async () => {
      await inState(page, 'talking');
      assert.equal(await page.locator('#notice-title').textContent(), 'Loopback test');
      assert.equal(await page.locator('#notice').isVisible(), true);
      await bothSee([page], 3);
      await assertRelayed(page, server);
      await until('a picture', () => seenColour(page), bright);
      await until('sound comes', () => statistics(page), ({ energy }) => energy > 0);
    };
    await seen();
    await page.keyboard.press('c');
    await until('the camera is off on both sides', () => page.locator('#no-picture').isVisible());

    const guest = await open(fixture, server, { locale: 'zh-CN' });
    await until('it is told', () => guest.evaluate(() => document.body.dataset.state), (state) => state === 'full');
    await guest.close();

    // After a reload it is still off.
    await page.reload();
    await inState(page, 'talking');
    await until('the camera is off on both sides', () => page.locator('#no-picture').isVisible());
    await page.locator('#camera').click();
    await seen();
    assert.deepEqual(results(page), ['SUCCESS', 'SUCCESS']);

    await page.locator('#hang-up').click();
    await until('it has left', () => page.evaluate(() => window.castway.state()), (state) => state === 'ended');
    await page.locator('#join').click();
    await seen();
    await page.locator('#hang-up').click();
    await until('it has left', () => page.evaluate(() => window.castway.state()), (state) => state === 'ended');
    const next = await open(fixture, server);
    await inState(next, 'waiting');

    const disturber = await open(fixture, server, { query: 'debug=loopback', locale: 'zh-CN' });
    await until('it needs another room', () => disturber.locator('#notice').getAttribute('data-error'), (error) => error === 'loopback_taken');
    assert.equal(await disturber.locator('#notice-title').textContent(), '此房间已有人');
    await disturber.close();
    await inState(next, 'waiting');
    const other = await open(fixture, server);
    for (const each of [next, other]) await inState(each, 'talking');
    await bothSee([next, other], 2);
  });

  browserTest('a dropped WebSocket comes back and interrupts nothing', {}, async (fixture, server) => {
    const first = await openPage(await fixture.browser(DEVICES), `${server.url}/r/${ROOM}?ice=relay`, { permissions: DEVICE_PERMISSIONS });
    const registered = [];
    first.on('websocket', (socket) => socket.on('framesent', ({ payload }) => registered.push(/"clientid":"(\d+)"/.exec(payload)?.[1])));
    await joinCall(first);
    await inState(first, 'waiting');
    const second = await open(fixture, server);
    for (const page of [first, second]) await inState(page, 'talking');
    const before = await first.evaluate(() => {
      window.before = window.castway.pc();
      return window.before !== null;
    });
    assert.ok(before);
    // The server closes the WebSocket of a client that is deleted.
    const [client] = registered.filter(Boolean);
    await fetch(`${server.url}/${ROOM}/${client}`, { method: 'DELETE' });
    await until('it registers again', () => registered.filter((id) => id === client).length, (count) => count >= 2);
    await bothSee([first, second], 3);
    assert.equal(await first.evaluate(() => window.before === window.castway.pc()), true, 'the connection is the same');
    await second.locator('#hang-up').click();
    await inState(first, 'waiting');
  });

  browserTest('a token in the address is sent with each join, and is in no address and no link', {}, async (fixture, server) => {
    const browser = await fixture.browser(DEVICES);
    for (const start of [`/r/${ROOM}?token=a%26t0k3n&ice=relay`, '/r?ice=relay&token=a%26t0k3n']) {
      const page = await openPage(browser, `${server.url}${start}`, { permissions: DEVICE_PERMISSIONS });
      const joins = [];
      page.on('request', (request) => {
        const url = new URL(request.url());
        if (url.pathname.startsWith('/join/')) joins.push(url.searchParams.get('token'));
      });
      if (start.startsWith('/r?')) {
        await page.locator('#room-input').fill(ROOM);
        await page.locator('#room-input').press('Enter');
      }
      const hidden = async () => {
        await page.waitForURL(`${server.url}/r/${ROOM}?ice=relay`);
        assert.doesNotMatch(await page.content(), /t0k3n/);
        assert.doesNotMatch(await page.evaluate(() => JSON.stringify(localStorage)), /t0k3n/);
      };
      await hidden();
      await joinCall(page);
      await inState(page, 'waiting');
      await hidden();
      await page.reload();
      await inState(page, 'waiting');
      await hidden();
      assert.deepEqual(joins, ['a&t0k3n', 'a&t0k3n']);
      await page.close();
    }
  });

  browserTest('the start page opens the lobby of a room, says what a name may hold and remembers it', {}, async (fixture, server) => {
    const page = await openPage(await fixture.browser(DEVICES), `${server.url}/r?ice=relay`, { permissions: DEVICE_PERMISSIONS });
    const input = page.locator('#room-input');
    const hint = (expected) => until('the hint', () => page.locator('#room-hint').textContent(), (text) => expected.test(text));
    for (const [typed, expected] of [['no/room', /^A room name can only have/], ['https://elsewhere.example/r/team', /another server, https:\/\/elsewhere\.example\./]]) {
      await input.fill(typed);
      await input.press('Enter');
      await hint(expected);
    }
    // Enter on the start page joins no call.
    const lobby = async (path) => {
      await page.waitForURL(`${server.url}${path}?ice=relay`);
      await until('the preview', () => page.locator('#join').isEnabled());
      assert.equal(await page.evaluate(() => window.castway.state()), 'lobby');
    };
    await input.fill(' ｍｙ　room ');
    await input.press('Enter');
    await lobby('/r/my-room');
    await page.keyboard.press('Enter');
    assert.equal(await page.evaluate(() => window.castway.state()), 'lobby');
    await page.locator('#join').click();
    await inState(page, 'waiting');
    assert.equal(await page.locator('#qr').getAttribute('data-url'), `${server.url}/r/my-room`);

    // A link of the same room in Chinese, with the query of a test.
    await page.goto(`${server.url}/r?ice=relay`);
    await input.fill(`来：${server.url}/r/会议?ice=all`);
    await input.press('Enter');
    await lobby('/r/%E4%BC%9A%E8%AE%AE');
    await page.locator('#join').click();
    await inState(page, 'waiting');
    assert.equal(await page.locator('#qr').getAttribute('data-url'), `${server.url}/r/%E4%BC%9A%E8%AE%AE`);
    assert.match(await page.locator('#link').textContent(), /\/r\/会议$/);
    assert.equal(await page.locator('#room-name').textContent(), 'Room 会议');
    const other = await open(fixture, server, { room: 'u-5Lya6K6u' });
    for (const each of [page, other]) await inState(each, 'talking');
    assert.match(other.url(), /\/r\/%E4%BC%9A%E8%AE%AE\?/);

    // Whoever comes back to the page is not in the call again.
    await page.goto(`${server.url}/r`);
    assert.deepEqual(await page.locator('.room').allTextContents(), ['会议', 'my-room']);
    await page.goBack();
    await until('the preview', () => page.locator('#join').isEnabled());
    assert.equal(await page.evaluate(() => window.castway.state()), 'lobby');
    await page.goto(`${server.url}/r`);
    await page.keyboard.press('Tab');
    await page.keyboard.press('Tab');
    assert.equal(await page.evaluate(() => document.activeElement.id), 'fresh');
    await page.keyboard.press('Enter');
    await page.waitForURL(/\/r\/[a-z]{4}-[a-z]{4}-[a-z]{4}$/);
    await until('the preview', () => page.locator('#join').isEnabled());
  });

  // AppRTC's Android client: its signaling, with a plain page that has the camera and the peer connection.
  async function phone(fixture, server, room) {
    const android = new Android(server.url);
    assert.equal(await android.join(room), true);
    const page = await openPage(await fixture.browser(DEVICES), `${server.url}/robots.txt`, { permissions: DEVICE_PERMISSIONS });
    let said = Promise.resolve();
    await page.exposeFunction('say', (message) => {
      said = said.then(() => android.send(message));
      return said;
    });
    await page.evaluate(
      async ({ iceServers, initiator }) => {
        const pc = new RTCPeerConnection({ iceServers, iceTransportPolicy: 'relay', bundlePolicy: 'max-bundle', rtcpMuxPolicy: 'require' });
        window.castway = { pc: () => pc };
        const stream = await navigator.mediaDevices.getUserMedia({ audio: true, video: true });
        for (const track of stream.getTracks()) pc.addTrack(track, stream);
        const video = document.body.appendChild(Object.assign(document.createElement('video'), { id: 'video', autoplay: true, muted: true }));
        pc.ontrack = ({ streams }) => (video.srcObject = streams[0]);
        pc.onicecandidate = ({ candidate }) => candidate && say({ type: 'candidate', label: candidate.sdpMLineIndex, id: candidate.sdpMid, candidate: candidate.candidate });
        const describe = async (description) => {
          await pc.setLocalDescription(description);
          say({ type: description.type, sdp: description.sdp });
        };
        window.hear = async ({ type, sdp, label, id, candidate }) => {
          if (type === 'candidate') return pc.addIceCandidate({ candidate, sdpMLineIndex: label, sdpMid: id });
          if (type !== 'offer' && type !== 'answer') return;
          await pc.setRemoteDescription({ type, sdp });
          if (type === 'offer') await describe(await pc.createAnswer());
        };
        if (initiator) await describe(await pc.createOffer());
      },
      { iceServers: android.ice, initiator: android.initiator },
    );
    const call = { android, page, bye: false };
    const listen = async () => {
      while (android.channel.closed === null) {
        const text = android.inbox.shift() ?? android.channel.frames.shift()?.msg;
        if (!text) await sleep(20);
        else if (JSON.parse(text).type === 'bye') call.bye = true;
        else await page.evaluate((message) => window.hear(message), JSON.parse(text));
      }
    };
    listen().catch(() => {});
    fixture.onClose(async () => android.channel.drop());
    return call;
  }

  for (const caller of ['our page', 'Android']) {
    browserTest(`our page and an Android client: ${caller} calls`, {}, async (fixture, server) => {
      const steps = [
        async () => ({ ours: await open(fixture, server) }),
        async () => ({ theirs: await phone(fixture, server, ROOM) }),
      ];
      if (caller === 'Android') steps.reverse();
      const first = await steps[0]();
      if (first.ours) await inState(first.ours, 'waiting');
      const { ours, theirs } = { ...first, ...(await steps[1]()) };
      await inState(ours, 'talking');
      await bothSee([ours, theirs.page], 3);
      await assertRelayed(ours, server);
      // It takes no notice of what our pages tell each other.
      await until('a picture', () => seenColour(theirs.page), bright);
      await ours.locator('#camera').click();
      await until('black instead of the last frame', () => seenColour(theirs.page), dark);
      await ours.locator('#camera').click();
      await until('a picture again', () => seenColour(theirs.page), bright);
      assert.equal(await ours.locator('#theirs').innerText(), '');
      assert.equal(await ours.locator('#no-picture').isVisible(), false);
      if (caller === 'Android') {
        await ours.locator('#hang-up').click();
        await until('Android hears bye', () => theirs.bye);
      } else {
        await theirs.android.hangUp();
        await inState(ours, 'waiting');
      }
    });
  }
});
