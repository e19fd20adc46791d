// Binary attachments for polling clients of Engine.IO 3.
import { randomUUID } from 'node:crypto';
import { ofLine } from './clients-table.mjs';
import { Peer } from './clients.mjs';
import { within } from './wait.mjs';

// The bytes of an event for a polling client of Engine.IO 3. They are read from the payload, since a client fails on unreadable ones.
export async function bytesByPolling({ url }, query) {
  const poller = `${url}/socket.io/?EIO=3&transport=polling${query}`;
  const { sid } = JSON.parse((await (await fetch(poller)).text()).match(/{.*?}/s)[0]);
  const session = `${poller}&sid=${sid}`;
  const hear = async () => Buffer.from(await (await fetch(session)).arrayBuffer()).toString('latin1');
  const say = (packet) => fetch(session, { method: 'POST', headers: { 'content-type': 'text/plain;charset=UTF-8' }, body: `${packet.length}:${packet}` });
  const until = async (pattern) => {
    for (let heard = ''; ; heard += await hear()) if (pattern.test(heard)) return heard;
  };
  const recent = ofLine('-2').io(url, { transports: ['websocket'], forceNew: true, reconnection: false });
  const caster = new Peer(recent, 'caster');
  try {
    // The originals use the given code; ours treats it as an unknown token.
    await say(`42["TV_INIT","${randomUUID()}"]`);
    const [, code] = (await until(/"TV_INIT_OK"/)).match(/"TV_INIT_OK","([\w-]+)"/);
    caster.emit('JOIN_ROOM', code);
    await caster.next('JOIN_ROOM_OK');
    caster.emit('CLIENT_OFFER_TO_SERVER', { sdp: Buffer.from('v=0') });
    // The byte immediately after the event.
    return (await within(until(/_placeholder[^\]]*\]./s), 'bytes')).match(/_placeholder[^\]]*\](.*)/s)[1];
  } finally {
    recent.disconnect();
  }
}
