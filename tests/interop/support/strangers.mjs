// Strangers: everybody who gets TURN credentials from this server without proof of who he is.
import assert from 'node:assert/strict';
import { connect } from './clients.mjs';
import { passwords } from './stun.mjs';

async function answer(url, init) {
  const response = await fetch(url, init);
  assert.equal(response.status, 200, url);
  return response;
}
const json = async (url, init) => (await answer(url, init)).json();
const post = (fields) => ({ method: 'POST', body: new URLSearchParams(fields) });

// The credentials in a list of ICE servers.
export function credentialsOf(iceServers) {
  const turn = iceServers.filter(({ urls }) => [urls].flat().some((url) => url.startsWith('turn')));
  assert.ok(turn.length > 0, JSON.stringify(iceServers));
  return { username: turn[0].username, password: turn[0].credential };
}
const viaIce = async (...request) => credentialsOf((await json(...request)).iceServers);
const viaRest = async (...request) => {
  const { username, password } = await json(...request);
  return { username, password };
};

// Registers a TV of dialect A: {socket, code, username, password}.
export async function seat(server, options = {}) {
  const tv = await connect(server, { label: 'TV', ...options });
  const { code } = await tv.ask('TV_INIT');
  const { config } = await tv.next('CONFIG_FEEDBACK');
  return { socket: tv, code, ...credentialsOf(config.iceServers) };
}

// Registers a TV of dialect B.
async function seatOfDialectB(server) {
  const tv = await connect(server, { label: 'TV', namespace: '/rtc' });
  await tv.next('VERIFY');
  await tv.ask('VERIFY_FEEDBACK', '');
  await tv.ask('TV_GETINFO', { code: '', token: '' });
  const info = await tv.next('TV_INFO_FEEDBACK');
  return credentialsOf(info.iceConfig.iceServers);
}

async function caster(server) {
  const { code } = await seat(server);
  const peer = await connect(server, { label: 'caster' });
  await peer.ask('JOIN_ROOM', code);
  return credentialsOf((await peer.next('CONFIG_FEEDBACK')).config.iceServers);
}

// The answer to CONFIG, which needs no seat.
async function config(server) {
  const peer = await connect(server, { label: 'client', namespace: '/rtc' });
  await peer.ask('CONFIG', { username: 'guest' });
  return credentialsOf((await peer.next('CONFIG_FEEDBACK')).config.iceServers);
}

// AppRTC's clients read a URL in the parameters of a room.
async function urlOfAppRtc(server, name) {
  const { [name]: url } = await json(`${server.url}/params`);
  assert.ok(url, name);
  return url;
}

// Every way to get credentials, with a client of its own: name → (server) → {username, password}. A seat's credentials stay good until
// `closeAll`.
export const ways = {
  'TV_INIT of dialect A': seat,
  'JOIN_ROOM of dialect A': caster,
  'TV_GETINFO of dialect B': seatOfDialectB,
  'CONFIG of dialect B': config,
  'GET /v1alpha/iceconfig': (server) => viaIce(`${server.url}/v1alpha/iceconfig`),
  'POST /v1alpha/iceconfig': (server) => viaIce(`${server.url}/v1alpha/iceconfig`, { method: 'POST' }),
  // A page of RTCMultiConnection has these ICE servers in its source.
  'GET /v1alpha/iceconfig of a page elsewhere': (server) => viaIce(`${server.url}/v1alpha/iceconfig`, { headers: { origin: 'https://page.example' } }),
  'GET /v1alpha/turn': (server) => viaRest(`${server.url}/v1alpha/turn`),
  'POST /v1alpha/turn': (server) => viaRest(`${server.url}/v1alpha/turn`, { method: 'POST' }),
  "ice_server_url of AppRTC's parameters": async (server) => viaIce(await urlOfAppRtc(server, 'ice_server_url'), { method: 'POST' }),
  "turn_url of AppRTC's parameters": async (server) => viaRest(await urlOfAppRtc(server, 'turn_url')),
  'GET /turn': (server) => viaRest(`${server.url}/turn?service=turn&username=alice`),
  'GET /turn with an unknown key': (server) => viaRest(`${server.url}/turn?username=alice&key=4080218913`),
  'POST /turn': (server) => viaRest(`${server.url}/turn`, post({ username: 'alice' })),
  'GET /turn, with a wrong password': (server) => viaRest(`${server.url}/turn?username=alice`, { headers: { authorization: `Basic ${btoa('alice:a wrong password')}` } }),
  'POST /turn, with a wrong password': (server) => viaRest(`${server.url}/turn`, post({ username: 'alice', password: 'a wrong password' })),
};

// Credentials that a server with this configured secret accepts, of the scope clients or anyone.
export function signed(scope, secret, name, lifetime = 600) {
  const username = `${Math.floor(Date.now() / 1000) + lifetime}:${name}`;
  return { username, password: passwords[scope](secret, username) };
}
