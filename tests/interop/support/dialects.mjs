// The two dialects of the cast flow from the view of a front end, with checks along the way.
import assert from 'node:assert/strict';

export const CODE = /^[ABCDEFGHJKMNPQRSTWXYZ0-8]{6}$/;

export const sdp = (kind, mark) => ({ type: kind, sdp: `v=0\r\no=- ${mark} 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=mark:${mark}\r\n` });
export const candidate = (mark) => ({
  candidate: `candidate:${mark} 1 udp 2122260223 192.0.2.1 5${String(mark).padStart(4, '0')} typ host`,
  sdpMid: '0',
  sdpMLineIndex: 0,
});

export function assertIceServers(config) {
  const servers = config?.iceServers;
  assert.ok(Array.isArray(servers) && servers.length >= 2, `iceServers: ${JSON.stringify(config)}`);
  const turn = servers.filter(({ urls }) => urls.startsWith('turn'));
  assert.ok(turn.length >= 1, 'a TURN entry');
  for (const { urls, username, credential } of turn) {
    assert.match(urls, /^turns?:[^:]+:\d+\?transport=(udp|tcp)$/);
    assert.match(username, /^\d{10}:/, 'the expiry is in seconds');
    const ahead = Number(username.split(':')[0]) - Date.now() / 1000;
    assert.ok(ahead > 0 && ahead <= 86_400 + 5, `credentials end in ${ahead} s`);
    assert.equal(Buffer.from(credential, 'base64').length, 20, 'an HMAC-SHA1');
  }
  assert.equal(servers.filter(({ urls }) => /^stun:[^:]+:\d+$/.test(urls)).length, 1, 'one STUN entry');
}

const ok = (answer) => assert.equal(answer?.ok, true, `ack: ${JSON.stringify(answer)}`);

// Emits with one argument at most, like old front ends. With `acks` a callback is added, and must be answered.
async function say(peer, acks, name, ...args) {
  if (!acks) {
    peer.emit(name, ...args);
    return null;
  }
  const answer = await peer.ask(name, ...args);
  ok(answer);
  return answer;
}

const A = {
  // Resolves to {code, token}.
  async register(peer, acks, ...args) {
    const answer = await say(peer, acks, 'TV_INIT', ...args);
    const code = await peer.next('TV_INIT_OK');
    assert.match(code, CODE);
    const resume = await peer.next('RESUME_TOKEN');
    assert.equal(resume.role, 'tv');
    assert.equal(resume.code, code);
    assert.equal(typeof resume.resumeToken, 'string');
    assertIceServers((await peer.next('CONFIG_FEEDBACK')).config);
    if (answer) {
      assert.equal(answer.code, code);
      assert.equal(answer.resumeToken, resume.resumeToken);
      assert.equal(typeof answer.resumed, 'boolean');
    }
    return { code, token: resume.resumeToken };
  },
  async join(peer, acks, code, username) {
    const answer = await say(peer, acks, 'JOIN_ROOM', ...(username ? [code, { username }] : [code]));
    assert.equal(await peer.next('JOIN_ROOM_OK'), code);
    const resume = await peer.next('RESUME_TOKEN');
    assert.equal(resume.role, 'caster');
    assert.equal(resume.code, code);
    if (answer) {
      const tv = { name: null, screen: null };
      assert.deepEqual(answer, { ok: true, code, resumeToken: resume.resumeToken, resumed: false, tv });
    }
    assertIceServers((await peer.next('CONFIG_FEEDBACK')).config);
    return { token: resume.resumeToken };
  },
  async hearJoin(tv, username) {
    const joined = await tv.next('CASTER_JOINED');
    if (username) assert.equal(joined.username, username);
  },
  sendOffer: (peer, acks, offer) => say(peer, acks, 'CLIENT_OFFER_TO_SERVER', offer),
  hearOffer: (tv) => tv.next('CLIENT_OFFER_TO_TV'),
  sendAnswer: (tv, acks, answer) => say(tv, acks, 'TV_ANSWER_TO_SERVER', answer),
  hearAnswer: (peer) => peer.next('TV_ANSWER_TO_CLIENT'),
  async hearCasterGone(tv, username, reason) {
    const left = await tv.next('CASTER_LEFT');
    if (username) assert.equal(left.username, username);
    assert.equal(left.reason, reason);
  },
  async hearTvGone(peer, reason) {
    assert.equal((await peer.next('TV_LEFT')).reason, reason);
  },
};

const B = {
  // Like the published TV page, this waits for VERIFY and then requests its information. On `/` the server asks for the token only if the
  // TV has registered before.
  async register(peer, acks, saved = { code: '', token: '' }) {
    let registered = null;
    if (peer.socket.nsp === '/') {
      await say(peer, acks, 'TV_REGISTER');
      registered = (await peer.next('TV_REGISTER_SUCCESS')).projCode;
    }
    await peer.next('VERIFY');
    await say(peer, acks, 'VERIFY_FEEDBACK', saved.token);
    assert.equal((await peer.next('VERIFY_RESPONCE')).code, 200);
    await say(peer, acks, 'TV_GETINFO', saved);
    const info = await peer.next('TV_INFO_FEEDBACK');
    assert.match(info.projCode, CODE);
    if (registered && !saved.token) assert.equal(info.projCode, registered, 'the code is the one that was registered');
    for (const key of ['mid', 'name', 'maxpeople', 'pos', 'desc']) assert.ok(key in info.meetingRoom, `meetingRoom.${key}`);
    assert.ok(Array.isArray(info.activities) && Array.isArray(info.background));
    assertIceServers(info.iceConfig);
    assert.equal(info.iceConfig.iceCandidatePoolSize, 2);
    const token = saved.token || (await peer.next('TEST_TOKEN_TV'));
    assert.equal(typeof token, 'string');
    return { code: info.projCode, token };
  },
  // The server sends ICE servers on request, and the published caster requests them before it joins.
  async join(peer, acks, code, username = 'guest') {
    await say(peer, acks, 'CONFIG', { username });
    const { config } = await peer.next('CONFIG_FEEDBACK');
    assertIceServers(config);
    assert.equal(config.iceCandidatePoolSize, 2);
    await say(peer, acks, 'CONNECT_TO_TV', { username, projCode: code });
    await peer.next('CONNECT_TO_TV_SUCCESS');
    return {};
  },
  async hearJoin(tv, username) {
    const joined = await tv.next('NEW_CLIENT_JOIN');
    if (username) assert.equal(joined.username, username);
  },
  sendOffer: (peer, acks, offer) => say(peer, acks, 'RTC_Client_Offer_To_Server', { offer }),
  async hearOffer(tv) {
    const message = await tv.next('RTC_Client_Offer_To_TV');
    assert.deepEqual(Object.keys(message), ['offer']);
    return message.offer;
  },
  sendAnswer: (tv, acks, answer) => say(tv, acks, 'RTC_TV_Answer_To_Server', { answer }),
  async hearAnswer(peer) {
    const message = await peer.next('RTC_TV_Answer_To_Client');
    assert.deepEqual(Object.keys(message), ['answer']);
    return message.answer;
  },
  async hearCasterGone(tv, username) {
    const gone = await tv.next('USER_OFFLINE');
    if (username) assert.equal(gone.user, username);
  },
  async hearTvGone(peer) {
    await peer.nextArgs('TV_OFFLINE');
  },
};

export const dialects = { A, B };

export const sendCandidate = (peer, acks, mark) => say(peer, acks, 'RTC_Candidate_Exchange', { iceCandidate: candidate(mark) });
export async function hearCandidate(peer, mark) {
  const message = await peer.next('RTC_Candidate_Exchange');
  assert.deepEqual(message, { iceCandidate: candidate(mark) });
}

// A TV and a caster in one room; resolves to {code, tvToken, casterToken}.
export async function pair(tv, tvDialect, caster, casterDialect, { acks = false, username } = {}) {
  const { code, token: tvToken } = await dialects[tvDialect].register(tv, acks);
  const { token: casterToken } = await dialects[casterDialect].join(caster, acks, code, username);
  await dialects[tvDialect].hearJoin(tv, username);
  return { code, tvToken, casterToken };
}

// Exchanges an offer, an answer, and candidates in both directions.
export async function exchange(tv, tvDialect, caster, casterDialect, { acks = false, mark = 1, candidates = 5 } = {}) {
  const offer = sdp('offer', mark);
  await dialects[casterDialect].sendOffer(caster, acks, offer);
  for (let i = 0; i < candidates; i += 1) await sendCandidate(caster, acks, i);
  assert.deepEqual(await dialects[tvDialect].hearOffer(tv), offer);
  const answer = sdp('answer', mark);
  await dialects[tvDialect].sendAnswer(tv, acks, answer);
  for (let i = 0; i < candidates; i += 1) await sendCandidate(tv, acks, 1000 + i);
  assert.deepEqual(await dialects[casterDialect].hearAnswer(caster), answer);
  for (let i = 0; i < candidates; i += 1) {
    await hearCandidate(tv, i);
    await hearCandidate(caster, 1000 + i);
  }
}

// A pair, an exchange, and a caster that leaves.
export async function wholeFlow(tv, tvDialect, caster, casterDialect, { acks = false, username } = {}) {
  await pair(tv, tvDialect, caster, casterDialect, { acks, username });
  await exchange(tv, tvDialect, caster, casterDialect, { acks });
  caster.leave();
  await dialects[tvDialect].hearCasterGone(tv, username, 'left');
}
