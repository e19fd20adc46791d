// The largest session descriptions: every codec with its resiliency formats, simulcast, many sections and all candidates.
import wrtc from '@roamhq/wrtc';

// Sizes of descriptions that must pass, in KiB.
export const LARGE = [50, 100, 250, 256];

const CODECS = ['VP8/90000', 'VP9/90000', 'H264/90000', 'AV1/90000', 'H265/90000', 'flexfec-03/90000', 'red/90000', 'ulpfec/90000'];
const PROFILES = ['profile-id=0', 'profile-id=1', 'level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f', 'level-idx=5;profile=0;tier=0'];

function section(mid) {
  const lines = ['m=video 9 UDP/TLS/RTP/SAVPF 96 97 98 99 100 101 102 103', 'c=IN IP4 0.0.0.0', `a=mid:${mid}`, 'a=ice-ufrag:4ZcD', 'a=ice-pwd:2/1muCWoOi3uLifh0NuRHlgr'];
  CODECS.forEach((codec, i) => {
    lines.push(`a=rtpmap:${96 + i} ${codec}`, `a=fmtp:${96 + i} ${PROFILES[i % PROFILES.length]}`);
    for (const feedback of ['goog-remb', 'transport-cc', 'ccm fir', 'nack', 'nack pli']) lines.push(`a=rtcp-fb:${96 + i} ${feedback}`);
  });
  for (const rid of ['q', 'h', 'f']) lines.push(`a=rid:${rid} send`);
  lines.push('a=simulcast:send q;h;f');
  for (let i = 0; i < 30; i += 1) lines.push(`a=candidate:${mid}${i} 1 udp 2122260223 2001:db8::${mid}:${i} 5${String(i).padStart(4, '0')} typ host generation 0 network-id ${i}`);
  return `${lines.join('\r\n')}\r\n`;
}

// A description of exactly so many KiB of text.
export function sdpOf(type, kib) {
  let sdp = 'v=0\r\no=- 4611731400430051336 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n';
  for (let mid = 0; sdp.length < kib * 1024; mid += 1) sdp += section(mid);
  return { type, sdp: `${sdp.slice(0, kib * 1024 - 2).replace(/[\r\n]/g, (end, at) => (at > kib * 1024 - 6 ? ' ' : end))}\r\n` };
}

// An offer of Chrome's engine with 30 videos.
export async function session() {
  const connection = new wrtc.RTCPeerConnection();
  for (let i = 0; i < 30; i += 1) connection.addTransceiver('video');
  const { type, sdp } = await connection.createOffer();
  connection.close();
  return { type, sdp };
}
