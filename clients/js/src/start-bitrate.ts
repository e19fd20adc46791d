/** The bit rate that the bandwidth estimation of Chromium begins with, which is 300 kbit/s otherwise: blurred for seconds. */

const VIDEO_CODECS = /^a=rtpmap:(\d+) (?:VP8|VP9|AV1|H264|H265)\//i;
const OWN_FIELDS = /^x-google-(?:start|max)-bitrate=/i;

function withFields(fmtp: string, fields: string[]): string {
  const space = fmtp.indexOf(' ');
  const kept = fmtp
    .slice(space + 1)
    .split(';')
    .map((field) => field.trim())
    .filter((field) => field !== '' && !OWN_FIELDS.test(field));
  return `${fmtp.slice(0, space)} ${kept.concat(fields).join(';')}`;
}

function inVideo(lines: string[], fields: string[]): string[] {
  const types: Record<string, boolean> = {};
  const described: Record<string, boolean> = {};
  lines.forEach((line) => {
    const codec = VIDEO_CODECS.exec(line);
    if (codec) types[codec[1]!] = true;
    const fmtp = /^a=fmtp:(\d+) /.exec(line);
    if (fmtp) described[fmtp[1]!] = true;
  });
  const result: string[] = [];
  lines.forEach((line) => {
    const fmtp = /^a=fmtp:(\d+) /.exec(line);
    result.push(fmtp && types[fmtp[1]!] ? withFields(line, fields) : line);
    const codec = VIDEO_CODECS.exec(line);
    if (codec && !described[codec[1]!]) result.push(`a=fmtp:${codec[1]!} ${fields.join(';')}`);
  });
  return result;
}

/**
 * The answer of the TV, with the bit rates that the caster's engine reads from the remote description. Other engines than Chromium's
 * ignore them. Applying it twice changes nothing more; sections other than video stay as they are.
 */
export function withStartBitrate(sdp: string, startKbps: number, maxKbps: number | null = null): string {
  const max = maxKbps && maxKbps > 0 ? Math.round(maxKbps) : 0;
  const start = Math.round(max ? Math.min(startKbps, max) : startKbps);
  if (!(start > 0)) return sdp;
  const fields = [`x-google-start-bitrate=${start}`].concat(max ? [`x-google-max-bitrate=${max}`] : []);
  const end = sdp.indexOf('\r\n') >= 0 ? '\r\n' : '\n';
  const sections = sdp.split(/^(?=m=)/m);
  return sections
    .map((section) => (/^m=video /.test(section) ? inVideo(section.split(/\r?\n/), fields).join(end) : section))
    .join('');
}
