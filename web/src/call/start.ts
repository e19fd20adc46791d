import { at } from '../lib/base';
import { byId, setText, show, store } from '../lib/dom';
import { t } from '../lib/i18n';
import { TextField } from '../lib/text-field';
import { forget, freshRoom, isRoom, recentRooms } from './recent';

/** Tells the room's page to join without another click. The value is the room's name. */
export const JOIN_ROOM_KEY = 'castway.call';

function open(room: string): void {
  store('sessionStorage', JOIN_ROOM_KEY, room);
  location.href = at(`/r/${room}${location.search}`);
}

function list(): void {
  const rooms = recentRooms();
  show(byId('recent'), rooms.length > 0);
  const into = byId('recent-list');
  into.textContent = '';
  rooms.forEach((room) => {
    const row = document.createElement('li');
    const link = document.createElement('a');
    link.href = at(`/r/${room}${location.search}`);
    link.textContent = room;
    link.className = 'room';
    const remove = document.createElement('button');
    remove.type = 'button';
    remove.className = 'quiet';
    remove.textContent = '×';
    remove.setAttribute('aria-label', t.callForget(room));
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
  const problem = (bad: boolean) => {
    input.setAttribute('aria-invalid', String(bad));
    setText(byId('room-hint'), bad ? t.callRoomBad : t.callRoomHint);
  };
  const field = new TextField(input, () => problem(false));
  byId<HTMLFormElement>('open').addEventListener('submit', (event) => {
    event.preventDefault();
    if (field.composing) return field.confirm();
    // Input methods write full-width letters; NFKC makes them ordinary ones.
    const room = input.value.normalize('NFKC').trim().replace(/\s+/g, '-');
    if (isRoom(room)) return open(room);
    problem(true);
    input.focus();
  });
  byId('fresh').addEventListener('click', () => open(freshRoom()));
  list();
  input.focus({ preventScroll: true });
}
