// When has an AppRTC client left? Its clients hang up, are reloaded, or lose their network. The original web client posts /leave, sends
// bye, closes its WebSocket and sends DELETE. From a page that is being closed, browsers send only the bye and the close.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Channel, Web, plain } from './support/apprtc.mjs';
import { startServer } from './support/server.mjs';

const GENEROUS = { CASTWAY_CALL_RATE: '100000', CASTWAY_ICE_RATE: '100000' };
const BYE = { type: 'bye' };
const offer = (n) => ({ type: 'offer', sdp: `v=0\r\no=- ${n} 2 IN IP4 127.0.0.1\r\n` });
const answer = { type: 'answer', sdp: 'v=0\r\n' };

let rooms = 0;
const room = () => `farewell-${process.pid}_${(rooms += 1)}`;

let server;
before(async () => {
  server = await startServer(GENEROUS);
});
after(() => server?.close());

async function join(name) {
  const client = new Web(server.url);
  assert.ok(await client.join(name), `${client.result}: it comes in at the first try`);
  await client.channel.settled();
  return client;
}

async function refused(name) {
  const client = new Web(server.url);
  assert.equal(await client.join(name), false);
  assert.equal(client.result, 'FULL');
}

async function call(name) {
  const caller = await join(name);
  await caller.send(offer(1));
  const callee = await join(name);
  assert.deepEqual(await callee.hear('offer'), offer(1));
  await callee.send(answer);
  await caller.hear('answer');
  return [caller, callee];
}

const leave = (client) => plain(`${server.url}/leave${client.path}`, { method: 'POST' });
const remove = (client) => plain(`${server.url}${client.path}`, { method: 'DELETE' });
const sayBye = (client, text = JSON.stringify(BYE)) => client.channel.send(text);
async function close(client) {
  client.channel.close();
  await client.channel.end();
}

const HANG_UPS = {
  'bye and close, as from a page that is being closed': async (client) => {
    sayBye(client);
    await close(client);
  },
  'the same, written in another way': async (client) => {
    sayBye(client, '{ "reason": null,\r\n  "type": "\\u0062ye" }');
    await close(client);
  },
  'bye and a socket that breaks': async (client) => {
    sayBye(client);
    await client.channel.settled();
    client.vanish();
    await client.channel.end();
  },
  'bye and DELETE': async (client) => {
    sayBye(client);
    await client.channel.settled();
    await remove(client);
  },
  'DELETE that overtakes bye': async (client) => {
    const removed = remove(client);
    sayBye(client);
    await removed;
    await client.channel.end();
  },
  'leave, bye, DELETE': (client) => client.hangUp(),
  'bye, close, and leave long after it': async (client) => {
    sayBye(client);
    await close(client);
    await leave(client);
  },
  'a bye by POST after the socket has closed': async (client) => {
    await close(client);
    const posted = await plain(`${server.url}${client.path}`, { method: 'POST', body: JSON.stringify(BYE) });
    assert.deepEqual([posted.status, posted.body], [200, 'OK\n']);
  },
};

describe('who said bye and closed its socket has left:', () => {
  for (const [name, hangUp] of Object.entries(HANG_UPS)) {
    test(`${name}: in mid-call`, async () => {
      const id = room();
      let [stays, leaves] = await call(id);
      for (const n of [2, 3, 4, 5]) {
        await hangUp(leaves);
        await stays.hear('bye');
        await stays.send(offer(n));
        const again = await join(id);
        assert.equal(again.initiator, false);
        assert.deepEqual(await again.hear('offer'), offer(n));
        await again.send(answer);
        assert.deepEqual(await stays.hear('answer'), answer, 'and no second bye before it');
        [stays, leaves] = [again, stays];
      }
    });

    test(`${name}: alone`, async () => {
      const id = room();
      for (let n = 1; n <= 4; n += 1) {
        const client = await join(id);
        assert.ok(client.initiator, 'not the callee of its own ghost');
        assert.deepEqual(client.inbox, [], 'nor with its own dead offer');
        await client.send(offer(n));
        await hangUp(client);
        assert.deepEqual(client.channel.frames, []);
      }
    });
  }

  test('an offer that comes between the bye and the end of its socket is for the next one', async () => {
    const id = room();
    const [stays, leaves] = await call(id);
    sayBye(leaves);
    await stays.hear('bye');
    await stays.send(offer(2));
    assert.equal(await leaves.channel.message(), JSON.stringify(offer(2)), 'it might have gone on');
    await close(leaves);
    const next = await join(id);
    assert.deepEqual(next.inbox, [JSON.stringify(offer(2))]);
  });

  test('also where it did not read any more what it was sent, and the server nothing of it', async () => {
    const id = room();
    const [stays, leaves] = await call(id);
    leaves.channel.socket.pause();
    const large = JSON.stringify({ type: 'candidate', candidate: 'x'.repeat(60_000) });
    const flood = () => stays.post(`/message${stays.path}`, large);
    // While this client reads nothing, the server reads nothing from it either, so the messages for it accumulate.
    const heard = async () => {
      while ((await server.metric('castway_waiting_bytes')) < 5 * large.length) {
        if (stays.channel.frames.shift()) return true;
        await flood();
      }
      return false;
    };
    do {
      await flood();
      leaves.channel.send('{"type":"candidate"}');
    } while (await heard());
    sayBye(leaves);
    // More messages than the server keeps for this client.
    for (let i = 0; i < 50; i += 1) await flood();
    await stays.hear('candidate');
    await stays.hear('bye');
    leaves.channel.drop();
    await join(id);
  });
});

describe('who has not left:', () => {
  test('one whose socket broke without a bye, for ten seconds', async () => {
    const id = room();
    const [, leaves] = await call(id);
    leaves.vanish();
    await leaves.channel.end();
    await refused(id);
    const back = await Channel.open(leaves.params.wss_url);
    back.register(id, leaves.client);
    await back.settled();
  });

  test('one that said bye and stays, or goes on', async () => {
    const id = room();
    const [stays, other] = await call(id);
    sayBye(other);
    await stays.hear('bye');
    await refused(id);
    await other.send(answer);
    await stays.hear('answer');
    other.vanish();
    await other.channel.end();
    await refused(id);
  });

  test('a caller that comes back in time: the callee of the meantime has its offer, and the caller the answer', async () => {
    const id = room();
    const caller = await join(id);
    await caller.send(offer(1));
    caller.vanish();
    await caller.channel.end();
    const callee = await join(id);
    assert.deepEqual([callee.initiator, callee.inbox], [false, [JSON.stringify(offer(1))]]);
    await callee.send(answer);
    await callee.channel.settled();
    const back = await Channel.open(caller.params.wss_url);
    back.register(id, caller.client);
    assert.equal(await back.message(), JSON.stringify(answer));
    await refused(id);
  });
});

test('who answers a caller that never comes back hears bye when its time is over, and calls itself', async () => {
  const id = room();
  const ghost = await join(id);
  await ghost.send(offer(1));
  ghost.vanish();
  await ghost.channel.end();
  const again = await join(id);
  assert.equal(again.initiator, false);
  await again.hear('offer');
  await again.send(answer);
  await again.hear('bye');
  await again.send(offer(2));
  const callee = await join(id);
  assert.deepEqual(await callee.hear('offer'), offer(2));
  await callee.send(answer);
  await again.hear('answer');
});

test("the original's loopback page: its second socket answers under a name of its own, and a reload works at once", async () => {
  const id = room();
  for (let n = 1; n <= 3; n += 1) {
    const { result, params } = JSON.parse((await plain(`${server.url}/join/${id}?debug=loopback`, { method: 'POST' })).body);
    assert.deepEqual([result, params.is_initiator, params.is_loopback, params.messages], ['SUCCESS', 'true', 'true', []]);
    const [page, phantom] = [await Channel.open(params.wss_url), await Channel.open(params.wss_url)];
    page.register(id, params.client_id);
    phantom.register(id, 'loopback_client_id');
    await Promise.all([page.settled(), phantom.settled()]);
    await plain(`${server.url}/message/${id}/${params.client_id}`, { method: 'POST', body: JSON.stringify(offer(n)) });
    assert.equal(await phantom.message(), JSON.stringify(offer(n)));
    phantom.send(JSON.stringify(answer));
    assert.equal(await page.message(), JSON.stringify(answer));
    await refused(id);
    page.send(JSON.stringify(BYE));
    page.close();
    phantom.close();
    await Promise.all([page.end(), phantom.end()]);
  }
});
