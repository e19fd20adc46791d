// The event handlers of the two published front ends of dialect B, the caster's app and the TV's page, with substitutes for their
// surroundings: `config`, `step` and `storage` stand for the app's store, its screen and the browser's localStorage. The handlers act on
// every event like the originals, so that a superfluous event is visible here.
import { sdp, candidate } from './dialects.mjs';

const RECEIVED = ['VERIFY', 'VERIFY_RESPONCE', 'CONFIG_FEEDBACK', 'CONNECT_TO_TV_SUCCESS', 'CONNECT_TO_TV_FAILED', 'NEW_CLIENT_JOIN', 'TV_INFO_FEEDBACK', 'TV_COMMAND'];

// The events that a front end receives and sends, in order.
function recorded(socket) {
  const log = [];
  for (const name of RECEIVED) socket.on(name, (argument) => log.push(['<', name, argument]));
  const emit = (name, ...args) => {
    log.push(['>', name, ...args]);
    socket.emit(name, ...args);
  };
  return { log, emit };
}

const count = (log, direction, name) => log.filter(([way, event]) => way === direction && event === name).length;

// The caster's app: it is verified, requests ICE servers, and joins with each answer; after a join the user chooses a screen.
export function casterApp(io, url, projCode) {
  const socket = io(`${url}/rtc`, { forceNew: true });
  const { log, emit } = recorded(socket);
  const app = { socket, log, config: null, step: 1, failures: [], answers: [], candidates: [] };
  socket.on('VERIFY', () => emit('VERIFY_FEEDBACK', null));
  socket.on('VERIFY_RESPONCE', ({ code }) => code === 200 && emit('CONFIG', { username: 'lgy' }));
  socket.on('CONFIG_FEEDBACK', ({ config }) => {
    app.config = config;
    emit('CONNECT_TO_TV', { username: 'lgy', projCode: projCode.toUpperCase() });
  });
  socket.on('CONNECT_TO_TV_FAILED', ({ msg }) => {
    app.failures.push(msg);
    socket.close();
  });
  socket.on('CONNECT_TO_TV_SUCCESS', () => {
    app.step = 2;
  });
  app.said = (name) => count(log, '>', name);
  app.heard = (name) => count(log, '<', name);
  // The user has chosen a screen: the app makes its connection with the ICE servers that it has.
  app.project = (mark) => {
    app.step = 3;
    socket.on('RTC_TV_Answer_To_Client', ({ answer }) => app.answers.push(answer));
    socket.on('RTC_Candidate_Exchange', ({ iceCandidate }) => app.candidates.push(iceCandidate));
    emit('RTC_Client_Offer_To_Server', { offer: sdp('offer', mark) });
    emit('RTC_Candidate_Exchange', { iceCandidate: candidate(mark) });
  };
  return app;
}

// The TV's page: it is verified, shows its earlier code, and answers each offer.
export function tvPage(io, url, storage = new Map()) {
  const socket = io(`${url}/rtc`, { forceNew: true });
  const { log, emit } = recorded(socket);
  const page = { socket, log, config: null, code: null, offers: [], candidates: [], joined: [] };
  socket.on('TEST_TOKEN_TV', (token) => storage.set('Token', token));
  socket.on('VERIFY', () => emit('VERIFY_FEEDBACK', storage.get('Token') ?? ''));
  socket.on('VERIFY_RESPONCE', ({ code }) => {
    if (code === 200) emit('TV_GETINFO', { code: storage.get('projCode') ?? '', token: storage.get('Token') ?? '' });
  });
  socket.on('TV_INFO_FEEDBACK', ({ projCode, iceConfig }) => {
    page.config = iceConfig;
    page.code = projCode;
    storage.set('projCode', projCode.toUpperCase());
  });
  socket.on('NEW_CLIENT_JOIN', ({ username }) => page.joined.push(username));
  socket.on('RTC_Client_Offer_To_TV', ({ offer }) => {
    page.offers.push(offer);
    emit('RTC_TV_Answer_To_Server', { answer: sdp('answer', page.offers.length) });
    emit('RTC_Candidate_Exchange', { iceCandidate: candidate(1000 + page.offers.length) });
  });
  socket.on('RTC_Candidate_Exchange', ({ iceCandidate }) => page.candidates.push(iceCandidate));
  page.said = (name) => count(log, '>', name);
  page.heard = (name) => count(log, '<', name);
  return page;
}
