// A call of werift over the relay that lasts until the process is ended: node support/werift-call.mjs CONFIG prints how many messages have
// come back.
import { RTCPeerConnection } from 'werift';
import { connectToEcho, opened } from './webrtc.mjs';

const config = JSON.parse(process.argv[2]);
const [a, b] = [new RTCPeerConnection(config), new RTCPeerConnection(config)];
const channel = await connectToEcho(a, b);
await opened(channel);
let count = 0;
channel.onmessage = () => {
  count += 1;
  console.log(`count ${count}`);
};
setInterval(() => channel.send(Buffer.from('here')), 250);
