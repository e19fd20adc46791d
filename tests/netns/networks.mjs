// Two homes behind routers that translate addresses, and between them the server's network without a route to any other network.
//
//   home 1: 192.168.1.2 ── router 1: 11.0.0.11 ──┐
//                                                 ├── 11.0.0.1: this process's own namespace, where servers run; no default route
//   home 2: 192.168.2.2 ── router 2: 11.0.0.12 ──┤
//                           crowd: 11.0.0.20 ────┘ the host that has all addresses of CROWD
//
// The mapping is symmetric (a random port for every destination), and routers drop packets that no host at home has asked for.
// This must run within ./enter: the networks disappear with its namespace.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startServer } from '../interop/support/server.mjs';

export const SERVER = '11.0.0.1';
// The server's other address once `addV6` has added the family.
export const SERVER_V6 = '2a11::1';
export const CROWD = '12.0.0.0/16';

const run = (command) => execFileSync('sh', ['-euc', command], { stdio: ['ignore', 'pipe', 'inherit'], encoding: 'utf8' });

const SYMMETRIC = 'oifname wan masquerade fully-random';
const RULES = `
table inet home {
  chain postrouting { type nat hook postrouting priority srcnat; ${SYMMETRIC}; }
  chain input { type filter hook input priority filter; iifname "wan" ct state new drop; }
  chain forward { type filter hook forward priority filter; iifname "wan" ct state new drop; }
}`;

// The command that makes the namespace of a host with browsers. Chromium gives its requests up when an address that was tentative becomes usable,
// so no address of this host is tentative.
export const addHost = (name) =>
  `ip netns add ${name}; ip netns exec ${name} sh -c 'for conf in all default; do echo 0 > /proc/sys/net/ipv6/conf/$conf/accept_dad; done'`;

// Whether no address of a host is about to change: its links are up, and what they have is usable.
export function isSettled(name) {
  const links = JSON.parse(run(`ip -n ${name} -j addr show`)).filter(({ ifname }) => ifname !== 'lo');
  return links.every(({ operstate, addr_info: addresses }) => operstate === 'UP' && addresses.every(({ tentative }) => !tentative));
}

export function build() {
  if (!process.env.CASTWAY_NETNS) throw new Error('run it with tests/run netns, or within tests/netns/enter');
  run(`ip link add wan type bridge; ip addr add ${SERVER}/24 dev wan; ip link set wan up`);
  for (const n of [1, 2]) {
    run(`
      ip netns add router${n}; ${addHost(`home${n}`)}
      ip link add port${n} master wan type veth peer name wan netns router${n}; ip link set port${n} up
      ip -n router${n} link add lan type veth peer name eth0 netns home${n}
      ip -n router${n} addr add 11.0.0.1${n}/24 dev wan; ip -n router${n} addr add 192.168.${n}.1/24 dev lan
      ip -n home${n} addr add 192.168.${n}.2/24 dev eth0
      for link in lo wan lan; do ip -n router${n} link set $link up; done
      for link in lo eth0; do ip -n home${n} link set $link up; done
      ip -n home${n} route add default via 192.168.${n}.1
      ip netns exec router${n} sh -c 'echo 1 > /proc/sys/net/ipv4/ip_forward; nft -f -' <<'END'
${RULES}
END`);
  }
  run(`
    ip netns add crowd
    ip link add port3 master wan type veth peer name wan netns crowd; ip link set port3 up
    ip -n crowd addr add 11.0.0.20/24 dev wan; ip -n crowd link set lo up; ip -n crowd link set wan up
    ip -n crowd route add local ${CROWD} dev lo; ip route add ${CROWD} via 11.0.0.20`);
}

// Gives the homes, the routers and the server addresses of IPv6 as well. Both families of a home are translated, and closed to packets that no
// host at home has asked for.
export function addV6() {
  run(`ip addr add ${SERVER_V6}/64 dev wan nodad`);
  for (const n of [1, 2]) {
    run(`
      ip -n router${n} addr add 2a11::1${n}/64 dev wan nodad; ip -n router${n} addr add 2a11:0:0:${n}::1/64 dev lan nodad
      ip -n home${n} addr add 2a11:0:0:${n}::2/64 dev eth0 nodad; ip -n home${n} route add default via 2a11:0:0:${n}::1
      ip netns exec router${n} sh -c 'echo 1 > /proc/sys/net/ipv6/conf/all/forwarding'`);
  }
}

// Starts Castway at the addresses of these networks.
export const serve = (settings) =>
  startServer({
    CASTWAY_HTTP_ADDR: `${SERVER}:8080`,
    CASTWAY_TURN_ADDR: `${SERVER}:3478`,
    CASTWAY_EXTERNAL_IP: SERVER,
    CASTWAY_RELAY_IP: SERVER,
    CASTWAY_TURN_ACCESS: 'open',
    // The tests read the metrics from this address.
    CASTWAY_METRICS_ALLOW: SERVER,
    ...settings,
  });

export function demolish() {
  for (const name of ['router1', 'home1', 'router2', 'home2', 'crowd']) run(`ip netns del ${name} || true`);
  run('ip link del wan || true');
  run('nft delete table ip docker 2>/dev/null || true; ip netns del container 2>/dev/null || true; ip link del docker0 2>/dev/null || true');
  run('nft delete table inet server 2>/dev/null || true');
  forgetNames();
}

// Makes the server's own firewall accept only new connections to these ports, and send no datagram from another port than `udp`.
export function openOnly({ tcp, udp }) {
  run(`nft -f - <<'END'
table inet server {
  chain input {
    type filter hook input priority filter;
    iifname != "wan" accept; ct state established accept; tcp dport ${tcp} accept; udp dport ${udp} accept; drop;
  }
  chain output { type filter hook output priority filter; oifname "wan" udp sport != ${udp} counter drop; }
}
END`);
}

// How many datagrams `openOnly` has kept the server from sending.
export const strayDatagrams = () => Number(run('nft list chain inet server output').match(/counter packets (\d+)/)[1]);

// A container on a bridge of the server's machine, as Docker makes it: a private address, the host's ports `tcp` and `udp` published to the
// same ports of it, and masquerading, also where the container or another one on the bridge asks for a published port.
export const CONTAINER = '172.17.0.2';
export function contain({ tcp, udp }) {
  run(`
    ip link add docker0 type bridge; ip addr add 172.17.0.1/16 dev docker0; ip link set docker0 up
    ip netns add container; ip link add veth0 master docker0 type veth peer name eth0 netns container; ip link set veth0 up
    ip link set veth0 type bridge_slave hairpin on
    ip -n container addr add ${CONTAINER}/16 dev eth0; ip -n container link set lo up; ip -n container link set eth0 up
    ip -n container route add default via 172.17.0.1
    echo 1 > /proc/sys/net/ipv4/ip_forward
    nft -f - <<'END'
table ip docker {
  chain published {
    tcp dport ${tcp} dnat to ${CONTAINER}:${tcp}
    udp dport ${udp} dnat to ${CONTAINER}:${udp}
  }
  chain prerouting { type nat hook prerouting priority dstnat; fib daddr type local jump published; }
  chain output { type nat hook output priority -100; ip daddr != 127.0.0.0/8 fib daddr type local jump published; }
  chain postrouting {
    type nat hook postrouting priority srcnat;
    oifname != "docker0" ip saddr 172.17.0.0/16 masquerade
    ip saddr ${CONTAINER} ip daddr ${CONTAINER} masquerade
  }
  chain forward {
    type filter hook forward priority filter; policy drop;
    oifname "docker0" ct state established,related accept
    iifname "docker0" accept
    oifname "docker0" ip daddr ${CONTAINER} tcp dport ${tcp} accept
    oifname "docker0" ip daddr ${CONTAINER} udp dport ${udp} accept
  }
}
END`);
}

// The folder with the files of names.
let names;

// Makes each name resolve to its address of the server, or to several, in all of these networks; also with a dot at its end, which Chromium adds
// to the names of ICE servers over UDP. Queries for other names are refused at once:
// browsers wait for them. Programs that run already see the names of a later call, too, since it writes the same files.
export const name = (domain) => nameAll({ [domain]: SERVER });

export function nameAll(addresses) {
  const isFirst = !names;
  names ??= mkdtempSync(join(tmpdir(), 'castway-names-'));
  const hosts = Object.entries({ localhost: '127.0.0.1', ...addresses }).flatMap(([domain, ofDomain]) => [ofDomain].flat().map((address) => `${address} ${domain} ${domain}.\n`));
  const files = { hosts: hosts.join(''), 'resolv.conf': 'nameserver 127.0.0.1\n' };
  for (const [file, text] of Object.entries(files)) {
    writeFileSync(join(names, file), text);
    if (isFirst) run(`mount --bind ${join(names, file)} /etc/${file}`);
  }
}

export function forgetNames() {
  if (!names) return;
  run('umount /etc/hosts /etc/resolv.conf 2>/dev/null || true');
  rmSync(names, { recursive: true, force: true });
  names = undefined;
}

// Changes how both routers translate addresses: symmetrically, which is the initial state, or with ports kept, so that hole punching works.
export function translate(symmetric = true) {
  const rule = symmetric ? SYMMETRIC : 'oifname wan masquerade';
  for (const n of [1, 2]) run(`ip netns exec router${n} sh -c 'nft flush chain inet home postrouting; nft add rule inet home postrouting ${rule}'`);
}

// Makes both routers drop UDP to the server, as many companies' routers do.
export function blockUdp() {
  for (const n of [1, 2]) {
    for (const address of [`ip daddr ${SERVER}`, `ip6 daddr ${SERVER_V6}`]) run(`ip netns exec router${n} nft insert rule inet home forward ${address} meta l4proto udp drop`);
  }
}

// Makes both routers forward only TCP to the server's port 443.
export function only443() {
  for (const n of [1, 2]) {
    run(`ip netns exec router${n} nft insert rule inet home forward iifname lan drop`);
    run(`ip netns exec router${n} nft insert rule inet home forward iifname lan ip daddr ${SERVER} tcp dport 443 accept`);
  }
}

// Restores the initial state.
export function unblock() {
  for (const n of [1, 2]) run(`ip netns exec router${n} nft flush chain inet home forward; ip netns exec router${n} nft add rule inet home forward iifname wan ct state new drop`);
}
