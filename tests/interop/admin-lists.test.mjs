// The lists at /admin when strangers have filled them: every answer and event stays small, and each row is in some part.
import assert from 'node:assert/strict';
import { Agent, request } from 'node:http';
import { test } from 'node:test';
import { addOperator, ask, openEvents, signIn } from './support/admin.mjs';
import { withServer } from './support/server.mjs';

const CALLS = 3000;
const MOST_ROWS = 200;
const MOST_BYTES = 256 * 1024;
const WAITING_JOINS = 32;
// As much of a User-Agent as is kept, with bytes that are no UTF-8: each becomes a character of three bytes.
const AGENT = '\u00ff'.repeat(200);

// Joins a room of AppRTC; resolves to the result.
function join(server, agent, room) {
  return new Promise((resolve, reject) => {
    const asked = request(`${server.url}/join/${room}`, { method: 'POST', agent, headers: { 'user-agent': AGENT, 'content-length': 0 } }, async (response) => {
      try {
        let text = '';
        for await (const chunk of response) text += chunk;
        resolve(JSON.parse(text).result);
      } catch (error) {
        reject(error);
      }
    });
    asked.on('error', reject).end();
  });
}

async function fill(server) {
  const agent = new Agent({ keepAlive: true, maxSockets: WAITING_JOINS });
  let next = 0;
  const joiner = async () => {
    for (let member = next++; member < 2 * CALLS; member = next++) assert.equal(await join(server, agent, `filled-${member >> 1}`), 'SUCCESS');
  };
  try {
    await Promise.all(Array.from({ length: WAITING_JOINS }, joiner));
  } finally {
    agent.destroy();
  }
}

const fits = (part) => part.rows.length > 0 && part.rows.length <= MOST_ROWS && JSON.stringify(part).length <= MOST_BYTES;

test(`${CALLS} calls with the longest User-Agents are shown in parts`, () =>
  withServer({ CASTWAY_CALL_RATE: '1000000' }, async (server) => {
    await addOperator(server);
    const session = await signIn(server);
    await fill(server);

    const seen = new Set();
    while (seen.size < CALLS) {
      const { status, text, body } = await ask(server, 'GET', `calls?search=&offset=${seen.size}&limit=${MOST_ROWS}`, { session });
      assert.ok(status === 200 && Buffer.byteLength(text) <= MOST_BYTES + 100 && fits(body), `${status}, ${text.length} characters at ${seen.size}`);
      assert.equal(body.total, CALLS);
      const before = seen.size;
      for (const { id, members } of body.rows) {
        assert.deepEqual(members.map(({ agent }) => agent.length), [200, 200]);
        seen.add(id);
      }
      assert.equal(seen.size, before + body.rows.length, 'each row once');
    }
    const [first] = (await ask(server, 'GET', 'calls', { session })).body.rows;
    const found = (await ask(server, 'GET', `calls?search=${first.id.toUpperCase()}`, { session })).body;
    assert.ok(found.rows.some(({ id }) => id === first.id) && found.total < CALLS && found.rows.every(({ id }) => id.startsWith(first.id)));
    assert.deepEqual((await ask(server, 'GET', 'calls?search=nobody-has-this', { session })).body, { rows: [], total: 0 });
    assert.equal((await ask(server, 'GET', `calls?search=${'x'.repeat(1000)}`, { session })).status, 400);

    const stream = await openEvents(server, session, 'calls');
    const [, shown] = await stream.next('calls');
    assert.ok(fits(shown) && shown.total === CALLS, `${shown.rows.length} rows of ${shown.total}`);
    assert.equal((await stream.next('now'))[1].calls, CALLS);
    assert.equal(stream.ended, false);
    stream.close();
  }));
