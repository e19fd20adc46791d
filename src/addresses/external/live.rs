//! [`ExternalAddresses`]: looks the addresses up at the start and at intervals, and answers from the last results.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::Notify;
use url::{Host, Url};

use super::problems;
use super::resolver::{Resolver, SystemResolver, resolve};
use super::state::{ExternalState, LookupResults, is_unicast};
use super::stun;
use crate::addresses::interfaces;
use crate::config::{ExternalAddress, ExternalConfig, Public};
use crate::sentence::Sentence;
use crate::turn::RelayedIp;

/// How long the look-ups at the start may take; later look-ups find the rest.
const START_TIMEOUT: Duration = Duration::from_secs(3);
/// How often everything is looked up again.
const LOOKUP_INTERVAL: Duration = Duration::from_secs(60);
/// The same, after a look-up that did not find everything.
const RETRY_INTERVAL: Duration = Duration::from_secs(10);
/// The same, where the machine's addresses have just changed: its resolver may need a moment. It doubles with each retry.
const FIRST_RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// A cheap handle; clones share the results.
#[derive(Debug, Clone)]
pub struct ExternalAddresses {
    state: Arc<ExternalState>,
    /// Notified when the bound addresses have changed.
    moved: Arc<Notify>,
}

impl ExternalAddresses {
    /// `bound`: the addresses that relayed sockets are bound to, IPv4 and IPv6. `public_url`: the address that people type; its host
    /// should be this machine. Nothing is looked up yet.
    #[must_use]
    pub fn new(config: &ExternalConfig, bound: [Option<IpAddr>; 2], public_url: Option<Url>) -> Self {
        let (config, bound, found) = (config.clone(), ArcSwap::from_pointee(bound), ArcSwap::default());
        let state = ExternalState { config, bound, follows: AtomicBool::new(false), public_url, found };
        Self { state: Arc::new(state), moved: Arc::default() }
    }

    /// The addresses that relayed sockets are bound to: IPv4, then IPv6.
    #[must_use]
    pub fn bound(&self) -> [Option<IpAddr>; 2] {
        self.state.bound()
    }

    /// The machine has other addresses: relayed sockets are bound to these from now on, and everything is looked up again soon.
    /// Returns whether that is a change. Called by one thread only, and only where no setting names the addresses.
    pub fn set_bound(&self, bound: [Option<IpAddr>; 2]) -> bool {
        self.state.follows.store(true, Ordering::Relaxed);
        if bound == self.bound() {
            return false;
        }
        self.state.bound.store(Arc::new(bound));
        self.moved.notify_one();
        true
    }

    /// Whether relayed sockets follow the machine's addresses, and it has none that other machines can reach.
    #[must_use]
    pub fn is_without_address(&self) -> bool {
        self.state.is_without_address()
    }

    /// The addresses that relayed sockets are bound to, and how they are advertised now: IPv4, then IPv6.
    #[must_use]
    pub fn relayed_ips(&self) -> [Option<RelayedIp>; 2] {
        self.state.relayed_ips(&self.state.found.load())
    }

    /// The first advertised address.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        self.relayed_ips().iter().flatten().next().map(|relay| relay.advertised)
    }

    /// The host that the settings give to URLs: their first name, or else the advertised address. `None`: the settings give none for
    /// this machine, or its address is not known yet.
    #[must_use]
    pub fn host(&self) -> Option<Host> {
        let found = self.state.found.load();
        if let Some(ExternalAddress { public: Public::Name(name), .. }) = self.state.config.addresses.first() {
            return Some(Host::Domain(name.clone()));
        }
        self.bound().into_iter().flatten().find_map(|bound| self.state.advertised_ip(&found, bound)).map(interfaces::host)
    }

    /// Every known host that the settings give to this machine, [`Self::host`] first.
    #[must_use]
    pub fn hosts(&self) -> Vec<Host> {
        let found = self.state.found.load();
        let items = self.bound().into_iter().flatten().filter_map(|bound| self.state.setting_for(&found, bound));
        let named = items.map(|(item, ip)| match &item.public {
            // The addresses of a name may change.
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

    /// A sentence for each address that can't be right, with what to set.
    #[must_use]
    pub fn problems(&self) -> Vec<Sentence> {
        problems::problems(&self.state, &self.state.found.load())
    }

    /// Looks everything up once, within a few seconds, so that a dead resolver does not delay the start for long.
    pub async fn look_up_at_start(&self) {
        // Results that came in time are kept.
        tokio::time::timeout(START_TIMEOUT, self.look_up(&SystemResolver)).await.ok();
    }

    /// Looks everything up once. Each answer is in force as soon as it comes.
    pub async fn look_up(&self, resolver: &impl Resolver) {
        for name in self.state.names_to_look_up() {
            match resolve(resolver, &name).await {
                Ok(mut addresses) => {
                    addresses.sort_unstable();
                    addresses.dedup();
                    self.update(|found| {
                        found.unresolved.remove(&name);
                        found.names.insert(name, addresses);
                    });
                }
                Err(error) => self.update(|found| {
                    found.unresolved.insert(name, error.to_string());
                }),
            }
        }
        if self.state.config.addresses.iter().any(|address| address.public == Public::Auto) {
            let mut answered = false;
            for bound in self.bound().into_iter().flatten() {
                if let Some(mapped) = self.ask_stun_servers(resolver, bound).await {
                    answered = true;
                    self.update(|found| found.mapped[usize::from(bound.is_ipv6())] = Some(mapped));
                }
            }
            self.update(|found| found.unanswered = !answered);
        }
    }

    /// Looks everything up at intervals and after [`Self::set_bound`], and logs changes and new problems; never returns.
    pub async fn keep_looking_up(self) {
        let names = self.state.config.addresses.iter().any(|address| !matches!(address.public, Public::Ip(_)));
        let dynamic = names || !self.state.names_to_look_up().is_empty();
        // The start-up report has named those.
        let mut known = self.problems();
        let (mut relayed, mut retry) = (self.relayed_ips(), RETRY_INTERVAL);
        loop {
            let interval = if self.state.is_complete(&self.state.found.load()) { LOOKUP_INTERVAL } else { retry };
            tokio::select! {
                () = self.moved.notified() => retry = FIRST_RETRY_INTERVAL,
                () = tokio::time::sleep(interval), if dynamic => retry = (2 * retry).min(RETRY_INTERVAL),
            }
            if dynamic {
                self.look_up(&SystemResolver).await;
            }
            let before = std::mem::replace(&mut relayed, self.relayed_ips());
            // The relay itself logs to which addresses it binds.
            let pairs = before.iter().flatten().zip(relayed.iter().flatten()).filter(|(before, now)| before.bound == now.bound);
            for (before, now) in pairs.filter(|(before, now)| before != now) {
                tracing::info!(from = %before.advertised, to = %now.advertised, "the relay's external address has changed");
            }
            let problems = self.problems();
            for problem in problems.iter().filter(|problem| !known.contains(problem)) {
                tracing::warn!("{problem}");
            }
            known = problems;
        }
    }

    /// The address that the first STUN server to answer sees for a socket bound to `bound`.
    async fn ask_stun_servers(&self, resolver: &impl Resolver, bound: IpAddr) -> Option<IpAddr> {
        for server in &self.state.config.stun_servers {
            let addresses = match &server.host {
                Host::Domain(name) => resolve(resolver, name).await.unwrap_or_default(),
                Host::Ipv4(ip) => vec![IpAddr::V4(*ip)],
                Host::Ipv6(ip) => vec![IpAddr::V6(*ip)],
            };
            for address in addresses.into_iter().filter(|address| address.is_ipv4() == bound.is_ipv4()) {
                match stun::mapped_address((address, server.port).into(), bound).await {
                    Ok(mapped) if mapped.is_ipv4() == bound.is_ipv4() && is_unicast(mapped) => return Some(mapped),
                    Ok(mapped) => tracing::debug!(server = %server.host, %mapped, "a STUN server sees an impossible address"),
                    Err(error) => tracing::debug!(server = %server.host, %error, "a STUN server can't be asked"),
                }
            }
        }
        None
    }

    fn update(&self, change: impl FnOnce(&mut LookupResults)) {
        // Only one task looks up at a time, so nothing is lost between load and store.
        let mut found = LookupResults::clone(&self.state.found.load());
        change(&mut found);
        self.state.found.store(Arc::new(found));
    }
}
