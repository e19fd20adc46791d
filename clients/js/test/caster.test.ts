// @vitest-environment happy-dom
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Caster, castTo, signIn, type CastProblem } from '../src/index';
import { FakeServer } from './support/server';
import { FakePeerConnection, FakeStream, FakeTrack, installWebRtc, screen } from './support/webrtc';

const hoisted = vi.hoisted(() => ({ io: (..._: unknown[]): unknown => undefined }));
vi.mock('socket.io-client', () => ({ io: (...args: unknown[]) => hoisted.io(...args) }));

const CONFIG = { config: { iceServers: [{ urls: ['turn:cast.example.org:3478?transport=udp'], username: 'u', credential: 'c' }] } };
let server: FakeServer;
const open: Caster[] = [];

function caster(options = {}): Caster {
  const made = new Caster({ server: 'https://cast.example.org', ...options });
  open.push(made);
  return made;
}

const pass = (milliseconds = 0) => vi.advanceTimersByTimeAsync(milliseconds);

/** Joins, and brings the connection up. */
async function sharing(stream = screen(), options = {}): Promise<{ one: Caster; pc: FakePeerConnection }> {
  const one = caster(options);
  await pass();
  server.socket.hears('CONFIG_FEEDBACK', CONFIG);
  one.cast('ABC123', stream);
  await pass(200);
  const pc = FakePeerConnection.last;
  const offer = server.socket.last('CLIENT_OFFER_TO_SERVER')![0] as RTCSessionDescriptionInit;
  server.socket.hears('TV_ANSWER_TO_CLIENT', { type: 'answer', sdp: offer.sdp });
  await pass();
  pc.ice('connected');
  await pass();
  return { one, pc };
}

beforeEach(() => {
  vi.useFakeTimers();
  sessionStorage.clear();
  server = new FakeServer();
  hoisted.io = server.io as never;
  installWebRtc();
});

afterEach(() => {
  open.splice(0).forEach((one) => one.close());
  vi.useRealTimers();
});

describe('a cast', () => {
  it('begins with the code, an offer and its candidates in order', async () => {
    const one = caster({ username: 'Anna' });
    const states: string[] = [];
    one.on('state', (state) => states.push(state));
    await pass();
    server.socket.hears('CONFIG_FEEDBACK', CONFIG);
    one.cast('ABC123', screen());
    await pass(200);
    expect(server.socket.last('JOIN_ROOM')).toEqual(['ABC123', { username: 'Anna' }]);
    const pc = FakePeerConnection.last;
    expect(pc.configuration.iceServers).toEqual(CONFIG.config.iceServers);
    pc.gathers('candidate:1 1 udp 1 192.0.2.1 1 typ host');
    const order = server.socket.sent.map(({ event }) => event).filter((event) => /OFFER|Candidate/.test(event));
    expect(order).toEqual(['CLIENT_OFFER_TO_SERVER', 'RTC_Candidate_Exchange']);
    const offer = server.socket.last('CLIENT_OFFER_TO_SERVER')![0] as RTCSessionDescriptionInit;
    server.socket.hears('RTC_Candidate_Exchange', { iceCandidate: { candidate: 'candidate:2 1 udp 1 192.0.2.2 1 typ host' } });
    expect(pc.candidates).toEqual([]);
    server.socket.hears('TV_ANSWER_TO_CLIENT', { type: 'answer', sdp: offer.sdp });
    await pass();
    expect(pc.candidates).toHaveLength(1);
    pc.ice('connected');
    expect(one.state).toBe('sharing');
    expect(states).toEqual(['joining', 'connecting', 'sharing']);
  });

  it('makes no connection any more after its end, even if the server has just closed it', async () => {
    const one = caster();
    await pass();
    server.socket.drop('io server disconnect');
    one.close();
    await pass(5000);
    expect(server.socket.connected).toBe(false);
  });

  it('is over if the TV has ended it while the caster was away', async () => {
    const { one } = await sharing();
    const ends: CastProblem[] = [];
    one.on('ended', (why) => ends.push(why));
    server.answers['JOIN_ROOM'] = () => ({ ok: false, error: { code: 'cast_ended' } });
    server.socket.drop();
    server.socket.connect();
    await pass();
    expect(ends).toEqual([{ code: 'ended_by_tv' }]);
    expect(one.active).toBe(false);
  });

  it('is over if an operator has ended it while the caster was away, and says by whom', async () => {
    const { one } = await sharing();
    const ends: CastProblem[] = [];
    one.on('ended', (why) => ends.push(why));
    server.answers['JOIN_ROOM'] = () => {
      server.socket.hears('CAST_ENDED', { by: 'operator' });
      return { ok: false, error: { code: 'cast_ended' } };
    };
    server.socket.drop();
    server.socket.connect();
    await pass();
    expect(ends).toEqual([{ code: 'ended_by_operator' }]);
    expect(one.active).toBe(false);
  });

  it('gives the tracks back unmuted', async () => {
    const stream = screen(true);
    const { one } = await sharing(stream);
    one.setMuted(true);
    expect(stream.getAudioTracks().map(({ enabled }) => enabled)).toEqual([false]);
    one.end();
    expect(stream.getAudioTracks().map(({ enabled }) => enabled)).toEqual([true]);
  });

  it('uses the path of the server for Socket.IO', async () => {
    caster({ server: 'https://example.org/cast/' });
    expect(server.io).toHaveBeenCalledWith('https://example.org/', expect.objectContaining({ path: '/cast/socket.io/' }));
    expect(() => caster({ server: 'example.org' })).toThrow(/expected one such as/);
  });

  it('takes an answer in each form of both dialects', async () => {
    for (const wrap of [(sdp: string) => sdp, (sdp: string) => ({ answer: { type: 'answer', sdp } }), (sdp: string) => ({ sdp })]) {
      const one = caster({ storageKey: null });
      await pass();
      server.socket.hears('CONFIG_FEEDBACK', CONFIG);
      one.cast('ABC123', screen());
      await pass(200);
      const { sdp } = server.socket.last('CLIENT_OFFER_TO_SERVER')![0] as { sdp: string };
      server.socket.hears('TV_ANSWER_TO_CLIENT', wrap(sdp));
      await pass();
      expect(FakePeerConnection.last.remote?.sdp).toBe(sdp);
    }
  });

  it('ends with a refusal of the server', async () => {
    server.answers['JOIN_ROOM'] = () => ({ ok: false, error: { code: 'too_many_attempts', message: 'wait', retryAfter: 12 } });
    const one = castTo('ABC123', screen());
    open.push(one);
    let why: CastProblem | null = null;
    one.on('ended', (problem) => (why = problem));
    await pass(10);
    expect(why).toMatchObject({ code: 'too_many_attempts', retryAfter: 12 });
    expect(one.state).toBe('idle');
  });

  it('comes back to its seat with its token after a reload and after an interruption', async () => {
    const { one } = await sharing();
    server.socket.drop();
    expect(one.online).toBe(false);
    expect(one.flowing).toBe(true);
    server.socket.connect();
    await pass();
    expect(server.socket.last('JOIN_ROOM')).toEqual(['ABC123', { resumeToken: 'caster-ABC123' }]);
    const reloaded = caster();
    expect(reloaded.resumable).toBe('ABC123');
    await pass();
    reloaded.cast('ABC123', screen());
    await pass();
    expect(server.socket.last('JOIN_ROOM')).toEqual(['ABC123', { resumeToken: 'caster-ABC123' }]);
    const other = caster();
    await pass();
    other.cast('XYZ789', screen());
    await pass();
    expect(server.socket.last('JOIN_ROOM')).toEqual(['XYZ789']);
  });

  it('ends without a seat to come back to', async () => {
    const { one, pc } = await sharing();
    one.end();
    expect(server.socket.all('LEAVE_ROOM')).toHaveLength(1);
    expect(pc.closed).toBe(true);
    expect(one.resumable).toBeNull();
    expect(one.state).toBe('idle');
  });

  it('leaves no timer and no listener', async () => {
    const { one } = await sharing();
    one.close();
    await pass(1);
    expect(vi.getTimerCount()).toBe(0);
    expect(server.socket.disconnected).toBe(true);
  });
});

describe('recovery', () => {
  it('restarts ICE, then makes a new connection, then gives up', async () => {
    const { one, pc } = await sharing();
    pc.ice('disconnected');
    expect(one.state).toBe('recovering');
    await pass(3100);
    expect(pc.restarts).toEqual([false, true]);
    await pass(9100);
    expect(FakePeerConnection.all).toHaveLength(2);
    expect(pc.closed).toBe(true);
    const next = FakePeerConnection.last;
    const { sdp } = server.socket.last('CLIENT_OFFER_TO_SERVER')![0] as { sdp: string };
    server.socket.hears('TV_ANSWER_TO_CLIENT', { sdp });
    await pass();
    next.ice('connected');
    expect(one.state).toBe('sharing');
  });

  it('gives fresh credentials to the running connection', async () => {
    const { pc } = await sharing();
    const fresh = { iceServers: [{ urls: ['turn:cast.example.org'], username: 'later', credential: 'c2' }] };
    server.socket.hears('CONFIG_FEEDBACK', { config: fresh });
    expect(pc.configuration.iceServers).toEqual(fresh.iceServers);
  });

  it('offers anew when the TV comes back without its picture', async () => {
    const { one, pc } = await sharing();
    server.socket.hears('TV_AWAY', {});
    expect(one.tvAway).toBe(true);
    server.socket.hears('TV_BACK', { reloaded: true, tv: { name: 'Kitchen', screen: null } });
    await pass(200);
    expect(one.tvAway).toBe(false);
    expect(one.tv).toEqual({ name: 'Kitchen', screen: null });
    expect(FakePeerConnection.all).toHaveLength(2);
    expect(pc.closed).toBe(false);
    const { sdp } = server.socket.last('CLIENT_OFFER_TO_SERVER')![0] as { sdp: string };
    server.socket.hears('TV_ANSWER_TO_CLIENT', { sdp });
    await pass();
    FakePeerConnection.last.ice('connected');
    expect(pc.closed).toBe(true);
  });

  it('tells the verdict of the server', async () => {
    const verdict = { code: 'udp_closed', side: 'server', en: { title: 'UDP is closed', text: '', fix: 'open it' }, zh: { title: 'UDP', text: '' } };
    server.answers['CAST_REPORT'] = () => ({ ok: true, verdict });
    const one = caster();
    await pass();
    server.socket.hears('CONFIG_FEEDBACK', CONFIG);
    one.cast('ABC123', screen());
    await pass(200);
    const { sdp } = server.socket.last('CLIENT_OFFER_TO_SERVER')![0] as { sdp: string };
    server.socket.hears('TV_ANSWER_TO_CLIENT', { sdp });
    await pass();
    FakePeerConnection.last.ice('failed');
    await pass(3000);
    expect(one.state).toBe('failed');
    expect(one.problem).toMatchObject({ code: 'ice_failed', verdict: { code: 'udp_closed', side: 'server' } });
    expect(one.problem!.verdict!.texts['en']!.fix).toBe('open it');
    // A late success still counts.
    FakePeerConnection.last.ice('connected');
    expect(one.state).toBe('sharing');
    expect(one.problem).toBeNull();
  });

  it.each([
    ['CAST_TAKEN_OVER', { by: 'Ben' }, { code: 'taken_over', by: 'Ben' }],
    ['CAST_REPLACED', {}, { code: 'replaced' }],
    ['CAST_ENDED', { by: 'tv' }, { code: 'ended_by_tv' }],
    ['CAST_ENDED', { by: 'operator' }, { code: 'ended_by_operator' }],
    ['TV_LEFT', { reason: 'left' }, { code: 'tv_left' }],
  ])('%s ends the cast', async (event, payload, expected) => {
    const { one, pc } = await sharing();
    let why: CastProblem | null = null;
    one.on('ended', (problem) => (why = problem));
    server.socket.hears(event, payload);
    expect(why).toMatchObject(expected);
    expect(pc.closed).toBe(true);
    expect(one.active).toBe(false);
  });
});

describe('while casting', () => {
  it('reports every ten seconds how the media go, with the rate of that time and little else', async () => {
    const { pc } = await sharing();
    let bytes = 0;
    const sent = () => ({ id: 'out', type: 'outbound-rtp', bytesSent: bytes, packetsSent: 100 });
    pc.getStats = async () => new Map<string, Record<string, unknown>>([['out', sent()]]);
    const rates: number[] = [];
    for (let second = 1; second <= 62; second++) {
      bytes += second <= 30 ? 250_000 : 125_000;
      await pass(1000);
    }
    const reports = server.socket.all('CAST_REPORT').map(([report]) => report as Record<string, unknown>);
    expect(reports.every(({ outcome }) => outcome === 'connected')).toBe(true);
    const [first, ...live] = reports;
    expect(first).toHaveProperty('servers');
    live.forEach((report) => {
      rates.push(report['kbps'] as number);
      expect(JSON.stringify(report).length).toBeLessThan(200);
    });
    expect(live.length).toBeGreaterThanOrEqual(5);
    expect(live.length).toBeLessThanOrEqual(6);
    expect(rates.slice(1, 3).every((rate) => rate > 1500 && rate < 2500)).toBe(true);
    expect(rates.slice(-2).every((rate) => rate > 750 && rate < 1250)).toBe(true);
    pc.ice('disconnected');
    await pass(30_000);
    expect(server.socket.all('CAST_REPORT').slice(reports.length).filter(([report]) => (report as { outcome: string }).outcome === 'connected')).toEqual([]);
  });

  it('pauses and resumes without a negotiation, and tells the TV', async () => {
    const { one, pc } = await sharing(screen(true));
    const [video, audio] = pc.senders.map(({ track }) => track);
    one.pause();
    await pass();
    expect(pc.senders.map(({ track }) => track)).toEqual([null, null]);
    expect(server.socket.last('CAST_STATE')).toEqual([{ paused: true, sound: true }]);
    one.resume();
    await pass();
    expect(pc.senders.map(({ track }) => track)).toEqual([video, audio]);
    expect(server.socket.last('CAST_STATE')).toEqual([{ paused: false, sound: true }]);
    expect(server.socket.all('CLIENT_OFFER_TO_SERVER')).toHaveLength(1);
  });

  it('sends another screen over the same connection, and negotiates only for sound that is new', async () => {
    const { one, pc } = await sharing();
    const other = screen();
    await one.replace(other);
    expect(pc.senders[0]!.track).toBe(other.getVideoTracks()[0]);
    expect(server.socket.all('CLIENT_OFFER_TO_SERVER')).toHaveLength(1);
    await one.replace(screen(true));
    await pass();
    expect(FakePeerConnection.all).toHaveLength(1);
    expect(server.socket.all('CLIENT_OFFER_TO_SERVER')).toHaveLength(2);
    expect(server.socket.last('CAST_STATE')).toEqual([{ paused: false, sound: true }]);
  });

  it('mutes what it sends, and a stream that comes later', async () => {
    const stream = screen(true);
    const { one } = await sharing(stream);
    one.setMuted(true);
    expect(stream.getAudioTracks()[0]!.enabled).toBe(false);
    expect(server.socket.last('CAST_STATE')).toEqual([{ paused: false, sound: false }]);
    const later = new FakeStream([new FakeTrack('video'), new FakeTrack('audio')]) as unknown as MediaStream;
    await one.replace(later);
    expect(later.getAudioTracks()[0]!.enabled).toBe(false);
  });

  it('sends no sound that is added while it is paused', async () => {
    const { one, pc } = await sharing();
    one.pause();
    await pass();
    const other = screen(true);
    await one.replace(other);
    await pass();
    expect(pc.senders.map(({ track }) => track)).toEqual([null, null]);
    one.resume();
    await pass();
    expect(pc.senders.map(({ track }) => track)).toEqual([other.getVideoTracks()[0], other.getAudioTracks()[0]]);
  });

  it('stays paused over a new connection', async () => {
    const { one } = await sharing();
    one.pause();
    server.socket.hears('TV_BACK', { reloaded: true });
    await pass(200);
    expect(FakePeerConnection.all).toHaveLength(2);
    expect(FakePeerConnection.last.senders.map(({ track }) => track)).toEqual([null]);
    expect(server.socket.last('CAST_STATE')).toEqual([{ paused: true, sound: false }]);
  });
});

describe('who the user is', () => {
  it('is shown with each join and check, as it is then', async () => {
    let token = 'one';
    const one = caster({ auth: () => Promise.resolve({ token }), username: 'Anna' });
    await pass();
    void one.check('ABC123');
    await pass();
    expect(server.socket.last('CHECK_CODE')).toEqual(['ABC123', { auth: { token: 'one' } }]);
    server.answers['JOIN_ROOM'] = () => ({ ok: false, error: { code: 'sign_in_required' } });
    const ends: string[] = [];
    one.on('ended', ({ code }) => ends.push(code));
    one.cast('ABC123', screen());
    await pass();
    token = 'two';
    one.cast('ABC123', screen());
    await pass();
    expect(server.socket.all('JOIN_ROOM')).toEqual(['one', 'two'].map((shown) => ['ABC123', { username: 'Anna', auth: { token: shown } }]));
    expect(ends).toEqual(['sign_in_required', 'sign_in_required']);
  });

  it('is not shown if its source fails, or by a cast that has ended meanwhile', async () => {
    const failing = caster({ auth: () => Promise.reject(new Error('no')) });
    await pass();
    failing.cast('ABC123', screen());
    await pass();
    expect(server.socket.last('JOIN_ROOM')).toEqual(['ABC123']);
    const slow = caster({ auth: () => new Promise((resolve) => setTimeout(() => resolve({ token: 't' }), 1000)) });
    await pass();
    const { socket } = server;
    slow.cast('ABC123', screen());
    slow.end();
    await pass(2000);
    expect(socket.all('JOIN_ROOM')).toEqual([]);
  });

  it('comes from a sign-in, whose errors are values', async () => {
    const answers = [
      { ok: true, json: () => Promise.resolve({ token: 't', name: 'anna', expires: 5 }) },
      { ok: false, json: () => Promise.resolve({ error: { code: 'too_many_attempts', retryAfter: 7 } }) },
      { ok: false, json: () => Promise.reject(new Error('no JSON')) },
    ];
    const fetched = vi.fn(() => Promise.resolve(answers.shift()));
    vi.stubGlobal('fetch', fetched);
    const ask = () => signIn('https://cast.example.org/castway/', 'anna', 'pw');
    expect(await ask()).toEqual({ ok: true, token: 't', name: 'anna', expires: 5 });
    expect(await ask()).toEqual({ ok: false, error: { code: 'too_many_attempts', retryAfter: 7 } });
    expect(await ask()).toEqual({ ok: false, error: { code: 'offline' } });
    const [url, options] = fetched.mock.calls[0] as unknown as [string, RequestInit];
    expect([url, options.body]).toEqual(['https://cast.example.org/castway/api/sign-in', '{"name":"anna","password":"pw"}']);
    vi.unstubAllGlobals();
  });
});

describe('what a stranger sends', () => {
  const EVENTS = ['CONFIG_FEEDBACK', 'RESUME_TOKEN', 'TV_ANSWER_TO_CLIENT', 'RTC_Candidate_Exchange', 'TV_AWAY', 'TV_BACK'];
  const PAYLOADS: unknown[] = [undefined, null, 0, 'x', [], {}, { config: 1 }, { config: { iceServers: [null, 1] } }, { iceCandidate: { candidate: 1 } },
    { sdp: 5 }, { answer: { answer: { sdp: {} } } }, { resumeToken: {} }, JSON.parse('{"__proto__": {"sdp": "v=0"}}'), { tv: { name: {}, screen: { width: 1, height: 1, codecs: [null] } } }, 'v='.repeat(50_000)];

  it('never throws, and never takes the seat', async () => {
    const { one, pc } = await sharing();
    for (const event of EVENTS) {
      for (const payload of PAYLOADS) expect(() => server.socket.hears(event, payload), `${event} ${JSON.stringify(payload)?.slice(0, 80)}`).not.toThrow();
      await pass(10);
    }
    expect(one.active).toBe(true);
    expect(one.code).toBe('ABC123');
    expect(pc.remote?.sdp).toMatch(/^v=0/);
    expect(one.resumable).toBe('ABC123');
    const saved = JSON.parse(sessionStorage.getItem('castway.cast')!) as { token: unknown };
    expect(saved.token).toBe('caster-ABC123');
  });
});
