//! The settings of an engine.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use ipnet::IpNet;

use super::codec::attribute::AddressFamily;
use super::credentials::Scope;

/// The settings that all engines of a server have in common. Every default is the safe choice.
#[derive(Debug, Clone)]
pub struct EngineSettings {
    /// At most 127 characters. With up to 8 bytes, the 401 stays within 2.2 times the smallest Allocate.
    pub realm: String,
    /// The text of SOFTWARE; `None` leaves the attribute out.
    pub software: Option<String>,
    /// The addresses of relayed sockets: IPv4, then IPv6. `None`: a request for that family gets 440.
    pub relayed: [Option<RelayedIp>; 2],
    /// The family of an allocation whose request names none.
    pub default_family: DefaultFamily,
    /// The addresses of this machine, and those that it is advertised under. As peers they are denied, except live relayed
    /// addresses.
    pub own_addresses: Vec<IpAddr>,
    /// The addresses that relayed sockets were bound to or advertised under before, newest first. Allocations of that time are
    /// still known by them.
    pub former_addresses: Vec<IpAddr>,
    /// The ports of our listeners. On an address of this machine they are never peers, even where the policy allows the address.
    pub listener_ports: Vec<u16>,
    /// The LIFETIME of a client that asks for none, or for less (RFC 8656 §6: 600 s).
    pub default_lifetime: Duration,
    /// The longest LIFETIME (RFC 8656 §7.2 recommends at most 3600 s).
    pub max_lifetime: Duration,
    pub nonce_lifetime: Duration,
    pub password_algorithms: PasswordAlgorithms,
    /// Announces USERHASH (RFC 8489 §9.2.4, first check); a USERHASH is accepted even without it, where the credential source can
    /// look it up.
    pub username_anonymity: bool,
    /// An allocation ends when its credentials expire, unless the client refreshes it with later credentials of the same user.
    pub strict_expiry: bool,
    /// The shell can send with the DF bit; otherwise DONT-FRAGMENT gets 420.
    pub dont_fragment: bool,
    /// Clients may move (RFC 8016); otherwise MOBILITY-TICKET gets 405.
    pub mobility: bool,
    /// Clients may make TCP allocations (RFC 6062); otherwise REQUESTED-TRANSPORT = TCP gets 442.
    pub tcp_relay: bool,
    /// All allocations have this scope, whatever their credentials; `None`: that of their credentials.
    pub scope: Option<Scope>,
    /// The ports of relayed addresses without a socket: a range is used where the ranges before it are full. See
    /// [`super::internal_ports`].
    pub internal_ports: Vec<RangeInclusive<u16>>,
    /// How long after its Allocate an allocation with credentials of [`Scope::Clients`] accepts requests that are signed with its
    /// key, even where the credentials have expired.
    pub clients_lifetime: Duration,
    /// Answers every Allocate with 300 (RFC 8656 §7.2, step 11): the alternate server for IPv4 clients, then for IPv6 clients.
    pub alternate_server: [Option<SocketAddr>; 2],
    pub nat_discovery: Vec<NatDiscovery>,
    pub limits: Limits,
}

impl EngineSettings {
    pub fn new(realm: impl Into<String>) -> Self {
        Self {
            realm: realm.into(),
            software: None,
            relayed: [None, None],
            default_family: DefaultFamily::Ipv4,
            own_addresses: Vec::new(),
            former_addresses: Vec::new(),
            listener_ports: Vec::new(),
            default_lifetime: Duration::from_secs(600),
            max_lifetime: Duration::from_secs(3600),
            nonce_lifetime: Duration::from_secs(600),
            password_algorithms: PasswordAlgorithms::Both,
            username_anonymity: false,
            strict_expiry: false,
            dont_fragment: false,
            mobility: false,
            tcp_relay: false,
            scope: None,
            internal_ports: vec![1024..=3477, 3479..=49_151],
            clients_lifetime: Duration::from_secs(86_400),
            alternate_server: [None, None],
            nat_discovery: Vec::new(),
            limits: Limits::default(),
        }
    }

    pub(super) fn relayed_ip(&self, family: AddressFamily) -> Option<RelayedIp> {
        self.relayed[family.index()]
    }

    /// The family of an allocation of `client` whose request names none. RFC 8656 §7.2 names IPv4; where the server has no relayed
    /// address of the family in question, the other one is better than none.
    pub(super) fn default_family(&self, client: IpAddr) -> AddressFamily {
        let wanted = match self.default_family {
            DefaultFamily::Ipv4 => AddressFamily::V4,
            DefaultFamily::Ipv6 => AddressFamily::V6,
            DefaultFamily::OfClient => AddressFamily::of(client.to_canonical()),
        };
        [wanted, wanted.other()].into_iter().find(|family| self.relayed_ip(*family).is_some()).unwrap_or(wanted)
    }

    /// Replaces the addresses. The last few relayed addresses stay known. Relayed sockets that are open stay bound where they are.
    pub fn set_addresses(&mut self, addresses: &MachineAddresses) {
        let former = std::mem::replace(&mut self.relayed, addresses.relayed);
        for relayed in former.iter().flatten() {
            self.former_addresses.insert(0, relayed.bound);
            self.former_addresses.insert(0, relayed.advertised);
        }
        let now = self.relayed;
        let mut seen = Vec::new();
        self.former_addresses.retain(|ip| {
            let current = now.iter().flatten().any(|relayed| relayed.is(*ip));
            let keep = !current && !seen.contains(ip) && seen.len() < MAX_FORMER_ADDRESSES;
            seen.extend(keep.then_some(*ip));
            keep
        });
        self.own_addresses.clone_from(&addresses.own);
        self.nat_discovery.clone_from(&addresses.nat_discovery);
    }
}

/// Former addresses that an engine remembers.
const MAX_FORMER_ADDRESSES: usize = 8;

/// The IP address of relayed sockets: where they are bound, and what clients and peers are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RelayedIp {
    pub bound: IpAddr,
    pub advertised: IpAddr,
}

impl RelayedIp {
    pub(super) fn is(&self, ip: IpAddr) -> bool {
        ip == self.advertised || ip == self.bound
    }
}

/// The addresses of the machine, which may change while the server runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachineAddresses {
    /// See [`EngineSettings::relayed`].
    pub relayed: [Option<RelayedIp>; 2],
    /// See [`EngineSettings::own_addresses`].
    pub own: Vec<IpAddr>,
    /// See [`super::PeerPolicy::neighbours`].
    pub neighbours: Vec<IpNet>,
    pub nat_discovery: Vec<NatDiscovery>,
}

/// The family of an allocation whose request has neither REQUESTED-ADDRESS-FAMILY nor ADDITIONAL-ADDRESS-FAMILY. Where the server
/// has no relayed address of that family, it is the other one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DefaultFamily {
    /// RFC 8656 §7.2.
    Ipv4,
    Ipv6,
    /// The family of the client's own address.
    OfClient,
}

/// Which password algorithms the server offers and accepts (RFC 8489 §9.2.4, §18.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PasswordAlgorithms {
    /// Only MD5; nothing is negotiated.
    Md5,
    /// SHA-256 is offered where the offer does not amplify: on streams, and to long enough datagrams. MD5 is accepted too.
    Both,
    /// Only SHA-256. The 401 is then three times the smallest Allocate, and clients of RFC 5389 cannot authenticate.
    Sha256,
}

/// The four sockets of NAT behaviour discovery (RFC 5780 §6): both addresses with both ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NatDiscovery {
    pub primary: SocketAddr,
    /// Another address and another port. Where the address is that of `primary`, only the port can change, and OTHER-ADDRESS is
    /// left out.
    pub alternate: SocketAddr,
    /// The addresses under which clients reach `primary` and `alternate`.
    pub advertised: [IpAddr; 2],
}

/// The limits of an engine. `None` is no limit.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Allocations of one user; beyond them 486.
    pub user_quota: Option<u32>,
    /// Allocations of all users; beyond them 508.
    pub total_quota: Option<u32>,
    /// Permissions of one allocation.
    pub permissions: usize,
    /// Channels of one allocation.
    pub channels: usize,
    /// TCP connections of one allocation (RFC 6062).
    pub peer_connections: usize,
    /// New permissions of one allocation in a second.
    pub new_peers: Option<u64>,
    /// Bytes a second of one allocation in each direction.
    pub allocation_bandwidth: Option<u64>,
    pub user_bandwidth: Option<u64>,
    pub server_bandwidth: Option<u64>,
    /// Bytes a second of all strangers (credentials of the scope *clients*) together in each direction. They never get more than
    /// `clients_capacity` percent of `server_bandwidth`.
    pub clients_bandwidth: Option<u64>,
    /// Strangers' allocations of one IPv4 address; an IPv6 /64 may have a fifth of them. Beyond that 486.
    pub clients_per_address: u32,
    /// The percentage of a capacity that is in use when strangers begin to yield, to each other and to users.
    pub clients_capacity: u8,
    /// Unauthenticated replies (401, 438, 400) in any second to one source (an IPv4 address or an IPv6 /64). One of its ports gets
    /// at most half of them in two seconds.
    pub challenges: u16,
    /// Binding replies in any second to one source.
    pub bindings: u16,
    /// Both together, where the source has authenticated lately, and may be a school whose clients all start at the same time.
    pub authenticated_answers: u16,
    /// The Binding replies among them.
    pub authenticated_bindings: u16,
    /// Failed authentications of one client (address and port) while a nonce lasts.
    pub failures: u16,
    /// Failed authentications of one client (an IPv4 address or an IPv6 /64) in a minute, for UDP and for streams. Beyond them,
    /// credentials that may be a guess are checked once in 3 s.
    pub wrong_passwords: u32,
    /// Sources that each table of these limits remembers, at 8 to 40 bytes each.
    pub sources: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            user_quota: None,
            total_quota: None,
            permissions: 64,
            channels: 64,
            peer_connections: 16,
            new_peers: Some(32),
            allocation_bandwidth: None,
            user_bandwidth: None,
            server_bandwidth: None,
            clients_bandwidth: Some(25_000_000),
            clients_per_address: 2000,
            clients_capacity: 80,
            challenges: 10,
            bindings: 50,
            authenticated_answers: 200,
            authenticated_bindings: 150,
            failures: 10,
            wrong_passwords: 20,
            sources: 16_384,
        }
    }
}
