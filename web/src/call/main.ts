// /r/ROOM
const room = document.getElementById('room');
if (room) room.textContent = decodeURIComponent(location.pathname.split('/')[2] || '');
