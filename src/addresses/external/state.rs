//! What the settings and the last look-ups say about the relay's addresses, without any look-up. PURE.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use url::{Host, Url};

use crate::addresses::interfaces::{self, is_loopback_host};
use crate::config::{ExternalAddress, ExternalConfig, Public};
use crate::turn::RelayedIp;

#[derive(Debug)]
pub(super) struct ExternalState {
    pub(super) config: ExternalConfig,
    /// The addresses that relayed sockets are bound to: IPv4, then IPv6.
    pub(super) bound: ArcSwap<[Option<IpAddr>; 2]>,
    /// Whether these are chosen among the machine's addresses, and follow them.
    pub(super) follows: AtomicBool,
    pub(super) public_url: Option<Url>,
    pub(super) found: ArcSwap<LookupResults>,
}

/// The results of the last look-ups.
#[derive(Debug, Clone, Default)]
pub(super) struct LookupResults {
    /// Addresses by name, in an order that does not depend on the resolver.
    pub(super) names: BTreeMap<String, Vec<IpAddr>>,
    /// The addresses that STUN servers see: IPv4, then IPv6.
    pub(super) mapped: [Option<IpAddr>; 2],
    /// Why the last look-up of a name failed.
    pub(super) unresolved: BTreeMap<String, String>,
    /// Whether no STUN server answered in the last look-up.
    pub(super) unanswered: bool,
}

impl ExternalState {
    pub(super) fn relayed_ips(&self, found: &LookupResults) -> [Option<RelayedIp>; 2] {
        self.bound()
            .map(|bound| bound.map(|bound| RelayedIp { bound, advertised: self.advertised_ip(found, bound).unwrap_or(bound) }))
    }

    pub(super) fn bound(&self) -> [Option<IpAddr>; 2] {
        **self.bound.load()
    }

    /// Whether relayed sockets follow the machine's addresses, and it has none that other machines can reach.
    pub(super) fn is_without_address(&self) -> bool {
        self.follows.load(Ordering::Relaxed) && !self.bound().iter().flatten().any(interfaces::reaches_others)
    }

    /// The address that the settings give to sockets bound to `bound`: that of a pair with this address, or else of the first entry
    /// without a private address.
    pub(super) fn advertised_ip(&self, found: &LookupResults, bound: IpAddr) -> Option<IpAddr> {
        self.setting_for(found, bound).map(|(_, ip)| ip)
    }

    /// The same, with its entry in the settings.
    pub(super) fn setting_for(&self, found: &LookupResults, bound: IpAddr) -> Option<(&ExternalAddress, IpAddr)> {
        let addresses = &self.config.addresses;
        let pairs = addresses.iter().filter(|address| address.private == Some(bound));
        let others = addresses.iter().filter(|address| address.private.is_none());
        pairs.chain(others).find_map(|address| Some((address, found.known(&address.public, bound)?)))
    }

    /// Whether the last look-ups found everything.
    pub(super) fn is_complete(&self, found: &LookupResults) -> bool {
        found.unresolved.is_empty() && !found.unanswered && self.config.addresses.iter().all(|item| found.knows(item))
    }

    /// Every name that must be looked up.
    pub(super) fn names_to_look_up(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        let configured = self.config.addresses.iter().filter_map(|address| match &address.public {
            Public::Name(name) => Some(name.clone()),
            Public::Ip(_) | Public::Auto => None,
        });
        let domain = self.pages_domain().map(str::to_owned);
        for name in configured.chain(domain) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    /// The domain that people type, unless it is `localhost`.
    pub(super) fn pages_domain(&self) -> Option<&str> {
        let domain = self.public_url.as_ref()?.domain()?;
        (!is_loopback_host(&Host::Domain(domain))).then_some(domain)
    }
}

impl LookupResults {
    /// The address that an entry stands for now, of the family of `bound`.
    pub(super) fn known(&self, public: &Public, bound: IpAddr) -> Option<IpAddr> {
        let fits = |ip: &&IpAddr| ip.is_ipv4() == bound.is_ipv4() && is_unicast(**ip);
        match public {
            Public::Ip(ip) => Some(ip).filter(fits).copied(),
            Public::Name(name) => self.names.get(name)?.iter().find(fits).copied(),
            Public::Auto => self.mapped[usize::from(bound.is_ipv6())],
        }
    }

    /// Whether any address is known for an entry.
    pub(super) fn knows(&self, item: &ExternalAddress) -> bool {
        match &item.public {
            Public::Ip(_) => true,
            Public::Name(name) => self.names.contains_key(name),
            Public::Auto => self.mapped != [None, None],
        }
    }
}

/// Whether an address can be that of one machine.
pub(super) fn is_unicast(ip: IpAddr) -> bool {
    !ip.is_unspecified() && !ip.is_multicast()
}
