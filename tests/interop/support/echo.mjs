// Runs assertEchoOverRelay in a process of its own, since the libraries leave sockets and timers that would keep a process alive:
// node support/echo.mjs werift|libwebrtc CONFIG prints the candidates.
import { assertEchoOverRelay } from './webrtc.mjs';

const [library, config] = process.argv.slice(2);
const { RTCPeerConnection } = library === 'werift' ? await import('werift') : (await import('@roamhq/wrtc')).default;
const candidates = await assertEchoOverRelay(RTCPeerConnection, JSON.parse(config));
process.stdout.write(`${candidates.join('\n')}\n`, () => process.exit(0));
