// Many allocations are made and freed, and nothing remains.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { startServer } from './support/server.mjs';
import { TurnClient } from './support/turn.mjs';
import { until } from './support/wait.mjs';

const CYCLES = Number(process.env.CASTWAY_TEST_SOAK ?? 20_000);
const CLIENTS = 50;
// Allocations of one client before it ends; another client then comes from a new port with a new nonce.
const CYCLES_OF_A_CLIENT = 100;

test(`${CYCLES} allocations are made and freed`, async (context) => {
  const server = await startServer({ CASTWAY_TURN_ACCESS: 'open' });
  const residentKb = () => Number(readFileSync(`/proc/${server.pid}/status`, 'utf8').match(/^VmRSS:\s+(\d+) kB$/m)[1]);
  const descriptors = () => readdirSync(`/proc/${server.pid}/fd`).length;
  const allNone = () => until('no allocation is left', () => server.metric('castway_relay_allocations'), (count) => count === 0);
  try {
    const credentials = await (await fetch(`${server.url}/turn?username=alice`)).json();
    let made = 0;
    // The clients use many loopback addresses, because one address gets only ten challenges a second.
    const client = async (number, until) => {
      for (let life = 0; made < until; life += 1) {
        const local = `127.${1 + (number % 250)}.${life % 250}.1`;
        const one = new TurnClient({ port: server.turnPort, local, ...credentials });
        try {
          for (let turn = 0; turn < CYCLES_OF_A_CLIENT && made < until; turn += 1) {
            made += 1;
            assert.equal(await one.allocate(), 0);
            await one.free();
          }
        } finally {
          one.abandon();
        }
      }
    };
    const soak = (until) => Promise.all(Array.from({ length: CLIENTS }, (_, number) => client(number, until)));

    await soak(CLIENTS);
    await allNone();
    const before = descriptors();
    const start = Date.now();
    await soak(CYCLES / 2);
    const half = residentKb();
    await soak(CYCLES);
    const whole = residentKb();
    const seconds = (Date.now() - start) / 1000;
    await allNone();
    // The connection of the request for /metrics may stay open for a moment.
    await until(`no more than ${before} descriptors are left`, descriptors, (count) => count <= before);
    context.diagnostic(`${Math.round(CYCLES / seconds)} cycles a second; ${half} kB after a half, ${whole} kB after all; ${before} descriptors before, ${descriptors()} after`);
    assert.ok(whole - half < 1024, `resident memory grew from ${half} to ${whole} kB in the second half`);
  } finally {
    await server.close();
  }
});
