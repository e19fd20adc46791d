// One end of a SIP call with baresip, whose media passes TURN without ICE: baresip.mjs offer|answer CONFIG.
//
// Its resolver asks DNS alone. SIP goes over the link between the homes that takes only SIP.
import { spawn } from 'node:child_process';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { until } from '../../interop/support/wait.mjs';

const [role, text] = process.argv.slice(2);
const { urlOfAddress: url, username, credential, sip, folder: parent } = JSON.parse(text);
const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
const CONTROL = 4444;
// The line of a call that has lasted for three seconds: bits per second that are sent and received.
const SOUND = /\[0:00:0[3-9]\] audio=\d{5,}\/\d{5,} /;

const folder = mkdtempSync(join(parent, 'baresip-'));
const modules = ['opus', 'ausine', 'aubridge', 'turn'];
writeFileSync(join(folder, 'config'), `
sip_listen ${sip[role]}:5060
call_local_timeout 120
audio_player aubridge,sink
audio_source ausine,440
audio_alert aubridge,alert
ctrl_tcp_listen 127.0.0.1:${CONTROL}
module_path /usr/lib/baresip/modules
${modules.map((name) => `module ${name}.so`).join('\n')}
module_app account.so
module_app menu.so
module_app ctrl_tcp.so
module_app debug_cmd.so
`);
writeFileSync(join(folder, 'accounts'), `<sip:${role}@${sip[role]};transport=tcp>;regint=0;medianat=turn;stunserver="${url}";stunuser="${username}";stunpass="${credential}";answermode=auto;audio_codecs=opus/48000/2\n`);
writeFileSync(join(folder, 'contacts'), '');
const baresip = spawn('baresip', ['-f', folder], { stdio: ['ignore', 'pipe', 'pipe'] });
let shown = '';
for (const stream of [baresip.stdout, baresip.stderr]) stream.on('data', (chunk) => (shown += chunk));

// Netstrings of JSON.
const control = await until('baresip listens', () => new Promise((resolve) => {
  const socket = connect(CONTROL, '127.0.0.1');
  socket.on('connect', () => resolve(socket));
  socket.on('error', () => resolve(null));
}));
control.resume();
const ask = (command, params) => {
  const body = JSON.stringify({ command, params });
  control.write(`${Buffer.byteLength(body)}:${body},`);
};

if (role === 'answer') say({ ready: true });
else createInterface({ input: process.stdin }).once('line', () => ask('dial', `sip:answer@${sip.answer};transport=tcp`));

await until('three seconds of sound come', () => SOUND.test(shown), Boolean, { show: () => shown.slice(-1500) });
say({ done: true });
