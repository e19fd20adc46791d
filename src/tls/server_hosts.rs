//! The host that a client uses, as far as its TLS handshake and its connection tell.

use std::net::IpAddr;

use crate::addresses::external::ExternalAddresses;
use crate::addresses::interfaces;

/// The names of this machine that clients may use, and its external addresses. Its own addresses are those that connections come to.
#[derive(Debug, Clone, Default)]
pub struct ServerHosts {
    /// In lower case.
    names: Vec<String>,
    external: Option<ExternalAddresses>,
}

impl ServerHosts {
    /// A machine with these names, and not behind a NAT.
    #[must_use]
    pub const fn of(names: Vec<String>) -> Self {
        Self { names, external: None }
    }

    /// Adds the addresses under which the machine is reached from outside.
    #[must_use]
    pub fn seen_as(self, external: ExternalAddresses) -> Self {
        Self { external: Some(external), ..self }
    }

    /// Adds names.
    #[must_use]
    pub fn with_names(mut self, names: &[String]) -> Self {
        self.names.extend_from_slice(names);
        self
    }

    /// The host that the client uses: the name in its handshake if that is a name of this machine, or else the address `local` that its connection
    /// came to. Only a client in a private network is told a private address; any other client has used an external address. `None`: the
    /// client is on this machine, or its host is unknown.
    pub(super) fn used(&self, named: Option<&str>, local: Option<IpAddr>, client: IpAddr) -> Option<String> {
        let named = named.map(|name| name.trim_end_matches('.').to_ascii_lowercase());
        if named.as_deref() == Some("localhost") {
            return None;
        }
        if let Some(name) = named.filter(|name| self.names.contains(name)) {
            return Some(name);
        }
        let local = local.map(|local| local.to_canonical());
        let inside = interfaces::is_private(client);
        let used = match local {
            Some(local) if local.is_loopback() => None,
            Some(local) if !interfaces::is_private(local) => Some(local),
            // If the settings name another private address, the network knows this machine by that address (a container).
            Some(local) => self.mapped(Some(local), inside).or(Some(local).filter(|_| inside)),
            None => self.mapped(None, inside),
        };
        used.map(|ip| ip.to_string())
    }

    /// The address that the settings map `local` to, or any mapped address if `local` is unknown: a private or a public one.
    fn mapped(&self, local: Option<IpAddr>, private: bool) -> Option<IpAddr> {
        let relays = self.external.as_ref()?.relayed_ips();
        let mapped = relays.into_iter().flatten().filter(|relay| relay.advertised != relay.bound);
        let mapped = mapped.map(|relay| relay.advertised);
        mapped
            .filter(|ip| interfaces::is_private(*ip) == private && !ip.is_loopback())
            .find(|ip| local.is_none_or(|local| local.is_ipv4() == ip.is_ipv4()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Settings};

    /// A machine whose relayed sockets are bound to 10.0.0.5 and 2001:db8::5.
    fn seen_as(external: &str) -> ServerHosts {
        let config = Config::read(&Settings { external_ip: Some(external.to_owned()), ..Settings::default() }).unwrap();
        let bound = [Some("10.0.0.5".parse().unwrap()), Some("2001:db8::5".parse().unwrap())];
        ServerHosts::of(vec!["tv-cellar".to_owned()]).seen_as(ExternalAddresses::new(&config.relay.external, bound, None))
    }

    #[test]
    fn behind_a_nat_the_host_is_what_the_client_can_have_used() {
        let used = |hosts: &ServerHosts, local: Option<&str>, client: &str| {
            hosts.used(None, local.map(|ip| ip.parse().unwrap()), client.parse().unwrap()).unwrap_or_default()
        };
        let cloud = seen_as("1.2.3.4");
        assert_eq!(used(&cloud, Some("10.0.0.5"), "8.8.8.8"), "1.2.3.4");
        assert_eq!(used(&cloud, Some("10.0.0.5"), "10.0.0.9"), "10.0.0.5", "from inside");
        assert_eq!(used(&cloud, Some("fd00::5"), "2a00::9"), "", "nothing is known of IPv6");
        assert_eq!(used(&cloud, Some("::ffff:10.0.0.5"), "8.8.8.8"), "1.2.3.4");
        assert_eq!(used(&cloud, Some("2a00::5"), "2a00::9"), "2a00::5", "no NAT");
        assert_eq!(used(&cloud, None, "8.8.8.8"), "1.2.3.4", "through a proxy");
        let container = seen_as("192.168.7.1");
        assert_eq!(used(&container, Some("172.17.0.2"), "192.168.7.9"), "192.168.7.1");
        assert_eq!(used(&container, Some("172.17.0.2"), "8.8.8.8"), "", "the world has used another address");
        assert_eq!(used(&seen_as(""), Some("10.0.0.5"), "8.8.8.8"), "");
    }

    #[test]
    fn a_name_counts_where_it_is_ours() {
        let used = |named: &str| seen_as("1.2.3.4").used(Some(named), None, "8.8.8.8".parse().unwrap());
        assert_eq!(used("TV-Cellar."), Some("tv-cellar".to_owned()));
        assert_eq!(used("localhost"), None);
        assert_eq!(used("nas-cellar"), Some("1.2.3.4".to_owned()));
    }
}
