// A server's machine with a public address and a firewall that opens what is needed.
import { declareHealthy } from './healthy.mjs';
import { build, firewall, openFirewall, passAll, passOnly, rules, run } from './internet.mjs';

const RELAYED = /^relay\//;

// The chains of Debian's ufw with its usual rules and `ufw allow` for these ports, as its iptables makes them.
const UFW = `
table ip filter {
  chain INPUT { type filter hook input priority filter; policy drop; jump ufw-before-input; jump ufw-after-input; jump ufw-reject-input; }
  chain ufw-before-input {
    iifname "lo" accept
    ct state related,established accept
    ct state invalid drop
    icmp type { destination-unreachable, time-exceeded, parameter-problem, echo-request } accept
    jump ufw-not-local
    jump ufw-user-input
  }
  chain ufw-not-local { fib daddr type local return; fib daddr type multicast return; fib daddr type broadcast return; limit rate 3/minute burst 10 packets counter drop; drop; }
  chain ufw-user-input { tcp dport 22 accept; tcp dport { 80, 443 } accept; tcp dport 3478 accept; udp dport 3478 accept; tcp dport 5349 accept; tcp dport 8080 accept; }
  chain ufw-after-input { udp dport 137 drop; udp dport 138 drop; udp dport 67 drop; }
  chain ufw-reject-input { }
}`;

declareHealthy('a machine with a firewall', {
  make: build,
  setups: [
    { title: 'of nftables', arrange: () => firewall(), restore: openFirewall, route: RELAYED },
    { title: 'of ufw', arrange: () => rules(UFW), restore: () => run('nft delete table ip filter'), route: RELAYED },
    {
      title: 'that opens one TCP port and 3478/UDP',
      settings: { CASTWAY_NO_TCP: 'true' },
      arrange: () => firewall({ tcp: [443], udp: [3478] }),
      restore: openFirewall,
      route: /^relay\/(udp|tls)$/,
    },
    {
      title: 'and a visitor whose network passes on TCP alone',
      casts: true,
      arrange: () => passOnly(2, 'tcp dport { 80, 443 }'),
      restore: () => passAll(2),
      prepare: (setup) => setup.probe('home1'),
      verdict: /^(fine|visitor_blocks_udp)$/,
      route: /^relay\/tls$/,
    },
  ],
});
