// `castway doctor` beside real packet filters: what they drop is named, the printed command opens it, and rules that let clients in give no
// alarm. Each case proves from another host that the port is closed, or open, as doctor says.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { blocks } from '../documents/documents.mjs';
import { Program, run } from '../interop/support/process.mjs';
import { build, demolish, serve, SERVER } from './networks.mjs';

const sh = (command) => execFileSync('sh', ['-euc', command], { stdio: ['ignore', 'pipe', 'pipe'], encoding: 'utf8' });
const has = (path) => existsSync(path);

let server;
before(async () => {
  build();
  // ufw and firewalld change files, which are copies here, and firewalld needs a bus.
  for (const folder of ['/etc/ufw', '/etc/default', '/etc/firewalld']) {
    if (has(folder)) sh(`mkdir -p /run/copies${folder}; cp -a ${folder}/. /run/copies${folder}; mount --bind /run/copies${folder} ${folder}`);
  }
  server = await serve({ CASTWAY_HTTP_ADDR: `${SERVER}:8080`, CASTWAY_TURN_ADDR: `${SERVER}:3478` });
});
after(async () => {
  await server?.close();
  demolish();
});
afterEach(() => {
  if (has('/usr/sbin/ufw')) sh('ufw disable >/dev/null 2>&1 || true; ufw --force reset >/dev/null 2>&1 || true');
  for (const save of ['iptables', 'ip6tables']) {
    if (has(`/usr/sbin/${save}`)) sh(`${save} -P INPUT ACCEPT; ${save} -F; ${save} -X; ${save} -t nat -F`);
  }
  sh('nft flush ruleset');
});

// Sends a Binding request from the host `crowd`; resolves to whether it was answered within two seconds.
const BINDING = `const s = require('dgram').createSocket('udp4');
  const m = Buffer.from('000100002112a442' + '00112233445566778899aabb', 'hex');
  const t = setInterval(() => s.send(m, 3478, '${SERVER}'), 200); s.send(m, 3478, '${SERVER}');
  s.on('message', () => process.exit(0)); s.on('error', () => {}); setTimeout(() => process.exit(1), 2000);`;
const udpAnswers = async () => (await run('ip', ['netns', 'exec', 'crowd', process.execPath, '-e', BINDING])).code === 0;
const tcpAnswers = async () => {
  const limits = ['--connect-timeout', '2', '--max-time', '2'];
  return (await run('ip', ['netns', 'exec', 'crowd', 'curl', '-s', ...limits, '-o', '/dev/null', `http://${SERVER}:8080/healthz`])).code === 0;
};

// The lines of a topic.
async function doctor(topic = 'firewall') {
  const { stdout, stderr } = await server.cli(['doctor', '--json', '--no-wait']);
  let report;
  try {
    report = JSON.parse(stdout);
  } catch {
    assert.fail(`${stdout}\n${stderr}`);
  }
  return report.lines.filter((line) => line.name === topic);
}

const alarms = (lines) => lines.filter(({ state }) => state === 'failed' || state === 'warning');
const obey = (command) => sh(command.replaceAll('sudo ', ''));

// What doctor says of closed ports is true, and its commands open them.
async function repairs(names, { udp = true, tcp = false } = {}) {
  assert.equal(await udpAnswers(), !udp, 'UDP');
  assert.equal(await tcpAnswers(), !tcp, 'TCP');
  const lines = await doctor();
  const found = alarms(lines);
  const named = (verdict, port) => found.filter((line) => line.verdict === verdict && line.text.includes(port));
  assert.equal(named('udp_closed', 'UDP 3478').length > 0, udp, JSON.stringify(lines));
  assert.equal(named('tcp_closed', 'TCP 8080').length > 0, tcp, JSON.stringify(lines));
  for (const line of found) {
    assert.match(line.text, names);
    obey(line.command);
  }
  assert.ok(await udpAnswers(), `UDP after ${found.map(({ command }) => command).join('; ')}`);
  assert.ok(await tcpAnswers(), 'TCP');
  const again = await doctor();
  assert.deepEqual(alarms(again), [], JSON.stringify(again));
}

async function isHealthy() {
  assert.ok(await udpAnswers(), 'UDP');
  assert.ok(await tcpAnswers(), 'TCP');
  const lines = await doctor();
  assert.deepEqual(alarms(lines), [], JSON.stringify(lines));
  return lines;
}

const nft = (rules, more = '', policy = 'accept') => sh(`nft -f - <<'END'
table inet filter {
  ${more}
  chain input { type filter hook input priority filter; policy ${policy};
    iif lo accept
    ct state established,related accept
    ct state invalid drop
    ${rules}
  }
}
END`);

describe('nftables', () => {
  test('without rules nothing is closed', async () => {
    const [line] = await isHealthy();
    assert.equal(line.state, 'ok');
  });

  test('a policy that drops', async () => {
    nft('tcp dport { 22, 80, 443, 8080 } accept', '', 'drop');
    await repairs(/^nftables drops .*policy/);
  });

  test('a last rule that drops everything', async () => {
    nft('ip saddr 11.0.0.99 drop\ntcp dport 22 accept\ncounter drop');
    await repairs(/^nftables drops/, { udp: true, tcp: true });
  });

  test('a last rule that rejects', async () => {
    nft('tcp dport 8080 accept\nreject with icmpx admin-prohibited');
    await repairs(/^nftables drops/);
  });

  test('a rule for the port, in front of one that accepts it', async () => {
    nft('udp dport 3000-4000 drop\nudp dport 3478 accept');
    await repairs(/^nftables drops UDP 3478/);
  });

  test('chains that rules lead to', async () => {
    nft('meta l4proto vmap { tcp : jump tcp_in, udp : goto udp_in }', `
      set allowed { type inet_service; elements = { 22, 8080, 3479 } }
      chain tcp_in { tcp dport @allowed accept; drop; }
      chain udp_in { udp dport @allowed accept; log prefix "dropped "; drop; }`);
    await repairs(/^nftables drops .*chain (udp|tcp)_in/);
  });

  test('two tables, each of which drops', async () => {
    nft('udp dport 3478 drop');
    sh(`nft 'table ip more { chain early { type filter hook prerouting priority raw; policy accept; udp dport 3478 drop; }; }'`);
    await repairs(/^nftables drops UDP 3478/);
  });

  test('rules that let clients in give no alarm', async () => {
    nft(`ip saddr 11.0.0.99 drop
      meta nfproto ipv6 fib saddr . iif oif missing drop
      fib daddr type { broadcast, multicast } drop
      tcp flags & (fin|syn|rst|ack) != syn ct state new drop
      icmp type echo-request limit rate 5/second accept
      iifname "docker0" drop
      tcp dport 22 ct count over 3 drop
      meta l4proto . th dport { udp . 3478, tcp . 8080, tcp . 3478 } accept
      drop`);
    await isHealthy();
  });

  test('a network that alone is let in is named', async () => {
    nft('tcp dport 8080 accept\nip saddr 11.0.0.0/24 udp dport 3478 accept\ndrop');
    const found = alarms(await doctor()).filter(({ text }) => text.includes('UDP 3478'));
    assert.ok(found.length === 1 && found[0].state === 'warning' && found[0].text.includes('except from 11.0.0.0/24'), JSON.stringify(found));
  });

  test('a rule that nobody can interpret is no alarm', async () => {
    nft('tcp dport { 8080, 3478 } accept\nmeta cpu 0-63 accept\nudp length > 4 accept\ndrop');
    assert.ok(await udpAnswers());
    const lines = await doctor();
    assert.deepEqual(alarms(lines), [], JSON.stringify(lines));
    assert.ok(lines.some(({ state }) => state === 'unknown'), JSON.stringify(lines));
  });
});

describe('iptables', { skip: !has('/usr/sbin/iptables') && 'iptables is not installed' }, () => {
  test('a policy that drops', async () => {
    sh('iptables -A INPUT -i lo -j ACCEPT; iptables -A INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT; iptables -A INPUT -p tcp -m multiport --dports 22,8080 -j ACCEPT; iptables -P INPUT DROP');
    await repairs(/^iptables drops/);
  });

  test('a last rule that rejects, behind a ban', async () => {
    sh(`iptables -A INPUT -s 11.0.0.99 -j DROP; iptables -A INPUT -i lo -j ACCEPT; iptables -A INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT
      iptables -A INPUT -j REJECT --reject-with icmp-host-prohibited`);
    await repairs(/^iptables drops/, { udp: true, tcp: true });
    // The ban is still the first rule.
    assert.match(sh('iptables -S INPUT 1'), /11\.0\.0\.99/);
  });

  test('chains of its own, and a table that sees packets earlier', async () => {
    sh(`iptables -N services; iptables -A services -p tcp --dport 8080 -j ACCEPT; iptables -A services -p udp -j DROP
      iptables -A INPUT -m conntrack --ctstate NEW -j services; iptables -t raw -A PREROUTING -p udp --dport 3478 -j DROP`);
    try {
      await repairs(/^iptables drops UDP 3478/);
    } finally {
      sh('iptables -t raw -F');
    }
  });

  test('rules that let clients in give no alarm', async () => {
    sh(`iptables -A INPUT -m conntrack --ctstate INVALID -j DROP; iptables -A INPUT -s 11.0.0.99 -j REJECT
      iptables -A INPUT -i docker0 -j DROP; iptables -A INPUT -p tcp --dport 22 -m limit --limit 3/min -j ACCEPT
      iptables -A INPUT -p udp --dport 3000:4000 -j ACCEPT; iptables -A INPUT -p tcp --dport 8080 -j ACCEPT; iptables -A INPUT -p tcp --dport 3478 -j ACCEPT
      iptables -A INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT; iptables -A INPUT -i lo -j ACCEPT; iptables -A INPUT -j DROP`);
    await isHealthy();
  });
});

describe('ufw', { skip: !has('/usr/sbin/ufw') && 'ufw is not installed' }, () => {
  test('a port that is not allowed', async () => {
    sh('ufw allow 8080/tcp; ufw --force enable');
    await repairs(/^ufw drops/);
  });

  test('a port that is denied before others are allowed', async () => {
    sh('ufw deny 3478/udp; ufw allow 3000:4000/udp; ufw allow 8080/tcp; ufw allow 3478/tcp; ufw --force enable');
    await repairs(/^ufw drops UDP 3478/);
  });

  test('allowed ports give no alarm', async () => {
    sh('ufw limit 22/tcp; ufw allow 3478; ufw allow 8080/tcp; ufw --force enable');
    await isHealthy();
  });
});

describe('firewalld', { skip: !has('/usr/sbin/firewalld') && 'firewalld is not installed' }, () => {
  let bus;
  let daemon;
  before(async () => {
    sh('mkdir -p /run/dbus /run/bus');
    // A bus of this test's own, which starts no services.
    sh(`cat > /run/bus/conf <<'END'
<busconfig><type>system</type><listen>unix:path=/run/dbus/system_bus_socket</listen>
<policy context="default"><allow user="*"/><allow own="*"/><allow send_type="method_call"/><allow send_destination="*"/><allow eavesdrop="true"/></policy></busconfig>
END`);
    bus = new Program('dbus-daemon', ['--config-file=/run/bus/conf', '--nofork', '--nopidfile']);
    await bus.ready(async () => has('/run/dbus/system_bus_socket'));
  });
  // Its rules end with each test.
  beforeEach(async () => {
    daemon = new Program('/usr/sbin/firewalld', ['--nofork', '--nopid']);
    await daemon.ready(async () => (await run('firewall-cmd', ['--state'])).code === 0);
  });
  afterEach(() => daemon?.close());
  after(() => bus?.close());

  test('a port that the zone does not have', async () => {
    sh('firewall-cmd --permanent --add-port=8080/tcp; firewall-cmd --reload');
    await repairs(/^firewalld drops/);
  });

  // It comes last, since what is permanent stays.
  test('the commands of docs/deploy.md open the ports of the relay', async () => {
    sh('firewall-cmd --permanent --remove-port=3478/udp; firewall-cmd --reload');
    assert.equal(await udpAnswers(), false);
    obey(blocks('docs/deploy.md').find(({ text }) => text.includes('firewall-cmd')).text);
    assert.equal(await udpAnswers(), true);
    assert.match(sh('firewall-cmd --list-ports'), /443\/tcp/);
  });
});
