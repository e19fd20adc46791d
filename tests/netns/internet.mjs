// Two homes, a server's machine and other hosts, each in a public network of its own, and the internet that routes between them. Unlike in
// networks.mjs, the homes are no neighbours of the server, so the relay permits their addresses as peers.
//
//   home 1: 192.168.1.2 ── router 1: 21.1.0.2 ──┐
//   home 2: 192.168.2.2 ── router 2: 21.2.0.2 ──┤                 ┌── 11.0.0.1: this process's own namespace, where servers run
//              a host elsewhere: 14.0.0.1 ──────┼── internet ─────┤
//              a proxy: 13.0.0.1 ───────────────┘                 └── or router 0: 11.0.0.1, with the server's machine, 10.0.0.5, behind it
//
// The homes' routers translate symmetrically and drop packets that no host at home has asked for. This must run within ./enter.
import { execFileSync } from 'node:child_process';
import { addHost, forgetNames, nameAll } from './networks.mjs';

export const DOMAIN = 'cast.castway.test';
export const ORIGIN = `https://${DOMAIN}`;
// Browsers remember the addresses of a name, so what changes them takes another name.
export const OTHER_DOMAIN = 'other.castway.test';
export const NAMES = [`DNS:${DOMAIN}`, `DNS:${OTHER_DOMAIN}`];
export const SERVER = '11.0.0.1';
export const SERVER_V6 = '2a11::1';
// The server's machine behind router 0.
export const INSIDE = '10.0.0.5';
// The server's machine where it is a member of the homes' network.
export const IN_LAN = '192.168.7.1';
export const PROXY = '13.0.0.1';
export const ELSEWHERE = '14.0.0.1';
export const HOME_ADDRESSES = { home1: '21.1.0.2', home2: '21.2.0.2' };

const HOMES = [1, 2];
const NAMESPACES = ['internet', 'router0', 'router1', 'home1', 'router2', 'home2', 'proxy', 'elsewhere'];

export const run = (command) => execFileSync('sh', ['-euc', command], { stdio: ['ignore', 'pipe', 'pipe'], encoding: 'utf8' });
export const rules = (text, namespace) => execFileSync(...within(namespace, ['nft', '-f', '-']), { input: text, stdio: ['pipe', 'pipe', 'pipe'] });
const within = (namespace, [command, ...args]) => (namespace ? ['ip', ['netns', 'exec', namespace, command, ...args]] : [command, args]);

const FORWARDING = "sh -c 'echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding'";

// Connects `namespace` (this process's own without one) to the internet by its interface `wan`. `network` is the first half of an IPv4
// address and `six` the first group of an IPv6 one; the internet's own address ends in 254.
function attach(namespace, network, six, { last = 1, port = namespace ?? 'server' } = {}) {
  const own = namespace ? `-n ${namespace}` : '';
  run(`
    ip -n internet link add to-${port} type veth peer name wan ${namespace ? `netns ${namespace}` : `netns ${process.pid}`}
    ip -n internet addr add ${network}.0.254/24 dev to-${port}; ip -n internet link set to-${port} up
    ip ${own} addr add ${network}.0.${last}/24 dev wan; ip ${own} link set wan up
    ip ${own} route add default via ${network}.0.254
    ${six ? `ip -n internet addr add ${six}::fe/64 dev to-${port} nodad; ip ${own} addr add ${six}::${last}/64 dev wan nodad; ip ${own} route add default via ${six}::fe` : ''}`);
}

function addHome(n, six) {
  run(`
    ip netns add router${n}; ${addHost(`home${n}`)}
    ip -n router${n} link add lan type veth peer name eth0 netns home${n}
    ip -n router${n} addr add 192.168.${n}.1/24 dev lan; ip -n home${n} addr add 192.168.${n}.2/24 dev eth0
    for link in lo lan; do ip -n router${n} link set $link up; done
    for link in lo eth0; do ip -n home${n} link set $link up; done
    ip -n home${n} route add default via 192.168.${n}.1
    ip netns exec router${n} ${FORWARDING}`);
  attach(`router${n}`, `21.${n}`, six && `2a2${n}`, { last: 2 });
  if (six) {
    run(`
      ip -n router${n} addr add 2a2${n}:0:0:1::1/64 dev lan nodad; ip -n home${n} addr add 2a2${n}:0:0:1::2/64 dev eth0 nodad
      ip -n home${n} route add default via 2a2${n}:0:0:1::1; ip -n internet route add 2a2${n}:0:0:1::/64 via 2a2${n}::2`);
  }
  rules(`
table inet home {
  chain postrouting { type nat hook postrouting priority srcnat; meta nfproto ipv4 oifname wan masquerade fully-random; }
  chain input { type filter hook input priority filter; iifname "wan" ct state new drop; }
  chain forward { type filter hook forward priority filter; iifname "wan" ct state new drop; }
}`, `router${n}`);
}

function addInternet(six) {
  if (!process.env.CASTWAY_NETNS) throw new Error('run it with tests/run netns, or within tests/netns/enter');
  run(`ip netns add internet; ip -n internet link set lo up; ip netns exec internet ${FORWARDING}`);
  HOMES.forEach((n) => addHome(n, six));
  run('for name in proxy elsewhere; do ip netns add $name; ip -n $name link set lo up; done');
  attach('proxy', '13.0');
  attach('elsewhere', '14.0');
}

// The server's machine has a public address. With `six`, it and the homes have IPv6 as well.
export function build({ six = false } = {}) {
  addInternet(six);
  attach(undefined, '11.0', six && '2a11');
  nameAll({ [DOMAIN]: SERVER });
}

// The server's machine is behind router 0, which forwards these ports of its public address to it. With `hairpin`, hosts behind the router
// reach them at that address, too.
export function buildBehindNat({ tcp, udp, hairpin = true }) {
  addInternet(false);
  run(`
    ip netns add router0; ip -n router0 link set lo up
    ip -n router0 link add lan type veth peer name wan netns ${process.pid}
    ip -n router0 addr add 10.0.0.1/24 dev lan; ip -n router0 link set lan up
    ip addr add ${INSIDE}/24 dev wan; ip link set wan up; ip route add default via 10.0.0.1
    ip netns exec router0 ${FORWARDING}`);
  attach('router0', '11.0');
  const from = hairpin ? '' : 'iifname "wan"';
  rules(`
table ip nat {
  chain prerouting {
    type nat hook prerouting priority dstnat;
    ${from} ip daddr ${SERVER} tcp dport ${tcp} dnat to ${INSIDE}
    ${from} ip daddr ${SERVER} udp dport ${udp} dnat to ${INSIDE}
  }
  chain postrouting {
    type nat hook postrouting priority srcnat;
    oifname "wan" masquerade
    iifname "lan" oifname "lan" masquerade
  }
}
table inet router {
  chain input { type filter hook input priority filter; ct state established accept; meta l4proto icmp accept; reject with icmpx port-unreachable; }
  chain forward { type filter hook forward priority filter; policy drop; ct state established,related accept; iifname "lan" accept; ct status dnat accept; }
}`, 'router0');
  nameAll({ [DOMAIN]: SERVER });
}

// The homes and the server's machine are in one network without the internet, as in a meeting room: home 1 has 192.168.7.2. There is a default
// route, which leads nowhere, as behind a router that is offline.
export function buildLan() {
  if (!process.env.CASTWAY_NETNS) throw new Error('run it with tests/run netns, or within tests/netns/enter');
  run(`ip link add wan type bridge; ip addr add ${IN_LAN}/24 dev wan; ip link set wan up`);
  for (const n of HOMES) {
    run(`
      ${addHost(`home${n}`)}
      ip link add port${n} master wan type veth peer name eth0 netns home${n}; ip link set port${n} up
      ip -n home${n} addr add 192.168.7.${n + 1}/24 dev eth0
      for link in lo eth0; do ip -n home${n} link set $link up; done
      ip -n home${n} route add default via ${IN_LAN}`);
  }
  nameAll({ [DOMAIN]: IN_LAN });
}

export function demolish() {
  for (const name of [...NAMESPACES, 'container']) run(`ip netns del ${name} 2>/dev/null || true`);
  run('for link in wan second docker0; do ip link del $link 2>/dev/null || true; done; nft flush ruleset');
  forgetNames();
}

// The firewall of the server's machine: what an operator writes who knows what Castway needs, without the ports of `closed`.
export const OPEN = { tcp: [22, 80, 443, 3478, 5349, 8080], udp: [3478, '49152-65535'] };
const ports = (list) => `{ ${list.join(', ')} }`;
export function firewall({ tcp = OPEN.tcp, udp = OPEN.udp } = {}) {
  run('nft delete table inet filter 2>/dev/null || true');
  rules(`
table inet filter {
  chain input {
    type filter hook input priority filter; policy drop;
    iifname "lo" accept
    ct state established,related accept
    meta l4proto { icmp, ipv6-icmp } accept
    tcp dport ${ports(tcp)} accept
    udp dport ${ports(udp)} counter accept
  }
}`);
}
export const openFirewall = () => run('nft delete table inet filter 2>/dev/null || true');

// Makes a home's router pass on only what matches, such as `tcp dport { 80, 443 }`.
export function passOnly(n, match) {
  run(`
    ip netns exec router${n} nft insert rule inet home forward iifname lan drop
    ip netns exec router${n} nft insert rule inet home forward iifname lan ${match} accept`);
}

// Restores the initial state of a home's router.
export const passAll = (n) => run(`ip netns exec router${n} nft flush chain inet home forward; ip netns exec router${n} nft add rule inet home forward iifname wan ct state new drop`);

// Makes datagrams from the server's port 3478 leave by a second link, where the internet accepts no packets from the first link's address.
export function sendDatagramsByAnotherLink() {
  run(`
    ip -n internet link add to-second type veth peer name second netns ${process.pid}
    ip -n internet addr add 15.0.0.254/24 dev to-second; ip -n internet link set to-second up
    ip addr add 15.0.0.1/24 dev second; ip link set second up
    ip route add default via 15.0.0.254 table 15; ip rule add ipproto udp sport 3478 table 15
    ip netns exec internet sh -c 'echo 1 > /proc/sys/net/ipv4/conf/to-second/rp_filter'`);
}

// Gives the server's machine a second address and link that works in both directions.
export function addSecondLink() {
  run(`
    ip -n internet link add to-second type veth peer name second netns ${process.pid}
    ip -n internet addr add 15.0.0.254/24 dev to-second; ip -n internet link set to-second up
    ip addr add 15.0.0.1/24 dev second; ip link set second up
    ip route add default via 15.0.0.254 table 15; ip rule add from 15.0.0.1 table 15`);
}

// Counts datagrams to the relay's port as they arrive at the server's machine, before any rule of a firewall.
export function countArrivals() {
  rules(`
table inet arrivals {
  chain prerouting { type filter hook prerouting priority raw; iifname "wan" udp dport 3478 counter; iifname "wan" tcp dport { 3478, 5349 } counter; }
}`);
}
export function arrivals() {
  const [udp, tcp] = [...run('nft list chain inet arrivals prerouting').matchAll(/counter packets (\d+)/g)].map(([, count]) => Number(count));
  return { udp, tcp };
}
