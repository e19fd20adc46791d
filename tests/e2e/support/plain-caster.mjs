// A caster of a few lines, with every event of its cast at hand: a magenta picture from a canvas and, if wanted, a tone.
import { openPage, until } from './browser.mjs';

// Runs in the page.
function begin({ code, username, sound, patient }) {
  const canvas = document.createElement('canvas');
  [canvas.width, canvas.height] = [320, 180];
  const context = canvas.getContext('2d');
  let tick = 0;
  setInterval(() => {
    tick += 1;
    context.fillStyle = 'rgb(255,0,255)';
    context.fillRect(0, 0, 320, 180);
    context.fillStyle = `hsl(${tick * 9},80%,50%)`;
    context.fillRect(200, 0, 120, 180);
  }, 100);
  const stream = canvas.captureStream(10);
  if (sound) {
    const audio = new AudioContext();
    const [tone, destination] = [audio.createOscillator(), audio.createMediaStreamDestination()];
    tone.connect(destination);
    tone.start();
    stream.addTrack(destination.stream.getAudioTracks()[0]);
  }
  const socket = io();
  const heard = [];
  socket.onAny((event, payload) => heard.push([event, payload]));
  let [pc, config, sender, paused, state] = [null, null, null, false, null];
  const [track] = stream.getVideoTracks();
  const tell = () => state && socket.emit('CAST_STATE', state);
  async function offer() {
    pc?.close();
    pc = new RTCPeerConnection({ ...config, iceTransportPolicy: 'relay' });
    pc.onicecandidate = ({ candidate }) => candidate && socket.emit('RTC_Candidate_Exchange', { iceCandidate: candidate });
    stream.getTracks().forEach((one) => pc.addTrack(one, stream));
    [sender] = pc.getSenders().filter((one) => one.track === track);
    if (paused) await sender.replaceTrack(null);
    await pc.setLocalDescription(await pc.createOffer());
    socket.emit('CLIENT_OFFER_TO_SERVER', pc.localDescription);
  }
  socket.on('CONFIG_FEEDBACK', (payload) => {
    config ??= payload.config;
    if (!pc && !patient) void offer();
  });
  socket.on('TV_ANSWER_TO_CLIENT', (answer) => pc.setRemoteDescription(answer));
  socket.on('RTC_Candidate_Exchange', ({ iceCandidate }) => pc.addIceCandidate(iceCandidate));
  socket.on('TV_BACK', () => {
    tell();
    void offer();
  });
  const joined = new Promise((resolve) => socket.emit('JOIN_ROOM', code, { username }, resolve));
  window.plain = {
    joined,
    heard: (event) => heard.filter(([name]) => name === event).map(([, payload]) => payload ?? null),
    pause: async (now) => {
      paused = now;
      tell((state = { paused: now, sound: Boolean(sound) }));
      await sender.replaceTrack(now ? null : track);
    },
    sound: (now) => tell((state = { paused, sound: now })),
    leave: () => new Promise((resolve) => socket.emit('LEAVE_ROOM', resolve)),
  };
}

// `patient`: it joins and sends no offer.
export async function startPlainCast(browser, server, code, { username, sound = false, patient = false } = {}) {
  const page = await openPage(browser, `${server.url}/`);
  await page.addScriptTag({ url: `${server.url}/socket.io/socket.io.js` });
  await page.evaluate(begin, { code, username, sound, patient });
  const joined = await page.evaluate(() => window.plain.joined);
  if (!joined.ok) throw new Error(`not joined: ${JSON.stringify(joined)}`);
  return {
    page,
    joined,
    do: (method, ...args) => page.evaluate(([name, given]) => window.plain[name](...given), [method, args]),
    hears: (event) => until(`the caster hears ${event}`, () => page.evaluate((name) => window.plain.heard(name), event), ({ length }) => length > 0),
  };
}
