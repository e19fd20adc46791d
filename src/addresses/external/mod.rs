//! The addresses under which the world reaches the relay, while it runs.
//!
//! Owner: one [`External`], shared by the relay, which advertises by it, by the URLs and by the greeting. Inputs: the settings,
//! the addresses that relayed sockets are bound to, what names resolve to and what STUN servers see. Outputs:
//! [`External::relays`] and [`External::host`], and [`External::problems`] in sentences. Invariants: what was known stays in
//! force while a look-up fails; nothing waits for one but [`External::look`].

mod check;
mod stun;

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use url::{Host, Url};

use crate::addresses::interfaces;
use crate::config::{ExternalAddress, ExternalConfig, Public};
use crate::turn::RelayedIp;

/// For the look-ups at the start; what they have not found by then is found later.
const AT_START: Duration = Duration::from_secs(3);
/// For one name.
const RESOLVE: Duration = Duration::from_secs(2);
/// How often everything is looked up again.
const EVERY: Duration = Duration::from_secs(60);
/// The same, after something was not found.
const AGAIN: Duration = Duration::from_secs(10);

/// A cheap handle; clones share what was found.
#[derive(Debug, Clone)]
pub struct External(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: ExternalConfig,
    /// IPv4, then IPv6.
    bound: [Option<IpAddr>; 2],
    public_url: Option<Url>,
    seen: ArcSwap<Seen>,
}

/// What the last look-ups gave.
#[derive(Debug, Clone, Default)]
struct Seen {
    /// By name, in an order that does not depend on the resolver's.
    names: BTreeMap<String, Vec<IpAddr>>,
    /// What STUN servers see: IPv4, then IPv6.
    mapped: [Option<IpAddr>; 2],
    /// Why the last look-up of a name failed.
    unresolved: BTreeMap<String, String>,
    /// No STUN server has answered the last time.
    unanswered: bool,
}

/// Who resolves names.
pub trait Resolve: Sync {
    /// # Errors
    /// The name is unknown, or nobody can be asked.
    fn resolve(&self, name: &str) -> impl Future<Output = io::Result<Vec<IpAddr>>> + Send;
}

/// The machine's resolver.
#[derive(Debug, Clone, Copy)]
pub struct System;

impl Resolve for System {
    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        Ok(tokio::net::lookup_host((name, 0)).await?.map(|address| address.ip()).collect())
    }
}

impl External {
    /// `bound`: what relayed sockets are bound to, IPv4 and IPv6. `public_url`: the address people type; its host should be this
    /// machine. Nothing is looked up yet.
    #[must_use]
    pub fn new(config: &ExternalConfig, bound: [Option<IpAddr>; 2], public_url: Option<Url>) -> Self {
        Self(Arc::new(Inner { config: config.clone(), bound, public_url, seen: ArcSwap::default() }))
    }

    /// Where relayed sockets are bound and what they are advertised under now: IPv4, then IPv6.
    #[must_use]
    pub fn relays(&self) -> [Option<RelayedIp>; 2] {
        self.0.relays(&self.0.seen.load())
    }

    /// The first of [`Self::relays`] as the world sees it.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        self.relays().iter().flatten().next().map(|relay| relay.advertised)
    }

    /// What the settings want in URLs: their first name, or the address that counts. `None`: they say nothing that is of use
    /// here, or what they say is not known yet.
    #[must_use]
    pub fn host(&self) -> Option<Host> {
        let seen = self.0.seen.load();
        if let Some(ExternalAddress { public: Public::Name(name), .. }) = self.0.config.addresses.first() {
            return Some(Host::Domain(name.clone()));
        }
        self.0.bound.iter().flatten().find_map(|bound| self.0.chosen(&seen, *bound)).map(interfaces::host)
    }

    /// Every host that the settings give this machine and that is known now: [`Self::host`] first.
    #[must_use]
    pub fn hosts(&self) -> Vec<Host> {
        let seen = self.0.seen.load();
        let items = self.0.bound.iter().flatten().filter_map(|bound| self.0.item(&seen, *bound));
        let named = items.map(|(item, ip)| match &item.public {
            // What it resolves to may change.
            Public::Name(name) => Host::Domain(name.clone()),
            Public::Ip(_) | Public::Auto => interfaces::host(ip),
        });
        let mut hosts: Vec<Host> = self.host().into_iter().collect();
        for host in named {
            if !hosts.contains(&host) {
                hosts.push(host);
            }
        }
        hosts
    }

    /// One sentence for each address that can't be right, with what to set.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        check::problems(&self.0, &self.0.seen.load())
    }

    /// Looks everything up once, within a few seconds, so that a dead resolver holds up no start.
    pub async fn look_at_start(&self) {
        // What was found in time is kept.
        tokio::time::timeout(AT_START, self.look(&System)).await.ok();
    }

    /// Looks everything up once. Each answer is in force at once.
    pub async fn look(&self, resolver: &impl Resolve) {
        for name in self.0.names() {
            match resolve(resolver, &name).await {
                Ok(mut addresses) => {
                    addresses.sort_unstable();
                    addresses.dedup();
                    self.update(|seen| {
                        seen.unresolved.remove(&name);
                        seen.names.insert(name, addresses);
                    });
                }
                Err(error) => self.update(|seen| {
                    seen.unresolved.insert(name, error.to_string());
                }),
            }
        }
        if self.0.config.addresses.iter().any(|address| address.public == Public::Auto) {
            let mut answered = false;
            for bound in self.0.bound.iter().flatten().copied() {
                if let Some(mapped) = self.mapped(resolver, bound).await {
                    answered = true;
                    self.update(|seen| seen.mapped[usize::from(bound.is_ipv6())] = Some(mapped));
                }
            }
            self.update(|seen| seen.unanswered = !answered);
        }
    }

    /// Looks everything up again and again, and logs what is new; never returns.
    pub async fn follow(self) {
        let dynamic = self.0.config.addresses.iter().any(|address| !matches!(address.public, Public::Ip(_)));
        if !dynamic && self.0.names().is_empty() {
            std::future::pending::<()>().await;
        }
        // The greeting has said those.
        let mut known = self.problems();
        loop {
            tokio::time::sleep(if self.0.is_found(&self.0.seen.load()) { EVERY } else { AGAIN }).await;
            let before = self.relays();
            self.look(&System).await;
            for (before, now) in before.iter().flatten().zip(self.relays().iter().flatten()) {
                if before != now {
                    tracing::info!(from = %before.advertised, to = %now.advertised, "the relay's external address has changed");
                }
            }
            let problems = self.problems();
            for problem in problems.iter().filter(|problem| !known.contains(problem)) {
                tracing::warn!("{problem}");
            }
            known = problems;
        }
    }

    /// What the first STUN server to answer sees of a socket bound to `bound`.
    async fn mapped(&self, resolver: &impl Resolve, bound: IpAddr) -> Option<IpAddr> {
        for server in &self.0.config.stun_servers {
            let addresses = match &server.host {
                Host::Domain(name) => resolve(resolver, name).await.unwrap_or_default(),
                Host::Ipv4(ip) => vec![IpAddr::V4(*ip)],
                Host::Ipv6(ip) => vec![IpAddr::V6(*ip)],
            };
            for address in addresses.into_iter().filter(|address| address.is_ipv4() == bound.is_ipv4()) {
                match stun::mapped((address, server.port).into(), bound).await {
                    Ok(mapped) if mapped.is_ipv4() == bound.is_ipv4() && names_somebody(mapped) => return Some(mapped),
                    Ok(mapped) => tracing::debug!(server = %server.host, %mapped, "a STUN server sees an impossible address"),
                    Err(error) => tracing::debug!(server = %server.host, %error, "a STUN server can't be asked"),
                }
            }
        }
        None
    }

    fn update(&self, change: impl FnOnce(&mut Seen)) {
        // One task looks up at a time.
        let mut seen = Seen::clone(&self.0.seen.load());
        change(&mut seen);
        self.0.seen.store(Arc::new(seen));
    }
}

impl Inner {
    fn relays(&self, seen: &Seen) -> [Option<RelayedIp>; 2] {
        self.bound.map(|bound| bound.map(|bound| RelayedIp { bound, advertised: self.chosen(seen, bound).unwrap_or(bound) }))
    }

    /// What the settings say of a relay bound there: a pair with its address, or else the first without one.
    fn chosen(&self, seen: &Seen, bound: IpAddr) -> Option<IpAddr> {
        self.item(seen, bound).map(|(_, ip)| ip)
    }

    /// The same, and where they say it.
    fn item(&self, seen: &Seen, bound: IpAddr) -> Option<(&ExternalAddress, IpAddr)> {
        let addresses = &self.config.addresses;
        let pairs = addresses.iter().filter(|address| address.private == Some(bound));
        let others = addresses.iter().filter(|address| address.private.is_none());
        pairs.chain(others).find_map(|address| Some((address, seen.known(&address.public, bound)?)))
    }

    /// Whether the last look-ups found everything, and came to an end.
    fn is_found(&self, seen: &Seen) -> bool {
        seen.unresolved.is_empty() && !seen.unanswered && self.config.addresses.iter().all(|item| seen.knows(item))
    }

    /// Every name to look up.
    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        let own = self.config.addresses.iter().filter_map(|address| match &address.public {
            Public::Name(name) => Some(name.clone()),
            Public::Ip(_) | Public::Auto => None,
        });
        let site = self.site().map(str::to_owned);
        for name in own.chain(site) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    /// The domain that people type, where it is one that others know.
    fn site(&self) -> Option<&str> {
        let domain = self.public_url.as_ref()?.domain()?;
        (domain != "localhost" && !domain.ends_with(".localhost")).then_some(domain)
    }
}

impl Seen {
    /// The address that an item stands for now, of the family of `bound`.
    fn known(&self, public: &Public, bound: IpAddr) -> Option<IpAddr> {
        let fits = |ip: &&IpAddr| ip.is_ipv4() == bound.is_ipv4() && names_somebody(**ip);
        match public {
            Public::Ip(ip) => Some(ip).filter(fits).copied(),
            Public::Name(name) => self.names.get(name)?.iter().find(fits).copied(),
            Public::Auto => self.mapped[usize::from(bound.is_ipv6())],
        }
    }

    /// Whether anything is known of what an item stands for.
    fn knows(&self, item: &ExternalAddress) -> bool {
        match &item.public {
            Public::Ip(_) => true,
            Public::Name(name) => self.names.contains_key(name),
            Public::Auto => self.mapped != [None, None],
        }
    }
}

async fn resolve(resolver: &impl Resolve, name: &str) -> io::Result<Vec<IpAddr>> {
    let addresses = tokio::time::timeout(RESOLVE, resolver.resolve(name)).await.map_err(|_| io::ErrorKind::TimedOut)??;
    if addresses.is_empty() {
        return Err(io::Error::other("it has no address"));
    }
    Ok(addresses.into_iter().map(|ip| ip.to_canonical()).collect())
}

fn names_somebody(ip: IpAddr) -> bool {
    !ip.is_unspecified() && !ip.is_multicast()
}

#[cfg(test)]
mod tests;
