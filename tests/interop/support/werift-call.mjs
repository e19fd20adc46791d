// A call of werift over the relay that lasts until the process is ended: node support/werift-call.mjs CONFIG prints how many messages have
// come back.
import { RTCPeerConnection } from 'werift';
import { echo, opened } from './webrtc.mjs';

const config = JSON.parse(process.argv[2]);
const [a, b] = [new RTCPeerConnection(config), new RTCPeerConnection(config)];
for (const [from, to] of [[a, b], [b, a]]) {
  from.onicecandidate = ({ candidate }) => candidate?.candidate && to.addIceCandidate(candidate).catch(() => {});
}
b.ondatachannel = ({ channel }) => echo(channel);
const channel = a.createDataChannel('call');
await a.setLocalDescription(await a.createOffer());
await b.setRemoteDescription(a.localDescription);
await b.setLocalDescription(await b.createAnswer());
await a.setRemoteDescription(b.localDescription);
await opened(channel);
let count = 0;
channel.onmessage = () => {
  count += 1;
  console.log(`count ${count}`);
};
setInterval(() => channel.send(Buffer.from('here')), 250);
