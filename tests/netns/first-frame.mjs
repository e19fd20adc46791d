// Measures the time to the first frame of a relayed cast: our pages in two Chromium processes, in two homes behind symmetric NAT, over
// UDP. Only the relay connects them. Each run is a cast of its own between new pages.
//
//   cd tests/netns && CASTWAY_TEST_BINARY=… ./enter node first-frame.mjs [RUNS] [relay]
//
// With "relay" the browsers gather relayed candidates only. Prints one line for each run, and then the median and the 90th percentile
// of each interval in ms. `npm ci --prefix tests/e2e` installs what drives the browsers.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inState, openPage, openSource, shownCode, until } from '../e2e/support/browser.mjs';
import { binary } from '../interop/support/server.mjs';
import { launchIn } from './browsers.mjs';
import { build, demolish, serve, SERVER } from './networks.mjs';

const WARM_UP_RUNS = 2;

const [runs = '15', policy = 'all'] = process.argv.slice(2);
const query = policy === 'relay' ? '?ice=relay' : '';

// Runs in the pages, before their own scripts: notes when something happens first, in ms since 1970. Both pages read the same clock.
function instrument() {
  const times = {};
  window.times = times;
  const note = (what) => (times[what] ??= performance.timeOrigin + performance.now());
  addEventListener('click', ({ target }) => target.closest?.('#start') && note('started'), true);
  const Native = window.RTCPeerConnection;
  window.RTCPeerConnection = class extends Native {
    constructor(...args) {
      super(...args);
      this.addEventListener('iceconnectionstatechange', () => this.#iceChanged());
      this.addEventListener('connectionstatechange', () => this.connectionState === 'connected' && note('dtls'));
      this.addEventListener('track', ({ track }) => track.kind === 'video' && this.#watch(track));
    }

    async setRemoteDescription(description) {
      await super.setRemoteDescription(description);
      if (description.type === 'answer') note('answer');
    }

    #iceChanged() {
      if (!['connected', 'completed'].includes(this.iceConnectionState)) return;
      note('ice');
      const pair = this.getTransceivers()[0].sender.transport.iceTransport.getSelectedCandidatePair();
      window.firstPair ??= pair && `${pair.local.type}-${pair.remote.type}`;
    }

    #watch(track) {
      const video = document.createElement('video');
      video.muted = true;
      video.srcObject = new MediaStream([track]);
      video.requestVideoFrameCallback(() => note('frame'));
      void video.play();
    }
  };
}

// The types of the selected candidates, and the transport to the relay.
const selectedPair = (page) =>
  page.evaluate(async () => {
    const all = await window.castway.pc().getStats();
    const transport = [...all.values()].find(({ type, selectedCandidatePairId }) => type === 'transport' && selectedCandidatePairId);
    const pair = all.get(transport?.selectedCandidatePairId);
    if (!pair) return null;
    const [local, remote] = [all.get(pair.localCandidateId), all.get(pair.remoteCandidateId)];
    return `${local.candidateType}${local.relayProtocol ? `/${local.relayProtocol}` : ''}-${remote.candidateType}`;
  });

async function cast(server, tvBrowser, castBrowser) {
  const tv = await openPage(tvBrowser, `${server.url}/tv${query}`, { script: instrument });
  const code = await shownCode(tv);
  await inState(tv, 'waiting');
  const caster = await openPage(castBrowser, `${server.url}/cast${query}`, { script: instrument });
  await caster.locator('#code-input').fill(code);
  await caster.locator('#start').click();
  const { frame } = await until('the first frame', () => tv.evaluate(() => window.times), ({ frame }) => frame !== undefined);
  const times = await caster.evaluate(() => window.times);
  const firstPair = await caster.evaluate(() => window.firstPair);
  const pair = await until('a selected pair', () => selectedPair(caster));
  await Promise.all([tv, caster].map((page) => page.context().close()));
  const since = (from, to) => Math.round(to - from);
  return {
    firstPair,
    pair,
    'start to frame': since(times.started, frame),
    'answer to frame': since(times.answer, frame),
    'answer to ICE': since(times.answer, times.ice),
    'ICE to DTLS': since(times.ice, times.dtls),
  };
}

function percentile(values, share) {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.ceil(share * sorted.length) - 1];
}

const folder = mkdtempSync(join(tmpdir(), 'castway-first-frame-'));
const browsers = [];
let server;
try {
  build();
  server = await serve();
  for (const home of ['home1', 'home2']) browsers.push(await launchIn(home, folder, { args: [`--unsafely-treat-insecure-origin-as-secure=http://${SERVER}:8080`] }));
  await openSource(browsers[1]);
  const results = [];
  for (let run = 0; run < WARM_UP_RUNS + Number(runs); run += 1) {
    const result = await cast(server, ...browsers);
    // The peers' own addresses must not have sufficed.
    assert.match(result.pair, /relay/);
    if (run < WARM_UP_RUNS) continue;
    results.push(result);
    console.log(JSON.stringify(result));
  }
  console.log(`${binary}, ${results.length} casts, candidates: ${policy}`);
  for (const interval of Object.keys(results[0]).filter((key) => !key.toLowerCase().endsWith('pair'))) {
    const values = results.map((result) => result[interval]);
    console.log(`${interval}: median ${percentile(values, 0.5)} ms, 90th percentile ${percentile(values, 0.9)} ms, most ${Math.max(...values)} ms`);
  }
} finally {
  for (const browser of browsers) await browser.close().catch(() => {});
  await server?.close();
  demolish();
  rmSync(folder, { recursive: true, force: true });
}
