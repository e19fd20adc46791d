// The built pages with an API of `/admin` whose answers a script decides: for pictures of states that a real server reaches only after
// days, or under load. Tests of what the page does use the real server.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const dist = fileURLToPath(new URL('../../../web/dist/', import.meta.url));
const TYPES = { '.html': 'text/html; charset=utf-8', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml' };
const POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

const now = () => Math.floor(Date.now() / 1000);
const FIREFOX = 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0';
const TIZEN = 'Mozilla/5.0 (SMART-TV; LINUX; Tizen 6.5) AppleWebKit/537.36 (KHTML, like Gecko) 85.0.4183.93/6.5 TV Safari/537.36';
const EDGE = 'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Safari/537.36 Edg/138.0.0.0';
const party = (address, name = null, user = null, agent = FIREFOX) => ({ address, name, user, agent });
const media = (path, kbps, loss, rttMs) => ({ path, kbps, loss, rttMs });
// What the server says, in the languages of the pages.
const said = (en, zh) => ({ en, zh });
const verdict = (code, en, zh, command = '') => ({ verdict: { code, side: 'server', command, en: { fix: '', ...en }, zh: { fix: '', ...zh } } });
const NONE = media(null, null, null, null);

// Everything that a server may have to show, with names that try to break the page.
export const FULL = () => ({
  state: { available: true, why: null, operator: 'anna', csrf: 'token', version: '0.3.0', now: now() },
  now: {
    tvs: 12, casts: 3, calls: 2, rooms: 2, allocations: 1204, kbpsRelayed: 48_213, uptime: 1_234_567, version: '0.3.0',
    history: Array.from({ length: 60 }, (_, minute) => Math.round(30_000 + 20_000 * Math.sin(minute / 7) + (minute % 5) * 1500)),
    certificate: { names: ['cast.example.org', 'turn.example.org'], daysLeft: 61, trusted: true, problem: null },
    lastCheck: { at: now() - 7300, address: '198.51.100.9', verdict: said('Everything works from there', '从该处检查一切正常'), ok: true },
    warnings: [
      said('The limit of open files (1024) is small: raise it (LimitNOFILE=, ulimit -n).', '打开文件数的上限（1024）太小：请调高（LimitNOFILE=、ulimit -n）。'),
      said('CASTWAY_EXTERNAL_IP is 10.0.0.5, which no device on the internet reaches. Set it to this machine’s public address.', 'CASTWAY_EXTERNAL_IP 是 10.0.0.5，互联网上的设备无法到达。请将其设为此机器的公网地址。'),
    ],
  },
  casts: [
    { id: 'cast-1', code: 'E3•••Z', since: now() - 840, tv: party('203.0.113.9', '客厅 Living room', null, TIZEN), caster: party('198.51.100.40', 'Anna’s laptop', 'anna', EDGE), media: media('relay/udp', 2840, 0.004, 41), mayChangeCode: true },
    { id: 'cast-2', code: 'K7•••M', since: now() - 15_000, tv: party('2001:db8:1234:5678:9abc:def0:1234:5678', '<img src=x onerror="document.title=1">', null, TIZEN), caster: party('2001:db8::77', null, 'a-user-with-a-rather-long-name-of-a-tenant@example.org'), media: media('direct', 912, 0, 3), mayChangeCode: false },
    { id: 'cast-3', code: 'QF•••2', since: now() - 12, tv: party('192.0.2.8', 'abc\u202edef\u0007', null, null), caster: null, media: NONE, mayChangeCode: true },
  ],
  calls: [
    { id: 'call-1', room: 'mee•••g', since: now() - 1260, members: [party('203.0.113.9'), party('198.51.100.40', null, 'bob', EDGE)], media: media('relay/tls', 1210, 0.02, 120) },
    { id: 'call-2', room: '<b•••>', since: now() - 5, members: [party('203.0.113.77')], media: NONE },
  ],
  rooms: [
    { id: 'room-1', room: 'cla•••m', since: now() - 4000, members: Array.from({ length: 20 }, (_, index) => party(`203.0.113.${index}`, `Student ${index}`)), memberCount: 34 },
    { id: 'room-2', room: 'x', since: now() - 90, members: [party(null, 'Ghost')], memberCount: 1 },
  ],
  allocations: Array.from({ length: 1204 }, (_, index) => ({
    id: `alloc-${index}`, user: index % 3 ? 'castway' : 'alice', scope: index % 2 ? 'clients' : 'anyone', client: index % 4 ? `203.0.113.${index % 256}:${40_000 + index}` : `[2001:db8::${index}]:${40_000 + index}`,
    transport: ['udp', 'tcp', 'tls'][index % 3], relayed: index % 5 ? [`192.0.2.1:${50_000 + index}`] : [`192.0.2.1:${50_000 + index}`, `[2001:db8::1]:${50_000 + index}`],
    peers: index % 7 ? [`198.51.100.${index % 256}`] : [], peerCount: index % 7 ? 1 + (index % 11) : 0, since: now() - index, sent: 1_000_000_000 / (index + 1), received: 3000 * index, expiresIn: 590 - (index % 500),
  })),
  users: [
    { name: 'alice', scope: 'anyone', kind: 'user', enabled: true, admin: false, allocations: 2, today: 412_000_000, month: 8_420_000_000, quota: 50_000_000_000 },
    { name: 'bob', scope: 'anyone', kind: 'user', enabled: false, admin: true, allocations: 0, today: 0, month: 120, quota: null },
    { name: 'anna', scope: '', kind: 'operator', enabled: true, admin: false, allocations: 0, today: 0, month: 0, quota: null },
    { name: 'tenant-17:<script>alert(1)</script>', scope: 'clients', kind: 'signed', enabled: true, admin: false, allocations: 1, today: 1_200_000, month: 9_900_000, quota: 10_000_000 },
    { name: '', scope: '', kind: 'others', enabled: true, admin: false, allocations: 11, today: 77_000_000, month: 1_230_000_000_000, quota: null },
  ],
  usage: [{ period: '2026-11', scope: 'anyone', name: 'alice', bytes: 8_420_000_000 }, { period: '2026-10', scope: 'anyone', name: 'alice', bytes: 31_900_000_000 }],
  bans: [
    { id: 'ban-1', target: '203.0.113.0/24', since: now() - 300, until: now() + 3300, by: 'anna' },
    { id: 'ban-2', target: 'user:mallory', since: now() - 90_000, until: null, by: 'command line' },
  ],
  throttled: ['code', 'room_password', 'admin_password', 'operator_password', 'api_key', 'check_key', 'user_password', 'turn_password', 'turn_password_udp'].map((kind, index) => ({
    address: `198.51.100.${66 + index}`, kind, wait: 48 + index,
  })),
  checks: [
    { at: now() - 7300, kind: 'check', address: '198.51.100.9', result: verdict('fine', { title: 'Everything works from there', text: 'Each path to the relay works.' }, { title: '从该处检查一切正常', text: '到中继的每条路径都可用。' }) },
    { at: now() - 90_000, kind: 'cast', address: '203.0.113.9', result: verdict('udp_closed', { title: 'UDP does not reach the relay', text: 'Nothing from you reached UDP 3478; TCP did.', fix: 'Open UDP 3478 in the machine’s firewall.' }, { title: 'UDP 无法到达中继', text: '您发往 UDP 3478 的数据都没有到达，TCP 则到达了。', fix: '请在此机器的防火墙中放行 UDP 3478。' }, 'sudo nft insert rule inet filter input udp dport 3478 accept') },
  ],
  log: Array.from({ length: 60 }, (_, index) => ({
    n: index + 1, at: Date.now() - (60 - index) * 17_000, level: index % 9 === 4 ? 'WARN' : index % 20 === 7 ? 'ERROR' : 'INFO',
    text: ['cast started tv=E3•••Z tv_ip=203.0.113.9 caster_ip=198.51.100.40', 'refused: 401 wrong password client=198.51.100.66:40123 user="<i>mallory</i>" (a reason that is long enough to need a second line on every phone and on some desktops)', 'cast ended tv=QF•••2 duration=14m route=relay/udp bytes=312MB reason=caster_left'][index % 3],
  })),
  settings: [
    { name: 'CASTWAY_PUBLIC_URL', value: 'https://cast.example.org', default: null, secret: false },
    { name: 'CASTWAY_HTTP_ADDR', value: null, default: '0.0.0.0:8080', secret: false },
    { name: 'CASTWAY_STATIC_AUTH_SECRET', value: 'set', default: null, secret: true },
    { name: 'CASTWAY_MAX_PORT', value: '60999', default: '65535', secret: false },
    { name: 'CASTWAY_WEBHOOK_URL', value: null, default: null, secret: false },
  ],
});

// A server on which nothing happens.
export const EMPTY = () => {
  const lists = ['casts', 'calls', 'rooms', 'allocations', 'users', 'usage', 'bans', 'throttled', 'checks', 'log'];
  const full = FULL();
  const idle = { tvs: 0, casts: 0, calls: 0, rooms: 0, allocations: 0, kbpsRelayed: 0, uptime: 12, history: Array(60).fill(0), certificate: null, lastCheck: null, warnings: [] };
  return { ...full, ...Object.fromEntries(lists.map((name) => [name, []])), now: { ...full.now, ...idle } };
};

const part = (rows, query) => {
  const found = rows.filter((row) => JSON.stringify(row).includes(query.get('search') ?? ''));
  const offset = Number(query.get('offset') ?? 0);
  return { rows: found.slice(offset, offset + (Number(query.get('limit')) || 500)), total: found.length };
};

// Starts it: {url, data, posts, tell, close}. `data` may be changed; `posts` has what was asked for, and `tell(event, data)` sends an event.
export async function startMockAdmin(data = FULL(), port = 0) {
  const posts = [];
  const streams = new Set();
  const looks = {
    state: () => data.state,
    now: () => data.now,
    log: () => ({ lines: data.log }),
    ...Object.fromEntries(['casts', 'calls', 'rooms', 'allocations', 'users'].map((name) => [name, (query) => part(data[name], query)])),
    usage: (query) => ({ rows: data.usage.filter(({ name }) => name === query.get('user')) }),
  };
  const answers = {
    'sign-in': () => data.signIn ?? [200, { operator: 'anna', csrf: 'token' }],
    'users/password': () => [200, { password: 'correct-horse-battery-staple-9' }],
    'checks/key': () => [200, { key: '7F3K', url: 'https://cast.example.org/check?k=7F3K', expires: now() + 900 }],
  };
  const api = (request, response, name, query) => {
    const send = ([status, body]) => response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    if (request.method === 'POST') {
      let text = '';
      request.on('data', (chunk) => (text += chunk)).on('end', () => {
        posts.push([name, JSON.parse(text), request.headers['x-castway-csrf']]);
        send(data.refuse ?? answers[name]?.() ?? [200, { done: 'It was done.' }]);
      });
    } else if (name === 'events') {
      response.writeHead(200, { 'content-type': 'text/event-stream' }).write(`event: now\ndata: ${JSON.stringify(data.now)}\n\n`);
      streams.add(response);
      response.on('close', () => streams.delete(response));
    } else send([200, looks[name]?.(query) ?? { rows: data[name] }]);
  };
  const server = createServer((request, response) => {
    const { pathname, searchParams } = new URL(request.url, 'http://localhost');
    if (pathname.startsWith('/admin/api/')) return api(request, response, pathname.slice('/admin/api/'.length), searchParams);
    const file = pathname === '/admin' ? 'admin.html' : pathname.slice(1);
    try {
      const content = readFileSync(join(dist, file));
      return response.writeHead(200, { 'content-type': TYPES[extname(file)], 'content-security-policy': POLICY }).end(content);
    } catch {
      return response.writeHead(404, { 'content-type': 'application/json' }).end('{}');
    }
  });
  await new Promise((resolve) => server.listen(port, '127.0.0.1', resolve));
  const tell = (event, body) => streams.forEach((stream) => stream.write(`event: ${event}\ndata: ${JSON.stringify(body)}\n\n`));
  const beat = setInterval(() => tell('now', data.now), 2000);
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    data, posts, tell,
    // Twice is as good as once.
    close: async () => {
      clearInterval(beat);
      server.closeAllConnections();
      await new Promise((resolve) => server.close(() => resolve()));
    },
  };
}
