// One end of a data channel, with libraries for Node.js: webrtc.mjs werift|libwebrtc offer|answer CONFIG. turn-clients.mjs, in the
// folder above, says what a driver prints and reads.
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';
import { assertEchoes, echo, opened } from '../../interop/support/webrtc.mjs';

const [library, role, text] = process.argv.slice(2);
const { url, username, credential, transport, family } = JSON.parse(text);
const require = createRequire(new URL('../../interop/', import.meta.url));
const { RTCPeerConnection } = { werift: () => require('werift'), libwebrtc: () => require('@roamhq/wrtc') }[library]();
const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);

const pc = new RTCPeerConnection({
  iceServers: [{ urls: url, username, credential }],
  iceTransportPolicy: 'relay',
  // werift ignores the transport in the URL, and gathers no addresses of IPv6 by default.
  ...(library === 'werift' && { forceTurnTCP: transport !== 'udp', iceUseIpv6: family === 6 }),
});

const candidates = [];
pc.onicecandidate = ({ candidate }) => {
  if (!candidate?.candidate) return;
  candidates.push(candidate.candidate);
  say({ candidate });
};

// A candidate may arrive before the description that it belongs to.
let described;
const description = new Promise((resolve) => {
  described = resolve;
});
createInterface({ input: process.stdin }).on('line', async (line) => {
  const heard = JSON.parse(line);
  if (heard.candidate) {
    await description;
    await pc.addIceCandidate(heard.candidate);
    return;
  }
  await pc.setRemoteDescription(heard.description);
  if (role === 'answer') {
    await pc.setLocalDescription(await pc.createAnswer());
    say({ description: pc.localDescription });
  }
  described();
});

if (role === 'offer') {
  const channel = pc.createDataChannel('echo');
  await pc.setLocalDescription(await pc.createOffer());
  say({ description: pc.localDescription });
  await opened(channel);
  // libwebrtc's binding delivers messages in another order if they arrive before a listener is set.
  await assertEchoes(channel, 1);
  await assertEchoes(channel);
  say({ done: true, candidates });
} else {
  pc.ondatachannel = ({ channel }) => echo(channel);
}
