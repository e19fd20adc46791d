import { describe, expect, it } from 'vitest';
import { withStartBitrate } from '../src/start-bitrate';

const AUDIO = ['m=audio 9 UDP/TLS/RTP/SAVPF 111', 'a=rtpmap:111 opus/48000/2', 'a=fmtp:111 minptime=10;useinbandfec=1'];
const VIDEO = [
  'm=video 9 UDP/TLS/RTP/SAVPF 96 97 98 45',
  'a=rtpmap:96 VP8/90000',
  'a=rtcp-fb:96 nack pli',
  'a=rtpmap:97 rtx/90000',
  'a=fmtp:97 apt=96',
  'a=rtpmap:98 VP9/90000',
  'a=fmtp:98 profile-id=0',
  'a=rtpmap:45 AV1/90000',
  'a=fmtp:45 level-idx=5;profile=0;tier=0',
];
const DATA = ['m=application 9 UDP/DTLS/SCTP webrtc-datachannel', 'a=sctp-port:5000'];
const HEAD = ['v=0', 'o=- 1 2 IN IP4 127.0.0.1', 's=-', 't=0 0'];
const text = (lines: string[], end = '\r\n') => lines.map((line) => line + end).join('');
const sdp = text([...HEAD, ...AUDIO, ...VIDEO, ...DATA]);

describe('the start bit rate', () => {
  it('is in the format parameters of each video codec', () => {
    const lines = withStartBitrate(sdp, 4000).split('\r\n');
    expect(lines).toContain('a=fmtp:96 x-google-start-bitrate=4000');
    expect(lines).toContain('a=fmtp:98 profile-id=0;x-google-start-bitrate=4000');
    expect(lines).toContain('a=fmtp:45 level-idx=5;profile=0;tier=0;x-google-start-bitrate=4000');
    expect(lines[lines.indexOf('a=rtpmap:96 VP8/90000') + 1]).toBe('a=fmtp:96 x-google-start-bitrate=4000');
  });

  it('leaves everything else as it is', () => {
    const changed = withStartBitrate(sdp, 4000).split('\r\n');
    const untouched = sdp.split('\r\n').filter((line) => !/^a=fmtp:(98|45) /.test(line));
    expect(changed.filter((line) => line.indexOf('x-google') < 0)).toEqual(untouched);
    expect(changed).toContain('a=fmtp:97 apt=96');
    expect(changed).toContain('a=fmtp:111 minptime=10;useinbandfec=1');
  });

  it('changes nothing when it is applied again, and replaces an earlier rate', () => {
    const once = withStartBitrate(sdp, 4000, 8000);
    expect(withStartBitrate(once, 4000, 8000)).toBe(once);
    expect(withStartBitrate(once, 2500)).toBe(withStartBitrate(sdp, 2500));
  });

  it('is never above the ceiling', () => {
    expect(withStartBitrate(sdp, 4000, 1500)).toContain('a=fmtp:96 x-google-start-bitrate=1500;x-google-max-bitrate=1500\r\n');
  });

  it('keeps the line ends', () => {
    const unix = text([...HEAD, ...VIDEO], '\n');
    expect(withStartBitrate(unix, 4000)).not.toContain('\r');
    expect(withStartBitrate(unix, 4000).split('\n').length).toBe(unix.split('\n').length + 1);
  });

  it('leaves a description without video, and one without a rate, alone', () => {
    const sound = text([...HEAD, ...AUDIO]);
    expect(withStartBitrate(sound, 4000)).toBe(sound);
    expect(withStartBitrate(sdp, 0)).toBe(sdp);
    expect(withStartBitrate(sdp, Number.NaN)).toBe(sdp);
    expect(withStartBitrate('', 4000)).toBe('');
  });
});
