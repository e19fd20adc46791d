// One end of a data channel with libdatachannel and libjuice: libjuice.mjs offer|answer CONFIG. The class RTCPeerConnection of this package
// writes the credentials into a URL as they are, which a colon in the username breaks.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';

const { PeerConnection } = createRequire(new URL('../../interop/', import.meta.url))('node-datachannel');
const [role, text] = process.argv.slice(2);
const { host: hostname, port, username, credential: password } = JSON.parse(text);
const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);

const pc = new PeerConnection(role, { iceServers: [{ hostname, port, username, password, relayType: 'TurnUdp' }], iceTransportPolicy: 'relay' });
const candidates = [];
pc.onLocalDescription((sdp, type) => say({ sdp, type }));
pc.onLocalCandidate((candidate, mid) => {
  candidates.push(candidate);
  say({ candidate, mid });
});
createInterface({ input: process.stdin }).on('line', (line) => {
  const { sdp, type, candidate, mid } = JSON.parse(line);
  if (sdp) pc.setRemoteDescription(sdp, type);
  else pc.addRemoteCandidate(candidate, mid);
});

if (role === 'answer') {
  pc.onDataChannel((channel) => channel.onMessage((bytes) => channel.sendMessageBinary(bytes)));
} else {
  const channel = pc.createDataChannel('echo');
  const payloads = Array.from({ length: 50 }, (_, i) => randomBytes(1 + ((i * 331) % 16_000)));
  let echoed = 0;
  channel.onOpen(() => payloads.forEach((payload) => channel.sendMessageBinary(payload)));
  channel.onMessage((bytes) => {
    assert.ok(payloads[echoed].equals(Buffer.from(bytes)), `payload ${echoed} came back otherwise`);
    echoed += 1;
    if (echoed === payloads.length) say({ done: true, candidates });
  });
}
