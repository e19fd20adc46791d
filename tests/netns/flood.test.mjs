// A million forged requests cost the relay no memory, and hardly any of its clients' packets.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { run } from '../interop/support/process.mjs';
import { TurnClient } from '../interop/support/turn.mjs';
import { build, CROWD, demolish, serve, SERVER } from './networks.mjs';

const flood = fileURLToPath(new URL('../../target/debug/examples/flood', import.meta.url));
const PACKETS = 1_000_000;
const PACKETS_A_SECOND = Number(process.env.CASTWAY_TEST_FLOOD_RATE ?? 33_000);
const STREAM_PACKETS_A_SECOND = 1000;
// Longer pauses of this process are not made up for.
const LONGEST_GAP_MS = 50;

let server;
before(async () => {
  build();
  server = await serve();
});
after(async () => {
  await server?.close();
  demolish();
});

const residentKb = () => Number(readFileSync(`/proc/${server.pid}/status`, 'utf8').match(/^VmRSS:\s+(\d+) kB$/m)[1]);

// The number of packets that the relay dropped or answered with a challenge or an error.
async function refused() {
  const text = await (await fetch(`${server.url}/metrics`)).text();
  const counters = [...text.matchAll(/^castway_relay_(?:drops|errors)_total\{[^}]+\} (\S+)$/gm)];
  return counters.reduce((sum, [, value]) => sum + Number(value), 0);
}

class Stream {
  sent = 0;
  heard = 0;
  ended = false;

  constructor(from, to) {
    this.from = from;
    this.to = to;
    this.listening = this.#listen();
    let last = Date.now();
    this.timer = setInterval(() => {
      const now = Date.now();
      // After a pause of the machine, the missed packets are not sent in one burst: no socket has room for so many.
      const due = (Math.min(now - last, LONGEST_GAP_MS) * STREAM_PACKETS_A_SECOND) / 1000;
      last = now;
      for (let i = 0; i < due; i += 1) {
        from.send(to.relayed, Buffer.alloc(1000, this.sent));
        this.sent += 1;
      }
    }, 2);
  }

  async #listen() {
    // The stream ends after two silences, since the first may be a pause of the machine.
    for (let silences = 0; silences < 2; ) {
      if (await this.to.receive(3000).catch(() => null)) this.heard += 1;
      else if (this.ended) silences += 1;
    }
  }

  async end() {
    clearInterval(this.timer);
    this.ended = true;
    await this.listening;
    return { sent: this.sent, lost: this.sent - this.heard };
  }
}

test(`${PACKETS} forged requests from ${CROWD} beside a stream`, async (context) => {
  const { username, password } = await (await fetch(`${server.url}/turn?username=alice`)).json();
  const options = { host: SERVER, local: SERVER, port: 3478, username, password };
  const [a, b] = [new TurnClient(options), new TurnClient({ ...options, recvBufferSize: 4 << 20 })];
  try {
    assert.equal((await a.allocate()) || (await b.allocate()) || (await a.permit(b.relayed)) || (await b.bind(0x4000, a.relayed)), 0);
    const stream = new Stream(a, b);
    const send = (count) => run('ip', ['netns', 'exec', 'crowd', flood, `${SERVER}:3478`, CROWD, String(count), String(PACKETS_A_SECOND)], { limit: 600_000 });
    // Any load takes some memory once, for example for full batches. This round takes that memory before the measurement.
    await send(PACKETS / 20);
    const [residentBefore, refusedBefore] = [residentKb(), await refused()];
    const { code, output } = await send(PACKETS);
    assert.equal(code, 0, output);
    const grown = residentKb() - residentBefore;
    const { sent, lost } = await stream.end();
    const met = (await refused()) - refusedBefore;
    const [forged, unsent, seconds] = output.trim().split(' ').map(Number);
    context.diagnostic(
      `${forged} forged packets in ${seconds} s, ${Math.round(forged / seconds)} a second (${unsent} unsent); the relay met ${met} with a refusal; ` +
        `it grew by ${grown} kB; the stream lost ${lost} of ${sent} packets`,
    );
    assert.equal(forged, PACKETS);
    // A fifth of the packets are Binding requests, which get an answer.
    assert.ok(met > PACKETS * 0.7, `only ${met} of the forged packets were counted`);
    assert.ok(sent > STREAM_PACKETS_A_SECOND * seconds * 0.5, `the stream ran at ${sent / seconds} packets a second`);
    assert.ok(lost < sent / 100, `${lost} of ${sent} packets were lost`);
    assert.ok(grown < 1024, `resident memory grew by ${grown} kB`);
  } finally {
    a.abandon();
    b.abandon();
  }
});
