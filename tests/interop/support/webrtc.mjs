// Two peer connections in one process that can reach each other only through a relay, and data in both directions.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { within } from './wait.mjs';

const bytes = (data) => (data instanceof ArrayBuffer ? Buffer.from(data) : Buffer.from(data.buffer, data.byteOffset, data.byteLength));

// Payloads that are on their way at a time. More of them could overflow the receive buffer of a process that has to wait for the processor,
// and now and then werift waits forever for what a lost packet should have brought (4 of 32 calls at a loss of 2 %).
const MAX_ON_THE_WAY = 4;

// Sends payloads of all sizes, which the other side echoes. Resolves when all have come back unchanged and in order.
export async function assertEchoes(channel, count = 50) {
  channel.binaryType = 'arraybuffer';
  const payloads = Array.from({ length: count }, (_, i) => randomBytes(1 + ((i * 331) % 16_000)));
  const heard = [];
  const all = new Promise((resolve) => {
    channel.onmessage = ({ data }) => {
      heard.push(bytes(data));
      const next = payloads[heard.length - 1 + MAX_ON_THE_WAY];
      if (next) channel.send(next);
      if (heard.length === count) resolve();
    };
  });
  for (const payload of payloads.slice(0, MAX_ON_THE_WAY)) channel.send(payload);
  await within(all, `all of ${count} echoes`).catch((error) => assert.fail(`${error.message}: ${heard.length} came`));
  payloads.forEach((payload, i) => assert.ok(payload.equals(heard[i]), `echo ${i} of ${payload.length} bytes came back otherwise`));
}

export function echo(channel) {
  channel.binaryType = 'arraybuffer';
  channel.onmessage = ({ data }) => channel.send(bytes(data));
}

export const opened = (channel) =>
  channel.readyState === 'open'
    ? Promise.resolve()
    : new Promise((resolve) => {
        channel.onopen = resolve;
      });

// Connects two peer connections of this process, of which `b` echoes. Resolves to the channel of `a`, which opens later. `heard` is called with
// each candidate that one of them gathers.
export async function connectToEcho(a, b, heard = () => {}) {
  for (const [from, to] of [[a, b], [b, a]]) {
    from.onicecandidate = ({ candidate }) => {
      if (!candidate?.candidate) return;
      heard(candidate.candidate);
      to.addIceCandidate(candidate).catch(() => {});
    };
  }
  b.ondatachannel = ({ channel }) => echo(channel);
  const channel = a.createDataChannel('echo');
  await a.setLocalDescription(await a.createOffer());
  await b.setRemoteDescription(a.localDescription);
  await b.setLocalDescription(await b.createAnswer());
  await a.setRemoteDescription(b.localDescription);
  return channel;
}

// Resolves to the candidates that both sides have gathered, in the form of SDP.
export async function assertEchoOverRelay(RTCPeerConnection, config) {
  const [a, b] = [new RTCPeerConnection(config), new RTCPeerConnection(config)];
  const candidates = [];
  try {
    const channel = await connectToEcho(a, b, (candidate) => candidates.push(candidate));
    await within(opened(channel), 'open data channel').catch((error) => assert.fail(`${error.message}: ICE is ${a.iceConnectionState}, candidates: ${candidates.join('; ')}`));
    // libwebrtc's binding for Node delivers messages in another order if they arrive before a listener is set.
    await assertEchoes(channel, 1);
    await assertEchoes(channel);
    return candidates;
  } finally {
    await Promise.all([a.close(), b.close()]);
  }
}
