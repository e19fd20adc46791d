// Front ends that people have copied from tutorials, line for line: they must work unchanged.
import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { versions } from './support/clients.mjs';
import { sdp, candidate, assertIceServers, CODE } from './support/dialects.mjs';
import { startServer } from './support/server.mjs';
import { within } from './support/wait.mjs';

let server;
const sockets = [];
before(async () => {
  server = await startServer();
});
after(() => server?.close());
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.disconnect();
});

// A substitute for RTCPeerConnection with only the members that the sample lines use.
class FakePeerConnection {
  configurations = [];
  candidates = [];
  setConfiguration(config) {
    this.configurations.push(config);
  }
  async addIceCandidate(iceCandidate) {
    this.candidates.push(iceCandidate);
  }
}

for (const [version, io] of Object.entries(versions)) {
  test(`dialect A, default options, socket.io-client ${version}`, async () => {
    const YOUR_SOCKET_SERVER = server.url;
    const connect = io.connect ?? io;
    const offer = sdp('offer', 1);
    const answer = sdp('answer', 1);
    const shown = {};
    const done = {};
    const finished = Promise.all(['config', 'answer', 'tvCandidate', 'casterCandidate'].map((key) => new Promise((resolve) => (done[key] = resolve))));

    // The receiver.
    {
      const peerConnection = new FakePeerConnection();
      let socket = connect(YOUR_SOCKET_SERVER, { forceNew: true });
      sockets.push(socket);
      socket.on('connect', function () {
        socket.emit('TV_INIT');
      });
      socket.on('TV_INIT_OK', (code) => {
        shown.code = code;
        startCaster(code);
      });
      socket.on('CLIENT_OFFER_TO_TV', (received) => {
        shown.offer = received;
        socket.emit('TV_ANSWER_TO_SERVER', answer);
        onicecandidate(socket, { candidate: candidate(2) });
        onicecandidate(socket, { candidate: null });
      });
      socket.on('RTC_Candidate_Exchange', async (message) => {
        if (message.iceCandidate) {
          await peerConnection.addIceCandidate(message.iceCandidate);
          done.tvCandidate(peerConnection.candidates);
        }
      });
      socket.on('CONFIG_FEEDBACK', ({ config }) => done.config(config));
    }

    function onicecandidate(socket, event) {
      if (event.candidate) {
        socket.emit('RTC_Candidate_Exchange', {
          iceCandidate: event.candidate,
        });
      }
    }

    // The sender.
    function startCaster(projCode) {
      const peerConnection = new FakePeerConnection();
      let socket = connect(YOUR_SOCKET_SERVER, { forceNew: true });
      sockets.push(socket);
      socket.on('connect', () => {
        socket.emit('JOIN_ROOM', projCode);
        socket.emit('CLIENT_OFFER_TO_SERVER', offer);
        onicecandidate(socket, { candidate: candidate(1) });
      });
      socket.on('TV_ANSWER_TO_CLIENT', (received) => done.answer(received));
      socket.on('RTC_Candidate_Exchange', async (message) => {
        if (message.iceCandidate) {
          await peerConnection.addIceCandidate(message.iceCandidate);
          done.casterCandidate(peerConnection.candidates);
        }
      });
    }

    const [config, heardAnswer, tvCandidates, casterCandidates] = await within(finished, 'end of the flow');
    assert.match(shown.code, CODE);
    assert.deepEqual(shown.offer, offer);
    assert.deepEqual(heardAnswer, answer);
    assert.deepEqual(tvCandidates, [candidate(1)]);
    assert.deepEqual(casterCandidates, [candidate(2)]);
    assertIceServers(config);
  });

  test(`dialect B as its published pages speak it, socket.io-client ${version}`, async () => {
    const localStorage = new Map();
    const heard = {};
    const offer = sdp('offer', 7);
    const answer = sdp('answer', 7);

    function tvPage() {
      const peerConnection = new FakePeerConnection();
      const socket = io(`${server.url}/rtc`, { forceNew: true });
      sockets.push(socket);
      const ready = new Promise((resolve) => {
        socket.on('VERIFY', () => socket.emit('VERIFY_FEEDBACK', localStorage.get('token') ?? null));
        socket.on('VERIFY_RESPONCE', ({ code }) => {
          if (code === 200) socket.emit('TV_GETINFO', { code: localStorage.get('projCode') ?? '', token: localStorage.get('token') ?? '' });
        });
        socket.on('TEST_TOKEN_TV', (token) => localStorage.set('token', token));
        socket.on('TV_INFO_FEEDBACK', (info) => {
          peerConnection.setConfiguration(info.iceConfig);
          localStorage.set('projCode', info.projCode);
          resolve(info.projCode);
        });
      });
      socket.on('NEW_CLIENT_JOIN', ({ username }) => (heard.joined = username));
      socket.on('RTC_Client_Offer_To_TV', async (data) => {
        heard.offer = data.offer;
        socket.emit('RTC_TV_Answer_To_Server', { answer });
      });
      return { socket, peerConnection, ready };
    }

    const tv = tvPage();
    const projCode = await within(tv.ready, 'TV_INFO_FEEDBACK');
    assertIceServers(tv.peerConnection.configurations[0]);

    const caster = io(`${server.url}/rtc`, { forceNew: true });
    sockets.push(caster);
    const received = new Promise((resolve) => caster.on('RTC_TV_Answer_To_Client', (data) => resolve(data.answer)));
    const connected = new Promise((resolve, reject) => {
      caster.on('CONNECT_TO_TV_SUCCESS', resolve);
      caster.on('CONNECT_TO_TV_FAILED', ({ msg }) => reject(new Error(msg)));
    });
    caster.on('connect', () => caster.emit('CONNECT_TO_TV', { username: 'Li Lei', projCode }));
    await within(connected, 'CONNECT_TO_TV_SUCCESS');
    caster.emit('RTC_Client_Offer_To_Server', { offer });
    assert.deepEqual(await within(received, 'answer'), answer);
    assert.deepEqual(heard, { joined: 'Li Lei', offer });

    // The page is loaded again, and shows the same code.
    tv.socket.disconnect();
    assert.equal(await within(tvPage().ready, 'TV_INFO_FEEDBACK after a reload'), projCode);
  });
}
