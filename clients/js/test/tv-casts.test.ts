// @vitest-environment happy-dom
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Tv, type TvScreen } from '../src/index';
import { FakeServer } from './support/server';
import { arrives, installWebRtc } from './support/webrtc';

const hoisted = vi.hoisted(() => ({ io: (..._: unknown[]): unknown => undefined }));
vi.mock('socket.io-client', () => ({ io: (...args: unknown[]) => hoisted.io(...args) }));

const SCREEN: TvScreen = { width: 1920, height: 1080, codecs: [] };
const pass = (milliseconds = 0) => vi.advanceTimersByTimeAsync(milliseconds);
let server: FakeServer;
let tv: Tv;

async function open(options = {}): Promise<void> {
  tv = new Tv({ server: 'https://cast.example.org', ...options });
  await pass();
}

async function picture(username: string | null): Promise<void> {
  server.socket.hears('CONFIG_FEEDBACK', { config: { iceServers: [] } });
  server.socket.hears('CASTER_JOINED', { username, resumed: false });
  server.socket.hears('CLIENT_OFFER_TO_TV', { type: 'offer', sdp: 'v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\n' });
  await pass();
  arrives(tv);
}

beforeEach(() => {
  vi.useFakeTimers();
  localStorage.clear();
  server = new FakeServer();
  hoisted.io = server.io as never;
  installWebRtc();
});

afterEach(() => {
  tv.close();
  vi.useRealTimers();
});

describe('what a TV says of its screen', () => {
  it('delays the code by a second at most, and is told later', async () => {
    let tell: (screen: TvScreen) => void = () => undefined;
    await open({ screen: new Promise<TvScreen>((resolve) => (tell = resolve)) });
    expect(server.socket.all('TV_INIT')).toEqual([]);
    await pass(1000);
    expect(tv.state).toBe('waiting');
    expect(server.socket.last('TV_INIT')![0]).not.toHaveProperty('screen');
    tell(SCREEN);
    await pass();
    expect(server.socket.all('TV_INIT').length).toBe(2);
    expect(server.socket.last('TV_INIT')![0]).toMatchObject({ code: 'ABC123', screen: SCREEN });
  });

  it('may fail', async () => {
    await open({ screen: Promise.reject(new Error('no')) });
    expect(tv.state).toBe('waiting');
  });
});

describe('who casts', () => {
  it('has a name of one short line, and that of the caster whom it has displaced', async () => {
    await open();
    await picture(`Anna\u202e\n${'x'.repeat(60)}`);
    expect(tv.caster).toEqual({ name: `Anna ${'x'.repeat(35)}`, displaced: null });
    server.socket.hears('CASTER_LEFT', { reason: 'taken_over', username: 'Anna' });
    server.socket.hears('CASTER_JOINED', { username: 'Ben', resumed: false });
    expect(tv.caster).toEqual({ name: 'Ben', displaced: { name: 'Anna' } });
    server.socket.hears('CASTER_LEFT', { reason: 'left', username: 'Ben' });
    server.socket.hears('CASTER_JOINED', { username: 'Eve', resumed: false });
    expect(tv.caster).toEqual({ name: 'Eve', displaced: null });
  });

  it('is still paused when its connection to the server is back, and not in another cast', async () => {
    await open();
    await picture('Anna');
    server.socket.hears('CAST_STATE', { paused: true, sound: false });
    server.socket.hears('CASTER_JOINED', { username: 'Anna', resumed: true });
    expect([tv.paused, tv.sound]).toEqual([true, false]);
    server.socket.hears('CASTER_JOINED', { username: 'Anna', resumed: false });
    expect([tv.paused, tv.sound]).toEqual([false, null]);
  });
});

describe('the end of a cast', () => {
  it.each([
    ['ended', 'ended'],
    ['ended_by_operator', 'ended_by_operator'],
    ['lost', 'lost'],
    ['a_reason_of_a_later_server', 'left'],
  ])('has a reason: %s', async (reason, why) => {
    await open();
    server.socket.hears('CASTER_JOINED', { username: 'Anna', resumed: false });
    const ends: string[] = [];
    tv.on('ended', (end) => ends.push(end.why));
    server.socket.hears('CASTER_LEFT', { reason, username: 'Anna' });
    expect(ends).toEqual([why]);
    expect(tv.state).toBe('waiting');
  });
});

describe('the end of a cast by the TV', () => {
  it('ends a picture whose caster the server does not know any more', async () => {
    await open();
    await picture('Anna');
    const ends: string[] = [];
    tv.on('ended', ({ why }) => ends.push(why));
    server.answers['END_CAST'] = () => ({ ok: false, error: { code: 'no_caster' } });
    await tv.endCast();
    expect(ends).toEqual(['ended']);
    expect(tv.state).toBe('waiting');
  });

  it('asks for a new code, unless the server has changed it by itself', async () => {
    await open();
    await picture('Anna');
    await tv.endCastAndRenew();
    expect(server.socket.all('NEW_CODE').length).toBe(1);
    server.answers['END_CAST'] = () => {
      server.socket.hears('TV_CODE_CHANGED', { code: 'NEW456', resumeToken: 'tv-NEW456', reason: 'cast_ended' });
      return { ok: true };
    };
    await tv.endCastAndRenew();
    expect(server.socket.all('NEW_CODE').length).toBe(1);
    expect(tv.code).toBe('NEW456');
  });
});
