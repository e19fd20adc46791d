// All attacks at the same time, beside a relayed cast and a relayed call: both keep their video, the server's memory stays bounded, and
// nothing remains at the end. CASTWAY_TEST_STORM: seconds, 60 by default. CASTWAY_TEST_CLIENTS: hostile clients, 2000 by default.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { assertRelayed, DEVICES, inState, joinCall, launch, openPage, openSource, openTv, startCast, statistics, until } from '../e2e/support/browser.mjs';
import { Program } from '../interop/support/process.mjs';
import { startServer } from '../interop/support/server.mjs';

const SECONDS = Number(process.env.CASTWAY_TEST_STORM ?? 60);
const CLIENTS = Number(process.env.CASTWAY_TEST_CLIENTS ?? 2000);
const MAX_RESIDENT_MIB = 150;
// Memory that may remain: AppRTC's rooms, which the original server keeps for a day, the tables of guesses, and free memory within the
// heap.
const MAX_LEFT_MIB = 64;
// A longer pause of the video is a failure, in seconds. The browsers encode in software, on the same processor as all attackers.
const MAX_STILL_S = 20;

// NaN if the process has ended.
const residentMib = (server) => Number(readFileSync(`/proc/${server.pid}/status`, 'utf8').match(/^VmRSS:\s+(\d+) kB$/m)?.[1] ?? NaN) / 1024;
const descriptors = (server) => readdirSync(`/proc/${server.pid}/fd`).length;

async function call(browser, server) {
  const pages = [];
  for (let n = 0; n < 2; n += 1) {
    const page = await openPage(browser, `${server.url}/r/beside-the-storm?ice=relay`, { permissions: ['camera', 'microphone'] });
    await joinCall(page);
    await inState(page, n === 0 ? 'waiting' : 'talking');
    pages.push(page);
  }
  return pages;
}

test(`${CLIENTS} hostile clients for ${SECONDS} s`, { timeout: (SECONDS + 600) * 1000 }, async (context) => {
  const server = await startServer({ CASTWAY_TURN_ACCESS: 'open' });
  const browsers = [await launch(DEVICES), await launch(DEVICES), await launch(DEVICES)];
  try {
    await openSource(browsers[1]);
    const { page: tv, code } = await openTv(browsers[0], server);
    const caster = await startCast(browsers[1], server, code);
    await inState(tv, 'playing');
    const calling = await call(browsers[2], server);
    const watched = { 'the TV': tv, 'the callee': calling[0], 'the caller': calling[1] };
    for (const page of Object.values(watched)) await until('frames come', () => statistics(page), ({ frames }) => frames > 0);
    await assertRelayed(tv, server);
    const before = { resident: residentMib(server), descriptors: descriptors(server) };

    const attackers = new Program(process.execPath, [
      fileURLToPath(new URL('./attackers.mjs', import.meta.url)),
      JSON.stringify({ http: Number(server.url.split(':').at(-1)), https: server.httpsPort, turn: server.turnPort, seconds: SECONDS, clients: CLIENTS }),
    ]);
    const end = Date.now() + SECONDS * 1000;
    const seen = Object.fromEntries(Object.keys(watched).map((who) => [who, { frames: 0, at: Date.now(), longest: 0 }]));
    const resident = [];
    let most = 0;
    while (Date.now() < end) {
      resident.push(residentMib(server));
      assert.ok(server.running, `the server ended after it had ${Math.max(...resident.filter(Number.isFinite))} MiB: ${server.log.slice(-500)}`);
      most = Math.max(most, descriptors(server));
      for (const [who, page] of Object.entries(watched)) {
        const { frames } = await statistics(page);
        const one = seen[who];
        if (frames !== one.frames) Object.assign(one, { frames, at: Date.now() });
        one.longest = Math.max(one.longest, (Date.now() - one.at) / 1000);
      }
      await sleep(1000);
    }
    const peak = Math.max(...resident);
    const tally = await until('the attackers end', () => attackers.output.match(/^\{.*\}$/m)?.[0]);
    await attackers.close();
    context.diagnostic(`attackers: ${tally}`);
    context.diagnostic(`resident: ${before.resident.toFixed(0)} MiB before, ${peak.toFixed(0)} at most, ${residentMib(server).toFixed(0)} at the end; descriptors: ${before.descriptors} before, ${most} at most`);
    context.diagnostic(`longest still: ${Object.entries(seen).map(([who, { longest }]) => `${who} ${longest.toFixed(1)} s`).join(', ')}`);
    assert.ok(server.running);
    assert.ok(peak < MAX_RESIDENT_MIB, `resident memory came to ${peak.toFixed(0)} MiB`);
    for (const [who, { longest }] of Object.entries(seen)) assert.ok(longest < MAX_STILL_S, `${who} saw a still picture for ${longest} s`);
    for (const [who, page] of Object.entries(watched)) {
      const { frames } = await statistics(page);
      await until(`${who} sees more`, () => statistics(page), (now) => now.frames > frames);
    }
    assert.equal(await caster.evaluate(() => window.castway.state()), 'sharing');

    // Connections that are being closed, and slots that are kept for clients that may come back, disappear within a minute.
    await until('no descriptor is left behind', () => descriptors(server), (now) => now <= before.descriptors + 8, 180_000);
    const left = await until('memory goes back', () => residentMib(server), (mib) => mib < before.resident + MAX_LEFT_MIB, 180_000);
    context.diagnostic(`left behind: ${left.toFixed(0)} MiB, ${descriptors(server)} descriptors`);
    assert.deepEqual(server.logged(/panicked/), []);
    context.diagnostic(`log: ${server.log.length} bytes`);
  } finally {
    for (const browser of browsers) await browser.close().catch(() => {});
    await server.close();
  }
});
