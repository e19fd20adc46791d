// @vitest-environment happy-dom
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Tv, type TvEvents } from '../src/index';
import { FakeServer } from './support/server';
import { arrives, FakePeerConnection, FakeStream, FakeTrack, installWebRtc } from './support/webrtc';

const hoisted = vi.hoisted(() => ({ io: (..._: unknown[]): unknown => undefined }));
vi.mock('socket.io-client', () => ({ io: (...args: unknown[]) => hoisted.io(...args) }));

const CONFIG = { config: { iceServers: [{ urls: ['turn:cast.example.org:3478?transport=udp'], username: 'u', credential: 'c' }] } };
const offer = (session: number, version = 1) => ({ type: 'offer', sdp: `v=0\r\no=- ${session} ${version} IN IP4 127.0.0.1\r\na=extmap-allow-mixed\r\na=ice-ufrag:f${session}\r\n` });
let server: FakeServer;
const open: Tv[] = [];

async function waiting(options = {}): Promise<Tv> {
  const tv = new Tv({ server: 'https://cast.example.org', ...options });
  open.push(tv);
  await pass();
  server.socket.hears('CONFIG_FEEDBACK', CONFIG);
  await pass();
  return tv;
}

const pass = (milliseconds = 0) => vi.advanceTimersByTimeAsync(milliseconds);

/** A caster joins and its picture arrives. */
async function playing(session = 1): Promise<Tv> {
  const tv = await waiting();
  await begins(tv, session);
  return tv;
}

async function begins(tv: Tv, session: number): Promise<FakePeerConnection> {
  server.socket.hears('CASTER_JOINED', { username: 'Anna', resumed: false });
  server.socket.hears('CLIENT_OFFER_TO_TV', offer(session));
  await pass();
  return arrives(tv);
}

function record(tv: Tv): { [Name in keyof TvEvents]: TvEvents[Name][] } {
  const seen = { change: [], state: [], code: [], stream: [], caster: [], ended: [] } as { [Name in keyof TvEvents]: TvEvents[Name][] };
  (Object.keys(seen) as (keyof TvEvents)[]).forEach((name) => tv.on(name, (value) => (seen[name] as unknown[]).push(value)));
  return seen;
}

beforeEach(() => {
  vi.useFakeTimers();
  localStorage.clear();
  server = new FakeServer();
  hoisted.io = server.io as never;
  installWebRtc();
});

afterEach(() => {
  open.splice(0).forEach((tv) => tv.close());
  vi.useRealTimers();
});

describe('a TV', () => {
  it('asks for a code with its name and what it can show', async () => {
    const screen = { width: 1920, height: 1080, codecs: [] };
    const tv = await waiting({ name: 'Kitchen', screen });
    expect(tv.code).toBe('ABC123');
    expect(tv.state).toBe('waiting');
    expect(server.socket.last('TV_INIT')![0]).toMatchObject({ name: 'Kitchen', screen, live: false, casting: false, understands: ['TV_CODE_CHANGED'] });
  });

  it('shows its old code at once, and asks for it with its token', async () => {
    await waiting();
    const again = new Tv({});
    open.push(again);
    expect(again.code).toBe('ABC123');
    expect(again.online).toBe(false);
    await pass();
    expect(server.socket.last('TV_INIT')![0]).toMatchObject({ resumeToken: 'tv-ABC123', code: 'ABC123' });
  });

  it('answers an offer with its candidates, and tells when the picture is there', async () => {
    const tv = await waiting();
    const seen = record(tv);
    server.socket.hears('RTC_Candidate_Exchange', { iceCandidate: { candidate: 'candidate:1 1 udp 1 192.0.2.1 1 typ host' } });
    const pc = await begins(tv, 1);
    expect(pc.remote?.sdp).not.toMatch(/extmap-allow-mixed/);
    expect(pc.candidates).toHaveLength(1);
    expect(server.socket.last('TV_ANSWER_TO_SERVER')![0]).toMatchObject({ type: 'answer', inReplyTo: '- 1 1' });
    expect(seen.state).toEqual(['starting', 'playing']);
    expect(seen.caster).toEqual([{ name: 'Anna', displaced: null }]);
    expect(seen.stream).toHaveLength(1);
  });

  it('keeps the picture until that of the next connection is there', async () => {
    const tv = await playing(1);
    const first = FakePeerConnection.last;
    const seen = record(tv);
    server.socket.hears('CLIENT_OFFER_TO_TV', offer(2));
    await pass();
    expect(FakePeerConnection.all).toHaveLength(2);
    expect(first.closed).toBe(false);
    FakePeerConnection.last.ontrack?.({ streams: [new FakeStream([new FakeTrack('video')])] });
    FakePeerConnection.last.ice('connected');
    expect(first.closed).toBe(true);
    expect(seen.stream).toHaveLength(1);
    expect(tv.state).toBe('playing');
  });

  it('negotiates a later offer of the same session on the same connection', async () => {
    await playing(1);
    server.socket.hears('CLIENT_OFFER_TO_TV', offer(1, 2));
    await pass();
    expect(FakePeerConnection.all).toHaveLength(1);
    expect(server.socket.last('TV_ANSWER_TO_SERVER')![0]).toMatchObject({ inReplyTo: '- 1 2' });
  });

  it('follows pauses and the sound of its caster', async () => {
    const tv = await playing();
    expect([tv.paused, tv.sound]).toEqual([false, null]);
    server.socket.hears('CAST_STATE', { paused: true, sound: false });
    expect([tv.paused, tv.sound]).toEqual([true, false]);
    server.socket.hears('CASTER_LEFT', { reason: 'left' });
    expect([tv.paused, tv.sound, tv.state]).toEqual([false, null, 'waiting']);
  });

  it.each([['left'], ['lost'], ['ended'], ['taken_over']] as const)('ends the picture when its caster is %s', async (reason) => {
    const tv = await playing();
    FakePeerConnection.last.ice('disconnected');
    const seen = record(tv);
    server.socket.hears('CASTER_LEFT', { reason });
    expect(seen.ended).toEqual([{ why: reason, failure: null }]);
    expect(tv.takeover).toBe(reason === 'taken_over');
    expect(FakePeerConnection.last.closed).toBe(true);
  });

  it('keeps a picture that works when only the signaling of its caster is lost', async () => {
    const tv = await playing();
    server.socket.hears('CASTER_LEFT', { reason: 'lost' });
    expect(tv.state).toBe('playing');
    FakePeerConnection.last.ice('disconnected');
    await pass(4100);
    expect(tv.state).toBe('waiting');
  });

  it('keeps the picture over an interruption, and says so when it comes back', async () => {
    const tv = await playing();
    server.socket.drop();
    expect([tv.online, tv.state]).toEqual([false, 'playing']);
    server.socket.connect();
    await pass();
    expect(server.socket.last('TV_INIT')![0]).toMatchObject({ live: true, casting: true, resumeToken: 'tv-ABC123' });
  });

  it('gets a new code, and keeps the token of it', async () => {
    const tv = await waiting();
    const seen = record(tv);
    expect(await tv.newCode()).toEqual({ ok: true });
    server.socket.hears('TV_CODE_CHANGED', { code: 'NEW456', resumeToken: 'tv-NEW456', reason: 'asked' });
    expect(seen.code).toEqual([{ code: 'NEW456', reason: 'asked' }]);
    server.socket.drop();
    server.socket.connect();
    await pass();
    expect(server.socket.last('TV_INIT')![0]).toMatchObject({ resumeToken: 'tv-NEW456', code: 'NEW456' });
  });

  it('ends a cast by request', async () => {
    const tv = await playing();
    expect(await tv.endCast()).toEqual({ ok: true });
    expect(server.socket.all('END_CAST')).toHaveLength(1);
  });

  it('waits where the server has no place, and asks again after the time that it names', async () => {
    server.answers['TV_INIT'] = () => ({ ok: false, error: { code: 'rate_limited', retryAfter: 7 } });
    const tv = await waiting();
    expect(tv.refused).toMatchObject({ code: 'rate_limited' });
    await pass(6900);
    expect(server.socket.all('TV_INIT')).toHaveLength(1);
    await pass(200);
    expect(server.socket.all('TV_INIT')).toHaveLength(2);
  });

  it('stands back for another window, until it is taken back', async () => {
    const tv = await playing();
    server.socket.hears('CAST_REPLACED', {});
    expect(tv.state).toBe('replaced');
    server.socket.hears('CLIENT_OFFER_TO_TV', offer(9));
    await pass();
    expect(FakePeerConnection.all).toHaveLength(1);
    tv.takeBack();
    await pass();
    expect(server.socket.all('TV_INIT')).toHaveLength(2);
    expect(tv.state).toBe('waiting');
  });

  it('says that the browser has no WebRTC', async () => {
    Object.assign(globalThis, { RTCPeerConnection: undefined });
    const tv = new Tv({});
    expect(tv.state).toBe('unsupported');
    expect(server.sockets).toEqual([]);
    expect(await tv.newCode()).toMatchObject({ ok: false });
    tv.close();
  });

  it('leaves no timer and no listener', async () => {
    const tv = await playing();
    tv.close();
    await pass(5000);
    expect(vi.getTimerCount()).toBe(0);
    expect(FakePeerConnection.last.closed).toBe(true);
  });
});

describe('what a stranger sends', () => {
  const EVENTS = ['TV_INIT_OK', 'TV_WAITING', 'TV_CODE_CHANGED', 'RESUME_TOKEN', 'CONFIG_FEEDBACK', 'CASTER_JOINED', 'CASTER_AWAY', 'CAST_STATE',
    'CLIENT_OFFER_TO_TV', 'CAST_VERDICT', 'RTC_Candidate_Exchange', 'CASTER_LEFT'];
  const PAYLOADS: unknown[] = [undefined, null, 0, [], {}, { config: { iceServers: [null, 1] } }, { iceCandidate: { candidate: 1 } }, { sdp: 5 },
    { offer: { offer: { sdp: {} } } }, { resumeToken: {} }, { code: {} }, { username: {} }, { side: 7, code: [] }, JSON.parse('{"__proto__": {"sdp": "v=0"}}')];

  it('never throws, and never takes the code', async () => {
    const tv = await waiting();
    for (const event of EVENTS) {
      for (const payload of PAYLOADS) expect(() => server.socket.hears(event, payload), `${event} ${JSON.stringify(payload)}`).not.toThrow();
      await pass(10);
    }
    expect(tv.code).toBe('ABC123');
    expect(JSON.parse(localStorage.getItem('castway.tv')!)).toEqual({ resumeToken: 'tv-ABC123', code: 'ABC123' });
    await begins(tv, 1);
    expect(tv.state).toBe('playing');
  });
});
