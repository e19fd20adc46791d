// One cast between two RTCPeerConnections, without a server: what the encoders and the bandwidth estimation do by themselves.
import { watch } from './meter.mjs';
import { slowNetwork } from './network.mjs';

async function offer(row) {
  const { frameRate = 30, width, height } = row;
  const stream = await navigator.mediaDevices.getDisplayMedia({ video: { frameRate: { ideal: frameRate, max: frameRate }, width: { max: width }, height: { max: height } } });
  const [track] = stream.getVideoTracks();
  if (row.hint !== undefined) track.contentHint = row.hint;
  const pc = (window.pc = new RTCPeerConnection());
  window.candidates = [];
  pc.onicecandidate = ({ candidate }) => candidate?.protocol === 'udp' && window.candidates.push(candidate.toJSON());
  const transceiver = pc.addTransceiver(track, { direction: 'sendonly', streams: [stream] });
  if (row.codec) {
    const { codecs } = RTCRtpSender.getCapabilities('video');
    const wanted = codecs.filter(({ mimeType, sdpFmtpLine = '' }) => mimeType === `video/${row.codec}` && (!row.fmtp || sdpFmtpLine.includes(row.fmtp)));
    if (!wanted.length) return null;
    transceiver.setCodecPreferences([...wanted, ...codecs.filter(({ mimeType }) => /rtx|red|ulpfec/.test(mimeType))]);
  }
  window.transceiver = transceiver;
  await pc.setLocalDescription(await pc.createOffer());
  return pc.localDescription.sdp;
}

async function answer(sdp) {
  const pc = (window.pc = new RTCPeerConnection());
  window.candidates = [];
  pc.onicecandidate = ({ candidate }) => candidate?.protocol === 'udp' && window.candidates.push(candidate.toJSON());
  pc.ontrack = ({ streams }) => {
    const video = document.querySelector('video');
    video.srcObject = streams[0];
  };
  await pc.setRemoteDescription({ type: 'offer', sdp });
  await pc.setLocalDescription(await pc.createAnswer());
  return pc.localDescription.sdp;
}

async function accept({ sdp, row }) {
  const { sender } = window.transceiver;
  await window.pc.setRemoteDescription({ type: 'answer', sdp });
  const parameters = sender.getParameters();
  Object.assign(parameters.encodings[0], row.encoding);
  if (row.degradation) parameters.degradationPreference = row.degradation;
  await sender.setParameters(parameters);
}

// libwebrtc reads these from the remote description's codecs.
function withBitrates(sdp, { start, min, max }) {
  const fields = [start && `x-google-start-bitrate=${start}`, min && `x-google-min-bitrate=${min}`, max && `x-google-max-bitrate=${max}`].filter(Boolean).join(';');
  if (!fields) return sdp;
  const types = [...sdp.matchAll(/^a=rtpmap:(\d+) (?:VP8|VP9|AV1|H264|H265)\//gm)].map(([, type]) => type);
  return types.reduce((text, type) => {
    const fmtp = new RegExp(`^a=fmtp:${type} .*$`, 'm');
    return fmtp.test(text) ? text.replace(fmtp, (line) => `${line};${fields}`) : text.replace(new RegExp(`^(a=rtpmap:${type} .*)$`, 'm'), `$1\r\na=fmtp:${type} ${fields}`);
  }, sdp);
}

const candidatesOf = async (page) => {
  await page.waitForFunction(() => window.pc.iceGatheringState === 'complete');
  return (await page.evaluate(() => window.candidates)).filter(({ candidate }) => / (?:\d+\.){3}\d+ \d+ typ host/.test(candidate));
};

async function connect(sender, receiver, shape) {
  const [mine] = await candidatesOf(sender);
  const [theirs] = await candidatesOf(receiver);
  const add = (page, init, port) => page.evaluate(([candidate, at]) => {
    const fields = candidate.candidate.split(' ');
    if (at) fields.splice(4, 2, '127.0.0.1', String(at));
    return window.pc.addIceCandidate({ ...candidate, candidate: fields.join(' ') });
  }, [init, port]);
  const network = shape && (await slowNetwork(shape));
  // The sender sees the network's side 0, and the receiver its side 1.
  await add(sender, theirs, network?.ports[0]);
  await add(receiver, mine, network?.ports[1]);
  return network;
}

export async function castPair(bench, slides, row, measured) {
  const sender = await bench.page();
  const receiver = await bench.page();
  let network;
  try {
    const made = await sender.evaluate(offer, row);
    if (!made) return null;
    const sdp = await receiver.evaluate(answer, made);
    await sender.evaluate(accept, { sdp: withBitrates(sdp, row.sdp ?? {}), row });
    await watch(receiver, slides.source);
    network = await connect(sender, receiver, row.network);
    return await measured({ sender, receiver });
  } finally {
    network?.close();
    await sender.context().close();
    await receiver.context().close();
  }
}
