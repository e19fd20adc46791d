// The candidates that libwebrtc gathers with a configuration, as on the page "Trickle ICE": node support/gather.mjs CONFIG prints the first
// relayed one.
import wrtc from '@roamhq/wrtc';
import { within } from './wait.mjs';

const pc = new wrtc.RTCPeerConnection(JSON.parse(process.argv[2]));
const relayed = new Promise((resolve) => {
  pc.onicecandidate = ({ candidate }) => candidate?.candidate.includes(' typ relay ') && resolve(candidate.candidate);
});
pc.createDataChannel('trickle');
await pc.setLocalDescription(await pc.createOffer());
process.stdout.write(`${await within(relayed, 'relayed candidate')}\n`, () => process.exit(0));
