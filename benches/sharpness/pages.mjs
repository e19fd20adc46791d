// One cast between the server's own pages, over its relay by UDP.
import { startServer } from '../../tests/interop/support/server.mjs';
import { TIMEOUT_MS, until } from '../../tests/interop/support/wait.mjs';
import { watch } from './meter.mjs';
import { slowNetwork } from './network.mjs';

// The page reaches the relay through the slow network at this port.
function throughPort(port) {
  const changed = (configuration) => {
    const text = JSON.stringify(configuration ?? {}).replace(/turn:127\.0\.0\.1:\d+/g, `turn:127.0.0.1:${port}`);
    return JSON.parse(text);
  };
  const Original = window.RTCPeerConnection;
  window.RTCPeerConnection = class extends Original {
    constructor(configuration) {
      super(changed(configuration));
    }

    setConfiguration(configuration) {
      super.setConfiguration(changed(configuration));
    }
  };
}

const codeOf = (page) => page.locator('#code').evaluate((code) => (document.body.dataset.online === 'true' ? code.dataset.code : ''));

export async function castPages(bench, slides, row, measured) {
  const server = await startServer({ CASTWAY_NO_TCP: 'true', ...row.settings });
  const network = row.network && (await slowNetwork(row.network));
  network?.connect(1, server.turnPort);
  const receiver = await bench.page({ viewport: row.tv ?? { width: row.width, height: row.height } }, `${server.url}/tv?ice=relay`);
  const sender = await bench.page({}, '');
  try {
    if (network) await sender.addInitScript(throughPort, network.ports[0]);
    const code = await until('the TV shows a code', () => codeOf(receiver), (shown) => /^\w{6}$/.test(shown ?? ''), { limit: TIMEOUT_MS });
    await sender.goto(`${server.url}/cast?ice=relay&code=${code}`);
    await sender.evaluate((preset) => localStorage.setItem('castway.preset', JSON.stringify(preset)), row.preset);
    await sender.reload();
    await watch(receiver, slides.source);
    await sender.locator('#start').click();
    await until('the caster shares', () => sender.evaluate(() => document.body.dataset.state), (state) => state === 'sharing', { limit: TIMEOUT_MS });
    return await measured({ sender, receiver });
  } finally {
    await sender.context().close();
    await receiver.context().close();
    network?.close();
    await server.close();
  }
}
