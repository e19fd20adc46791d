/**
 * The names of rooms. On the wire a room has an id of ASCII letters, digits, `-` and `_`, as in AppRTC. A name that is none
 * becomes the id `u-` and the base64url of its UTF-8 in NFC. Pages and links show the name.
 */

const ID = /^[\w-]{1,256}$/;
const MAX_ID_LENGTH = 256;

/** A name with other characters than these shows what it is; spaces, controls and signs of direction would hide it. */
const HIDDEN =
  /[\u0080-\u00a0\u00ad\u034f\u061c\u115f\u1160\u1680\u17b4\u17b5\u180b-\u180f\u2000-\u200b\u200e\u200f\u2028-\u202f\u205f-\u206f\u2800\u3000\u3164\ue000-\uf8ff\ufeff\uffa0\ufff0-\uffff]|\ud82f[\udca0-\udca3]|\ud834[\udd59\udd73-\udd7a]|[\udb40-\udb43\udb80-\udbff]/;
const INVISIBLE = /[\u200c\u200d\ufe00-\ufe0f]/g;
const OTHER_ASCII = /[\u0000-\u007f]/;
const FULL_WIDTH = /[\uff01-\uff5e]/g;

const AFTER_A_LINK = /[.,;:!)\]}>'"]+$/;
/** A link of a room, perhaps inside a sentence: the address of its server, and the name as it stands in the link. */
const LINK = /(https?:\/\/[^\s/?#]+(?:\/[^\s?#]*?)?)\/r\/([^\s/?#，。；：！）】》”]+)/i;

/** Whether the server accepts it as the id of a room. */
export function isId(id: unknown): id is string {
  return typeof id === 'string' && ID.test(id);
}

/** The id of the room with this name, or with this id. Null if no room can have the name. */
export function roomId(name: string): string | null {
  // Input methods write full-width letters, which mean the ordinary ones.
  const plain = name.normalize('NFKC').trim().replace(/\s+/g, '-');
  if (ID.test(plain)) {
    const named = nameIn(plain);
    // An id has one form: that of a name which needs no encoding is the name.
    return (named !== null && roomId(named)) || plain;
  }
  const text = name.replace(FULL_WIDTH, (letter) => String.fromCharCode(letter.charCodeAt(0) - 0xfee0)).normalize('NFC').trim().replace(/\s+/g, '-');
  if (!text.replace(INVISIBLE, '') || OTHER_ASCII.test(text.replace(/[\w-]/g, '')) || HIDDEN.test(text)) return null;
  const id = encoded(text);
  return id !== null && id.length <= MAX_ID_LENGTH ? id : null;
}

/** The name that people read. */
export function roomName(id: string): string {
  const name = nameIn(id);
  // Whoever reads the name aloud must reach the same room with it.
  return name !== null && roomId(name) === id ? name : id;
}

/** The path of a room's page, below the path of the server. */
export function roomPath(id: string): string {
  return `/r/${encodeURIComponent(roomName(id))}`;
}

/** The room of a page's path, below the path of the server. Null if the path names none. */
export function roomOfPath(path: string): string | null {
  // The server treats several slashes as one.
  const part = path.replace(/\/+/g, '/').split('/')[2];
  return part ? roomId(unescaped(part)) : null;
}

/** What was typed or pasted: a room, on the server at `server` if it was a link. */
export function typedRoom(text: string): { id: string | null; server: string | null } {
  const link = LINK.exec(text.normalize('NFC'));
  if (!link) return { id: roomId(text), server: null };
  return { id: roomId(unescaped(link[2]!.replace(AFTER_A_LINK, ''))), server: link[1]! };
}

function unescaped(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

function encoded(text: string): string | null {
  try {
    return `u-${btoa(unescape(encodeURIComponent(text))).replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '')}`;
  } catch {
    // Half of a surrogate pair.
    return null;
  }
}

/** The name inside an id; null if the id is a plain one. */
function nameIn(id: string): string | null {
  if (!/^u-/.test(id)) return null;
  try {
    return decodeURIComponent(escape(atob(id.slice(2).replace(/-/g, '+').replace(/_/g, '/'))));
  } catch {
    return null;
  }
}
