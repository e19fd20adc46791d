import { at } from '../lib/base';
import { byId, setText, show } from '../lib/dom';
import { t } from '../lib/i18n';
import { TextField } from '../lib/text-field';
import { loadInfo } from '../lib/info';
import { roomName, roomPath, typedRoom } from '../lib/room-name';
import { forget, freshRoom, recentRooms } from './recent';

const pathOf = (room: string) => `${at(roomPath(room))}${location.search}`;

/** Opens the room's lobby. Nobody is in a call before having seen there what the others will see. */
function open(room: string): void {
  location.href = pathOf(room);
}

/** Whether the address is one of this server, as far as the server knows its own. */
async function isOurs(server: string): Promise<boolean> {
  const host = (url: string) => url.replace(/^https?:\/\//i, '').replace(/\/+$/, '').toLowerCase();
  if (host(server).split('/')[0] === location.host.toLowerCase()) return true;
  const info = await loadInfo();
  return info !== null && info.origins.concat(info.publicUrl ?? []).some((url) => host(url) === host(server));
}

function list(): void {
  const rooms = recentRooms();
  show(byId('recent'), rooms.length > 0);
  const into = byId('recent-list');
  into.textContent = '';
  rooms.forEach((room) => {
    const row = document.createElement('li');
    const link = document.createElement('a');
    const name = roomName(room);
    link.href = pathOf(room);
    link.textContent = name;
    link.className = 'room';
    const remove = document.createElement('button');
    remove.type = 'button';
    remove.className = 'quiet';
    remove.textContent = '×';
    remove.setAttribute('aria-label', t.callForget(name));
    remove.addEventListener('click', () => {
      forget(room);
      list();
      byId('room-input').focus();
    });
    row.appendChild(link);
    row.appendChild(remove);
    into.appendChild(row);
  });
}

/** Runs the page at `/r`. */
export function start(): void {
  document.body.setAttribute('data-state', 'start');
  show(byId('start'), true);
  const input = byId<HTMLInputElement>('room-input');
  const say = (problem: string | null) => {
    input.setAttribute('aria-invalid', String(problem !== null));
    setText(byId('room-hint'), problem ?? t.callRoomHint);
  };
  const field = new TextField(input, () => say(null));
  byId<HTMLFormElement>('open').addEventListener('submit', async (event) => {
    event.preventDefault();
    if (field.composing) return field.confirm();
    const { id, server } = typedRoom(input.value);
    const elsewhere = server !== null && !(await isOurs(server));
    if (id && !elsewhere) return open(id);
    say(elsewhere ? t.callRoomElsewhere(server) : t.callRoomBad);
    input.focus();
  });
  byId('fresh').addEventListener('click', () => open(freshRoom()));
  list();
}
