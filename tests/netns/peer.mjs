// A TV or a caster in a home that uses our signaling: peer.mjs tv URL | caster URL CODE. A further argument selects the ICE servers: "stun"
// or "turn" for servers of that scheme only, or "turns" for those servers and for relayed candidates only. The implementation is
// libwebrtc, or werift with "turns", since werift accepts our certificate authority. Prints one JSON object on each line: {code}, and at
// the end {pair} with the selected candidates, or {failed} with ICE's state. It fails after a minute, or after 20 s with "soon", which is
// for tests that expect the failure.
import { createRequire } from 'node:module';
import { TIMEOUT_MS, until, within } from '../interop/support/wait.mjs';
import { assertEchoes, echo, opened } from '../interop/support/webrtc.mjs';

const require = createRequire(new URL('../interop/', import.meta.url));
const { io } = require('socket.io-client-4');

const [role, url, ...more] = process.argv.slice(2);
const scheme = ['stun', 'turn', 'turns'].find((word) => more.includes(word));
const { RTCPeerConnection } = require(scheme === 'turns' ? 'werift' : '@roamhq/wrtc');
const say = (message) => process.stdout.write(`${JSON.stringify(message)}\n`);
const end = (message) => process.stdout.write(`${JSON.stringify(message)}\n`, () => process.exit(0));

const socket = io(url, { transports: ['websocket'] });
socket.on('connect_error', ({ message, description }) => {
  console.error(message, description?.message);
  process.exit(1);
});
const configured = new Promise((resolve) => socket.once('CONFIG_FEEDBACK', ({ config }) => resolve(config)));

async function connection() {
  const { iceServers } = await within(configured, 'CONFIG_FEEDBACK');
  const pc = new RTCPeerConnection({
    iceServers: iceServers.filter(({ urls }) => !scheme || urls.startsWith(`${scheme}:`)),
    iceTransportPolicy: scheme === 'turns' ? 'relay' : 'all',
  });
  pc.onicecandidate = ({ candidate }) => candidate && socket.emit('RTC_Candidate_Exchange', { iceCandidate: candidate });
  return pc;
}

// Candidates may arrive before the description, so they are kept from the start.
const candidates = [];
socket.on('RTC_Candidate_Exchange', ({ iceCandidate }) => candidates.push(iceCandidate));

function listen(pc) {
  const add = (candidate) => pc.addIceCandidate(candidate).catch(() => {});
  candidates.forEach(add);
  socket.on('RTC_Candidate_Exchange', ({ iceCandidate }) => add(iceCandidate));
  // The relay's host has no route to this candidate. Only this candidate may fail.
  add({ candidate: 'candidate:9 1 udp 2122260223 8.8.8.8 9 typ host', sdpMid: '0', sdpMLineIndex: 0 });
}

// While the nominated pair is being checked again, its state is "in-progress".
async function selected(pc) {
  const isSelected = ({ type, nominated, state }) => type === 'candidate-pair' && nominated && state === 'succeeded';
  const pairOf = (stats) => [...stats.values()].find(isSelected);
  const all = await until('a nominated pair', async () => new Map(await pc.getStats()), pairOf);
  const pair = pairOf(all);
  const of = (id) => {
    const { candidateType, relayProtocol, url: from } = all.get(id);
    return { type: candidateType, relayProtocol, url: from };
  };
  return { local: of(pair.localCandidateId), remote: of(pair.remoteCandidateId) };
}

if (role === 'tv') {
  socket.once('TV_INIT_OK', (code) => say({ code }));
  socket.once('CLIENT_OFFER_TO_TV', async (offer) => {
    const pc = await connection();
    pc.ondatachannel = ({ channel }) => {
      echo(channel);
      channel.onclose = () => process.exit(0);
    };
    await pc.setRemoteDescription(offer);
    listen(pc);
    await pc.setLocalDescription(await pc.createAnswer());
    socket.emit('TV_ANSWER_TO_SERVER', pc.localDescription);
  });
  socket.emit('TV_INIT');
} else {
  socket.emit('JOIN_ROOM', more[0]);
  const pc = await connection();
  const channel = pc.createDataChannel('echo');
  await pc.setLocalDescription(await pc.createOffer());
  socket.once('TV_ANSWER_TO_CLIENT', async (answer) => {
    await pc.setRemoteDescription(answer);
    listen(pc);
  });
  socket.emit('CLIENT_OFFER_TO_SERVER', pc.localDescription);
  const late = setTimeout(() => end({ failed: pc.iceConnectionState }), more.includes('soon') ? 20_000 : TIMEOUT_MS);
  await opened(channel);
  clearTimeout(late);
  await assertEchoes(channel, 1);
  for (let i = 0; i < 3; i += 1) await assertEchoes(channel);
  end({ pair: await selected(pc) });
}
