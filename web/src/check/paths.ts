import { until } from '@castway/client/parts';
import { t } from '../lib/i18n';
import type { PathTest } from './api';
import { close, GATHER_TIMEOUT_MS, open, parse, sendOffer } from './peers';
import type { Row } from './rows';

/** What came of one URL, as the server reads it. */
export interface PathResult {
  kind: string;
  url: string;
  ms: number | null;
  code: number | null;
  text: string | null;
  unsupported: boolean;
}

const MAX_TEXT_CHARS = 100;
const NO_ANSWER = 701;

/** Firefox sends nothing to a `turns:` URL with an address. */
function isUnsupported(path: PathTest): boolean {
  return /Firefox\//.test(navigator.userAgent) && /^turns:(\[|\d+(\.\d+){3}:)/.test(path.url);
}

/** An interface of the other family can't reach this server; that says nothing of the path. */
function isOfOtherFamily(text: string): boolean {
  return /incompatible|not compatible|address family/i.test(text);
}

/** Tests one URL with a connection of its own. */
async function test(path: PathTest): Promise<PathResult> {
  const found: PathResult = { kind: path.kind, url: path.url.slice(0, 200), ms: null, code: null, text: null, unsupported: false };
  const server: RTCIceServer = { urls: path.url };
  if (path.username) [server.username, server.credential] = [path.username, path.credential || ''];
  const isStun = path.kind === 'stun';
  const pc = isUnsupported(path) ? null : open({ iceServers: [server], iceTransportPolicy: isStun ? 'all' : 'relay' });
  if (!pc) return { ...found, unsupported: true };
  const began = performance.now();
  const wanted = isStun ? 'srflx' : 'relay';
  let complete = false;
  pc.onicecandidate = ({ candidate }) => {
    const seen = candidate && candidate.candidate ? parse(candidate.candidate) : null;
    if (!candidate) complete = true;
    else if (seen && seen.type === wanted && found.ms === null) found.ms = Math.max(1, Math.round(performance.now() - began));
  };
  pc.addEventListener('icecandidateerror', (event) => {
    const { errorCode, errorText } = event as RTCPeerConnectionIceErrorEvent;
    if (typeof errorCode !== 'number' || errorCode < 300 || errorCode > 799) return;
    if (errorCode === NO_ANSWER && (isOfOtherFamily(errorText || '') || found.code !== null)) return;
    found.code = errorCode;
    found.text = (errorText || '').replace(/[^\x20-\x7e]/g, ' ').slice(0, MAX_TEXT_CHARS);
  });
  try {
    pc.createDataChannel('check');
    await sendOffer(pc);
    await until(() => found.ms !== null || complete || pc.iceGatheringState === 'complete', GATHER_TIMEOUT_MS);
  } catch {
    found.unsupported = true;
  }
  close(pc);
  return found;
}

function show(row: Row, { kind, ms, code, text, unsupported }: PathResult): void {
  if (ms !== null) return row.set('ok', t.checkMs(ms));
  if (unsupported) return row.set('untested', '', kind === 'stun' ? t.checkStunSame : t.checkUnsupported);
  row.set('failed', '', code === null || code === NO_ANSWER ? t.checkNoAnswer : t.checkRefused(code, text || ''));
}

/** Tests all URLs at once. */
export async function testPaths(paths: PathTest[], rows: Row[]): Promise<PathResult[]> {
  const tests = paths.map(async (path, at) => {
    rows[at]!.set('running');
    const found = await test(path);
    if (path.kind !== 'stun') show(rows[at]!, found);
    return found;
  });
  const results = await Promise.all(tests);
  const udpWorks = results.some((found) => found.kind === 'udp' && found.ms !== null);
  results.forEach((found, at) => {
    if (found.kind !== 'stun') return;
    // A device without NAT has no other address than its own, and browsers then show no candidate.
    if (found.ms === null && udpWorks) found.unsupported = true;
    show(rows[at]!, found);
  });
  return results;
}
