// The cast flow on a Socket.IO server, as short as front ends need it: what each server of this bench but Castway runs.
import { randomInt } from 'node:crypto';

const LETTERS = 'ABCDEFGHJKMNPQRSTWXYZ012345678';
const newCode = () => Array.from({ length: 6 }, () => LETTERS[randomInt(LETTERS.length)]).join('');

export function serve(io) {
  // The TV of each code.
  const tvs = new Map();
  io.on('connection', (socket) => {
    // The code of a TV. The other side is in the socket's data.
    let code;
    socket.on('TV_INIT', () => {
      // A TV that asks again gets another code, and the old one ends.
      tvs.delete(code);
      do code = newCode();
      while (tvs.has(code));
      tvs.set(code, socket);
      socket.emit('TV_INIT_OK', code);
    });
    socket.on('JOIN_ROOM', (wanted) => {
      const tv = tvs.get(wanted);
      if (!tv) return;
      [socket.data.other, tv.data.other] = [tv, socket];
      socket.emit('JOIN_ROOM_OK', wanted);
      tv.emit('CASTER_JOINED', {});
    });
    const pass = (event, as) => socket.on(event, (message) => socket.data.other?.emit(as, message));
    pass('CLIENT_OFFER_TO_SERVER', 'CLIENT_OFFER_TO_TV');
    pass('TV_ANSWER_TO_SERVER', 'TV_ANSWER_TO_CLIENT');
    pass('RTC_Candidate_Exchange', 'RTC_Candidate_Exchange');
    socket.on('disconnect', () => {
      tvs.delete(code);
      const { other } = socket.data;
      if (other?.data.other === socket) other.data.other = undefined;
    });
  });
}
