// The names of rooms in the pages of calls: web/src/lib/room-name.ts, bundled as Vite does it.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';

const web = new URL('../../web/', import.meta.url);
const { rolldown } = await import(pathToFileURL(createRequire(new URL('package.json', web)).resolve('rolldown')));
const bundle = await rolldown({ input: fileURLToPath(new URL('src/lib/room-name.ts', web)) });
const { output: [{ code }] } = await bundle.generate({ format: 'esm' });
const { isId, roomId, roomName, roomOfPath, roomPath, typedRoom } = await import(`data:text/javascript,${encodeURIComponent(code)}`);

const encoded = (text) => `u-${Buffer.from(text).toString('base64url')}`;

test('a name of ASCII letters, digits, - and _ is the id, however it was typed', () => {
  for (const [typed, id] of [['team', 'team'], [' my  room ', 'my-room'], ['ＡＢＣ', 'ABC'], ['team　meeting', 'team-meeting'], ['ａ_１－2', 'a_1-2'], ['u-turn', 'u-turn'], ['u-', 'u-'], ['a'.repeat(256), 'a'.repeat(256)]]) {
    assert.equal(roomId(typed), id, typed);
    assert.equal(roomName(id), id);
    assert.equal(roomPath(id), `/r/${id}`);
  }
});

test('any other name is u- and base64url of its NFC', () => {
  assert.equal(roomId('会议'), 'u-5Lya6K6u');
  assert.equal(roomId('Zoe\u0308'), encoded('Zo\u00eb'));
  assert.equal(roomId(' 会议　１ '), encoded('会议-1'));
  assert.equal(roomId('👩‍👩‍👧'), encoded('👩‍👩‍👧'));
  assert.equal(roomName('u-5Lya6K6u'), '会议');
  assert.equal(roomPath('u-5Lya6K6u'), '/r/%E4%BC%9A%E8%AE%AE');
});

test('an id has one form, and a name that would look like another one is shown as its id', () => {
  const aliases = { [encoded('abc')]: 'abc', [encoded(encoded('abc'))]: 'abc', [encoded('Zoe\u0308')]: encoded('Zo\u00eb'), [encoded(' 会议')]: encoded('会议'), 'u-5Lya6K6u': 'u-5Lya6K6u' };
  for (const [alias, id] of Object.entries(aliases)) {
    assert.equal(roomId(alias), id, alias);
    assert.equal(roomOfPath(`/r/${alias}`), id, alias);
  }
  for (const hidden of ['会议\u202e', '\u2066会议', '会\u200b议', 'a/b', '../r', '会议?x', '<b>', '\u200d', '会\u0000议', '\u{e0041}', '会\u{e0fff}', '会\u{1d159}', '会\u{1d173}', '会\u{1bca0}', '会\u{f0000}', '会\u{10fffd}']) {
    assert.equal(roomId(hidden), null, JSON.stringify(hidden));
    assert.equal(roomName(encoded(hidden)), encoded(hidden));
  }
  for (const broken of ['u-gICA', 'u-_____w', 'u-5Lya6K6', 'u-SGkh']) assert.deepEqual([roomId(broken), roomName(broken)], [broken, broken]);
});

test('nothing else is a name', () => {
  for (const text of ['', ' ', 'no/room', 'a.b', '会议/１', '会议／１', '\ud800', '会议\udc00', 'a'.repeat(257), '会'.repeat(64)]) assert.equal(roomId(text), null, JSON.stringify(text));
  assert.ok(isId(roomId('会'.repeat(63))));
});

test('a link names its room and its server, also inside a sentence', () => {
  const links = {
    'https://call.example/r/team': ['team', 'https://call.example'],
    'Come: http://10.0.0.7:8080/r/%E4%BC%9A%E8%AE%AE?ice=relay#x, now': ['u-5Lya6K6u', 'http://10.0.0.7:8080'],
    'https://example.org/cast/r/会议/': ['u-5Lya6K6u', 'https://example.org/cast'],
    'https://example.org/r/r/u-5Lya6K6u': ['u-5Lya6K6u', 'https://example.org/r'],
    '(https://example.org/r/team).': ['team', 'https://example.org'],
    '链接：https://example.org/r/会议，快来': ['u-5Lya6K6u', 'https://example.org'],
    '链接：https://example.org/r/会议。': ['u-5Lya6K6u', 'https://example.org'],
    'https://example.org/r/%ff': [null, 'https://example.org'],
  };
  for (const [text, [id, server]] of Object.entries(links)) assert.deepEqual(typedRoom(text), { id, server }, text);
  assert.deepEqual(typedRoom('https://example.org/tv'), { id: null, server: null });
  assert.deepEqual(typedRoom('team'), { id: 'team', server: null });
});

test('a path names its room', () => {
  const paths = { '/r/team': 'team', '//r//team/': 'team', '/r/%E4%BC%9A%E8%AE%AE': 'u-5Lya6K6u', '/r/Zoe%CC%88': encoded('Zo\u00eb'), '/r': null, '/r/': null, '/r/%2e%2e': null };
  for (const [path, id] of Object.entries(paths)) assert.equal(roomOfPath(path), id, path);
});

// Texts of every kind from a seed, so that a failure can be repeated.
test('every id leads back to itself: as a name, in a path and in a link', () => {
  let seed = 16;
  const random = (below) => (seed = (seed * 48271) % 0x7fffffff) % below;
  const ranges = [[0x20, 0x7e], [0x61, 0x7a], [0xa0, 0x17f], [0x300, 0x36f], [0x590, 0x6ff], [0x1100, 0x11ff], [0x2000, 0x20ff], [0x3040, 0x30ff], [0x4e00, 0x9fff], [0xac00, 0xd7a3], [0xd800, 0xdfff], [0xfe00, 0xffff], [0x1f300, 0x1faff]];
  let accepted = 0;
  for (let i = 0; i < 2000; i += 1) {
    const script = ranges[random(ranges.length)];
    let text = random(8) ? '' : 'u-';
    for (let length = random(12); length >= 0; length -= 1) {
      const [from, to] = random(4) ? script : ranges[random(ranges.length)];
      text += String.fromCodePoint(from + random(to - from + 1));
    }
    for (const name of [text, encoded(text)]) {
      const id = roomId(name);
      if (id === null) continue;
      accepted += 1;
      assert.ok(isId(id), name);
      assert.equal(roomId(id), id, name);
      assert.equal(roomId(roomName(id)), id, name);
      assert.equal(roomOfPath(roomPath(id)), id, name);
      assert.deepEqual(typedRoom(`https://a.example${roomPath(id)}`), { id, server: 'https://a.example' }, name);
      assert.equal(roomId(name.normalize('NFD')), roomId(name.normalize('NFC')), name);
    }
  }
  assert.ok(accepted > 2000, `${accepted}`);
});
