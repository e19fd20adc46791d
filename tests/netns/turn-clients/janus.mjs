// Janus, whose EchoTest sends the data of its peer back: janus.mjs CONFIG, beside an offering end of webrtc.mjs. It fetches its credentials
// and the URLs of the relay with an API key.
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { until, within } from '../../interop/support/wait.mjs';

const { rest, key, family, folder: parent } = JSON.parse(process.argv[2]);
const API = 'http://127.0.0.1:8088/janus';
const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);

const folder = mkdtempSync(join(parent, 'janus-'));
const files = {
  'janus.jcfg': `
general: { configs_folder = "${folder}"; debug_level = 4; log_to_stdout = true; protected_folders = [] }
plugins: { disable = "libjanus_streaming.so,libjanus_videoroom.so,libjanus_audiobridge.so,libjanus_videocall.so,libjanus_textroom.so,libjanus_recordplay.so,libjanus_voicemail.so,libjanus_sip.so,libjanus_nosip.so,libjanus_lua.so,libjanus_duktape.so" }
transports: { disable = "libjanus_websockets.so,libjanus_pfunix.so,libjanus_rabbitmq.so,libjanus_mqtt.so,libjanus_nanomsg.so" }
media: { ipv6 = ${family === 6} }
nat: { turn_rest_api = "${rest}"; turn_rest_api_key = "${key}"; turn_rest_api_method = "GET"; ice_ignore_list = "vmnet" }`,
  'janus.transport.http.jcfg': 'general: { json = "plain"; http = true; port = 8088; interface = "lo"; https = false }\nadmin: { admin_http = false }',
  'janus.plugin.echotest.jcfg': 'general: { }',
};
for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
const janus = spawn('janus', ['-F', folder], { stdio: ['ignore', 'pipe', 'pipe'] });
for (const stream of [janus.stdout, janus.stderr]) stream.on('data', (chunk) => process.stderr.write(chunk));

const post = async (path, body) => (await fetch(`${API}${path}`, { method: 'POST', body: JSON.stringify({ transaction: randomUUID(), ...body }) })).json();

await until('Janus listens', () => fetch(`${API}/info`).then(({ ok }) => ok, () => false));
const session = (await post('', { janus: 'create' })).data.id;
const plugin = (await post(`/${session}`, { janus: 'attach', plugin: 'janus.plugin.echotest' })).data.id;
const handle = `/${session}/${plugin}`;

async function answerTo(jsep) {
  await post(handle, { janus: 'message', body: { audio: false, video: false, data: true }, jsep });
  for (;;) {
    const event = await (await fetch(`${API}/${session}`)).json();
    if (event.jsep) return event.jsep;
  }
}

createInterface({ input: process.stdin }).on('line', async (line) => {
  const { description, candidate } = JSON.parse(line);
  if (description) say({ description: await within(answerTo(description), 'answer of Janus') });
  else await post(handle, { janus: 'trickle', candidate });
});
