// One end of a SIP call with baresip, whose media passes TURN without ICE: baresip.mjs offer|answer CONFIG.
//
// SIP goes over the link between the homes that takes only SIP.
import { spawn } from 'node:child_process';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { until } from '../../interop/support/wait.mjs';

const [role, text] = process.argv.slice(2);
const { url, username, credential, sip } = JSON.parse(text);
const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
const CONTROL = 4444;
const PACKETS = 100;

const folder = mkdtempSync(join(tmpdir(), 'castway-baresip-'));
const modules = ['g711', 'ausine', 'aubridge', 'turn', 'account', 'ctrl_tcp', 'menu', 'cons', 'stdio', 'uuid', 'debug_cmd'];
writeFileSync(join(folder, 'config'), `
sip_listen ${sip[role]}:5060
call_local_timeout 120
audio_player aubridge,sink
audio_source ausine,440
audio_alert aubridge,alert
ctrl_tcp_listen 127.0.0.1:${CONTROL}
module_path /usr/lib/baresip/modules
${modules.slice(0, 4).map((name) => `module ${name}.so`).join('\n')}
module_app account.so
module_app menu.so
module_app ctrl_tcp.so
module_app debug_cmd.so
`);
writeFileSync(join(folder, 'accounts'), `<sip:${role}@${sip[role]};transport=tcp>;regint=0;medianat=turn;stunserver="${url}";stunuser="${username}";stunpass="${credential}";answermode=auto;audio_codecs=pcmu\n`);
writeFileSync(join(folder, 'contacts'), '');
const baresip = spawn('baresip', ['-f', folder, '-v'], { stdio: ['ignore', 'pipe', 'pipe'] });
for (const stream of [baresip.stdout, baresip.stderr]) stream.on('data', (chunk) => process.stderr.write(chunk));

// Netstrings of JSON, in both directions.
let control;
let heard = '';
const netstring = (object) => {
  const body = JSON.stringify(object);
  return `${Buffer.byteLength(body)}:${body},`;
};
await until('baresip listens', () => new Promise((resolve) => {
  const socket = connect(CONTROL, '127.0.0.1');
  socket.on('connect', () => {
    control = socket;
    resolve(true);
  });
  socket.on('error', () => resolve(false));
}));
control.on('data', (chunk) => (heard += chunk));
const ask = (command, params) => control.write(netstring({ command, params, token: command }));

if (role === 'answer') say({ ready: true });
else createInterface({ input: process.stdin }).once('line', () => ask('dial', `sip:answer@${sip.answer};transport=tcp`));

// The call's statistics have the packets that came.
await until('sound comes', () => {
  ask('callstat');
  const received = [...heard.matchAll(/packets:\s+(\d+)\s+(\d+)/g)].map(([, , count]) => Number(count));
  return Math.max(0, ...received) >= PACKETS;
}, Boolean, { pause: 250, show: () => heard.slice(-1500) });
say({ done: true });
