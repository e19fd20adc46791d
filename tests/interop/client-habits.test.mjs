// What clients do that is unusual or at the edge of the standards, and that works: half-closed connections, clients that start again on the
// same port, a second Refresh with lifetime 0, EVEN-PORT in a range of four ports, and payloads of 60 kB.
import assert from 'node:assert/strict';
import { randomBytes, randomInt } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { Allocations } from './support/allocations.mjs';
import { assertPayloadsBetween, assertPayloadsToPeer, PAIRS, SETTINGS, USER } from './support/payloads.mjs';
import { startServer, withServer } from './support/server.mjs';
import {
  ATTRIBUTE, errorOf, frameBytes, isMessage, longTermKey, message, METHOD, parse, SUCCESS, TCP, UDP, unxorAddress, withIntegrity, word, xorAddress,
} from './support/stun.mjs';
import { until, within } from './support/wait.mjs';

const RETRANSMISSION_MS = 500;
const CONNECTION_BIND = 0x00b;
const CONNECTION_ID = 0x002a;
const LIFETIME_0 = [ATTRIBUTE.lifetime, word(0)];
const evenPort = (reserve) => [UDP, [ATTRIBUTE.evenPort, Buffer.from([reserve ? 0x80 : 0])]];

let server;
let stranger;
before(async () => {
  server = await startServer({ ...SETTINGS, CASTWAY_NO_TCP_RELAY: 'false' });
  await server.addUser(USER.username, USER.password);
  const { username, password } = await (await fetch(`${server.url}/turn?username=bob`)).json();
  stranger = { username, password };
});
after(() => server?.close());

// Messages byte by byte, from a local port that the test chooses; `ask` resolves to the parsed answer.
class Wire {
  #waiting = new Map();
  #unread = Buffer.alloc(0);

  hear(bytes) {
    if (!isMessage(bytes)) return;
    const answer = parse(bytes);
    this.#waiting.get(answer.id.toString('hex'))?.(answer);
  }

  // The frames of a stream.
  read(chunk) {
    this.#unread = Buffer.concat([this.#unread, chunk]);
    for (let end = frameBytes(this.#unread); end !== null && this.#unread.length >= end; end = frameBytes(this.#unread)) {
      this.hear(this.#unread.subarray(0, end));
      this.#unread = this.#unread.subarray(end);
    }
  }

  // `bytes` is a whole request; asked again, it is a retransmission.
  ask(bytes) {
    const id = bytes.subarray(8, 20).toString('hex');
    const answered = new Promise((resolve) => this.#waiting.set(id, resolve));
    const timer = this.retransmits ? setInterval(() => this.send(bytes), RETRANSMISSION_MS) : undefined;
    this.send(bytes);
    return within(answered, 'answer').finally(() => clearInterval(timer));
  }

  // Gets a nonce; then `signed` makes requests.
  async challenge({ username, password }) {
    const { attributes } = await this.ask(message(METHOD.allocate, randomBytes(12), [UDP]));
    const [realm, nonce] = [attributes.get(ATTRIBUTE.realm), attributes.get(ATTRIBUTE.nonce)];
    const claim = [[ATTRIBUTE.username, Buffer.from(username)], [ATTRIBUTE.realm, realm], [ATTRIBUTE.nonce, nonce]];
    this.signed = (method, attributes_) => withIntegrity(method, randomBytes(12), [...attributes_, ...claim], longTermKey(username, realm, password));
    return this;
  }
}

async function udpWire(port = 0) {
  const [wire, socket] = [new Wire(), createSocket('udp4')];
  socket.on('message', (bytes) => wire.hear(bytes));
  socket.bind(port, '127.0.0.1');
  await once(socket, 'listening');
  const close = () => new Promise((resolve) => socket.close(resolve));
  return Object.assign(wire, { retransmits: true, port: socket.address().port, send: (bytes) => socket.send(bytes, server.turnPort, '127.0.0.1'), close });
}

// `wire.ended` resolves when the server has closed its direction.
async function streamWire({ localPort, tls = false } = {}) {
  const options = { port: tls ? server.httpsPort : server.turnPort, host: '127.0.0.1', localAddress: '127.0.0.1', localPort, allowHalfOpen: true };
  const socket = tls ? connectTls({ ...options, rejectUnauthorized: false }) : connect(options);
  await once(socket, tls ? 'secureConnect' : 'connect');
  const wire = new Wire();
  socket.on('data', (chunk) => wire.read(chunk));
  socket.on('error', () => {});
  return Object.assign(wire, { socket, port: socket.localPort, ended: once(socket, 'end'), send: (bytes) => socket.write(bytes), close: () => socket.destroy() });
}

describe('a client that closes its direction of the stream', () => {
  for (const tls of [false, true]) {
    const name = tls ? 'TLS' : 'TCP';
    test(`over ${name} still gets the answers to all that it has sent`, async () => {
      const wire = await streamWire({ tls });
      const requests = Array.from({ length: 50 }, () => message(METHOD.binding, randomBytes(12), []));
      const answers = requests.map((request) => wire.ask(request));
      wire.socket.end();
      for (const { type } of await Promise.all(answers)) assert.equal(type, METHOD.binding | SUCCESS);
      await within(wire.ended, 'end of the stream');
    });

    test(`over ${name} ends its allocation, whose port is free again`, async () => {
      const wire = await (await streamWire({ tls })).challenge(USER);
      const answer = await wire.ask(wire.signed(METHOD.allocate, [UDP]));
      const { port } = unxorAddress(answer.attributes.get(ATTRIBUTE.xorRelayed), answer.id);
      wire.socket.end();
      await within(wire.ended, 'end of the stream');
      // The port can be bound once the relay has given it back.
      await until(`port ${port} is free`, async () => {
        const socket = createSocket('udp4');
        socket.bind(port, '127.0.0.1');
        const bound = await Promise.race([once(socket, 'listening'), once(socket, 'error').then(() => null)]).catch(() => null);
        socket.close();
        return bound;
      });
    });
  }

  test('through a TCP allocation (RFC 6062): the peer is told, and its bytes still arrive; the same the other way round', async () => {
    for (const first of ['client', 'peer']) {
      const listener = createServer({ allowHalfOpen: true }).listen(0, '127.0.0.1');
      await once(listener, 'listening');
      const control = await (await streamWire()).challenge(USER);
      try {
        assert.equal(errorOf(await control.ask(control.signed(METHOD.allocate, [TCP]))), 0);
        const accepted = once(listener, 'connection');
        const connected = await control.ask(control.signed(METHOD.connect, [[ATTRIBUTE.xorPeer, xorAddress({ address: '127.0.0.1', port: listener.address().port })]]));
        assert.equal(errorOf(connected), 0);
        const [peer] = await accepted;
        const data = await (await streamWire()).challenge(USER);
        assert.equal(errorOf(await data.ask(data.signed(CONNECTION_BIND, [[CONNECTION_ID, connected.attributes.get(CONNECTION_ID)]]))), 0);
        data.socket.removeAllListeners('data');
        const [one, other] = first === 'client' ? [data.socket, peer] : [peer, data.socket];
        const heard = [];
        one.on('data', (chunk) => heard.push(chunk));
        other.resume();
        const [otherEnded, oneEnded] = [once(other, 'end'), once(one, 'end')];
        one.end('the last bytes');
        await within(otherEnded, `end at the other side of the ${first}`);
        const answer = randomBytes(300_000);
        other.end(answer);
        await within(oneEnded, `end at the ${first}`);
        assert.ok(Buffer.concat(heard).equals(answer), `${first}: ${Buffer.concat(heard).length} bytes`);
        data.close();
      } finally {
        control.close();
        listener.close();
      }
    }
  });
});

describe('a client that starts again on the same port', () => {
  test('over UDP gets 437, and gets in after a Refresh with lifetime 0, or from another port as libwebrtc does', async () => {
    for (const credentials of [USER, stranger]) {
      const before = await (await udpWire()).challenge(credentials);
      assert.equal(errorOf(await before.ask(before.signed(METHOD.allocate, [UDP]))), 0);
      await before.close();

      const again = await (await udpWire(before.port)).challenge(credentials);
      assert.equal(errorOf(await again.ask(again.signed(METHOD.allocate, [UDP]))), 437);
      const elsewhere = await (await udpWire()).challenge(credentials);
      assert.equal(errorOf(await elsewhere.ask(elsewhere.signed(METHOD.allocate, [UDP]))), 0);
      assert.equal(errorOf(await again.ask(again.signed(METHOD.refresh, [LIFETIME_0]))), 0);
      assert.equal(errorOf(await again.ask(again.signed(METHOD.allocate, [UDP]))), 0);
      for (const wire of [again, elsewhere]) {
        assert.equal(errorOf(await wire.ask(wire.signed(METHOD.refresh, [LIFETIME_0]))), 0);
        await wire.close();
      }
    }
  });

  test('over UDP with the credentials of somebody else gets 441, and gets in from another port', async () => {
    const before = await (await udpWire()).challenge(USER);
    assert.equal(errorOf(await before.ask(before.signed(METHOD.allocate, [UDP]))), 0);
    await before.close();
    const again = await (await udpWire(before.port)).challenge(stranger);
    for (const [method, attributes] of [[METHOD.allocate, [UDP]], [METHOD.refresh, [LIFETIME_0]]]) {
      assert.equal(errorOf(await again.ask(again.signed(method, attributes))), 441);
    }
    await again.close();
    const elsewhere = await (await udpWire()).challenge(stranger);
    assert.equal(errorOf(await elsewhere.ask(elsewhere.signed(METHOD.allocate, [UDP]))), 0);
    await elsewhere.close();
    // The user's allocation is still the user's.
    const back = await (await udpWire(before.port)).challenge(USER);
    assert.equal(errorOf(await back.ask(back.signed(METHOD.refresh, [LIFETIME_0]))), 0);
    await back.close();
  });

  test('over TCP has lost its allocation with the connection, and gets in at once', async () => {
    const before = await (await streamWire()).challenge(USER);
    assert.equal(errorOf(await before.ask(before.signed(METHOD.allocate, [UDP]))), 0);
    // A reset leaves no TIME_WAIT, which would keep the port.
    before.socket.resetAndDestroy();
    await until('the server has seen it', async () => {
      const again = await streamWire({ localPort: before.port }).catch(() => null);
      if (!again) return false;
      await again.challenge(USER);
      const code = errorOf(await again.ask(again.signed(METHOD.allocate, [UDP])));
      again.socket.resetAndDestroy();
      assert.equal(code, 0);
      return true;
    });
  });
});

test('a Refresh with lifetime 0 that is sent again gets 437, which clients take for a success (RFC 8656 §8.3)', async () => {
  for (const open of [udpWire, streamWire]) {
    const wire = await (await open()).challenge(stranger);
    assert.equal(errorOf(await wire.ask(wire.signed(METHOD.allocate, [UDP]))), 0);
    const bytes = wire.signed(METHOD.refresh, [LIFETIME_0]);
    const answer = await wire.ask(bytes);
    assert.deepEqual([errorOf(answer), answer.attributes.get(ATTRIBUTE.lifetime)?.readUInt32BE()], [0, 0]);
    assert.equal(errorOf(await wire.ask(bytes)), 437, 'the same bytes');
    assert.equal(errorOf(await wire.ask(wire.signed(METHOD.refresh, [LIFETIME_0]))), 437, 'another transaction');
    assert.equal(errorOf(await wire.ask(wire.signed(METHOD.allocate, [UDP]))), 0, 'a new allocation on the same connection');
    assert.equal(errorOf(await wire.ask(wire.signed(METHOD.refresh, [LIFETIME_0]))), 0);
    await wire.close();
  }
});

test('EVEN-PORT in a range of four ports: two pairs, 508 when they are taken, and free again', async () => {
  // The ports are above Linux's ephemeral ones and on an address of this test alone, so no other program has one of them by chance.
  const host = '127.3.0.1';
  const settings = () => {
    const lowest = 61_000 + 2 * randomInt(2000);
    return { CASTWAY_EXTERNAL_IP: host, CASTWAY_RELAY_IP: host, CASTWAY_MIN_PORT: String(lowest), CASTWAY_MAX_PORT: String(lowest + 3) };
  };
  await withServer(settings, async (small) => {
    await small.addUser(USER.username, USER.password);
    const lowest = Number(small.settings.CASTWAY_MIN_PORT);
    const clients = new Allocations(small);
    try {
      for (let round = 0; round < 2; round += 1) {
        const [rtp, rtcp, other, late] = Array.from({ length: 4 }, () => clients.client(USER));
        assert.equal(await rtp.allocate(undefined, evenPort(true)), 0);
        assert.equal(await other.allocate(undefined, evenPort(true)), 0);
        assert.deepEqual([rtp.relayed.port, other.relayed.port].sort(), [lowest, lowest + 2]);
        assert.equal(await rtcp.allocate(undefined, [UDP, [ATTRIBUTE.reservationToken, rtp.token]]), 0);
        assert.equal(rtcp.relayed.port, rtp.relayed.port + 1);
        for (const attributes of [evenPort(false), evenPort(true), [UDP], [UDP, [ATTRIBUTE.reservationToken, rtp.token]]]) {
          assert.equal(await late.allocate(undefined, attributes), 508);
        }
        const { port } = other.relayed;
        await other.free();
        assert.equal(await late.allocate(undefined, evenPort(true)), 0);
        assert.equal(late.relayed.port, port);
        for (const client of [rtp, rtcp, late]) await client.free();
      }
    } finally {
      await clients.close();
    }
  });
});

describe('payloads of 60 kB', { concurrency: 4 }, () => {
  for (const transport of ['udp', 'tcp', 'tls']) {
    test(`pass between a client over ${transport.toUpperCase()} and a plain peer, in indications and on a channel`, () => assertPayloadsToPeer(server, transport));
  }
  for (const [one, other] of PAIRS) {
    test(`pass between clients over ${one.toUpperCase()} and ${other.toUpperCase()}`, () => assertPayloadsBetween(server, stranger, one, other));
  }
});
