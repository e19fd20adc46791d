//! Which host a client uses, as far as its TLS handshake and its connection tell.

use std::net::IpAddr;

use crate::address;
use crate::external::External;

/// The names of this machine that clients may use, and what the world sees of it. Its addresses are those that connections come to.
#[derive(Debug, Clone, Default)]
pub struct OwnHosts {
    /// In small letters.
    names: Vec<String>,
    external: Option<External>,
}

impl OwnHosts {
    /// A machine of these names, behind no NAT.
    #[must_use]
    pub const fn of(names: Vec<String>) -> Self {
        Self { names, external: None }
    }

    /// With the addresses under which the world reaches it.
    #[must_use]
    pub fn seen_as(self, external: External) -> Self {
        Self { external: Some(external), ..self }
    }

    /// With one more name.
    #[must_use]
    pub fn and(mut self, names: &[String]) -> Self {
        self.names.extend_from_slice(names);
        self
    }

    /// The host that the client uses: the name in its handshake, where it is one of ours, or else the address `local` that its
    /// connection came to. A private address is no secret to clients of private networks; who comes from elsewhere has used what
    /// the world sees. `None`: this machine itself, or nothing that is known.
    pub(super) fn used(&self, named: Option<&str>, local: Option<IpAddr>, client: IpAddr) -> Option<String> {
        let named = named.map(|name| name.trim_end_matches('.').to_ascii_lowercase());
        if named.as_deref() == Some("localhost") {
            return None;
        }
        if let Some(name) = named.filter(|name| self.names.contains(name)) {
            return Some(name);
        }
        let local = local.map(|local| local.to_canonical());
        match local {
            Some(local) if local.is_loopback() => None,
            Some(local) if !address::is_private(local) || address::is_private(client) => Some(local.to_string()),
            Some(_) | None => self.seen(local).map(|ip| ip.to_string()),
        }
    }

    /// The public address by which the world reaches `local`, or the machine where that is not known.
    fn seen(&self, local: Option<IpAddr>) -> Option<IpAddr> {
        let relays = self.external.as_ref()?.relays();
        let advertised = relays.iter().flatten().map(|relay| relay.advertised).filter(|ip| !address::is_private(*ip));
        advertised.clone().find(|ip| local.is_some_and(|local| local.is_ipv4() == ip.is_ipv4())).or_else(|| {
            let mut any = advertised;
            any.next().filter(|_| local.is_none())
        })
    }
}
