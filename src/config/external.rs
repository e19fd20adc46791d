//! The settings of the address under which the world reaches the relay; `crate::addresses::external` looks the addresses up.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use url::Host;

use super::network::unicast_address;
use super::reader::Reader;
use crate::turn::STANDARD_PORT;
use crate::whole_number;

#[derive(Debug, Clone, Default)]
pub struct ExternalConfig {
    /// In the order of preference.
    pub addresses: Vec<ExternalAddress>,
    /// For [`Public::Auto`]: they are asked in this order, and the first answer counts.
    pub stun_servers: Vec<StunServer>,
    /// `CASTWAY_TURN_ADDR`: whom the relay serves at all.
    pub listening: Option<SocketAddr>,
}

/// `PUBLIC`, or `PUBLIC/PRIVATE` as coturn writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExternalAddress {
    pub public: Public,
    /// Only for relayed sockets that are bound to this address.
    pub private: Option<IpAddr>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Public {
    Ip(IpAddr),
    /// A host name, which is resolved again every minute.
    Name(String),
    /// The address that STUN servers see.
    Auto,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StunServer {
    pub host: Host,
    pub port: u16,
}

const EXPECTED_ADDRESSES: &str = "a public IP address such as 203.0.113.7, a host name, auto, or PUBLIC/PRIVATE with addresses of one \
                                  kind; several separated by commas";

impl ExternalConfig {
    pub(super) fn read(reader: &mut Reader, listening: SocketAddr) -> Self {
        let name = "CASTWAY_EXTERNAL_IP";
        let addresses = reader.list(name, EXPECTED_ADDRESSES, external_address);
        let expected = "host names or IP addresses with or without a port, e.g. stun.example.org:3478, separated by commas";
        let stun_servers = reader.list("CASTWAY_STUN_SERVERS", expected, stun_server);
        let mut kept: Vec<ExternalAddress> = Vec::new();
        for address in addresses {
            if address.public == Public::Auto && stun_servers.is_empty() {
                reader.problem(name, "auto", "CASTWAY_STUN_SERVERS to name the servers to ask, or the public address itself");
            } else if kept.iter().any(|other| other.conflicts_with(&address)) {
                reader.problem(name, &address.to_string(), "one address of each kind (IPv4, IPv6), or of each private address");
            } else {
                kept.push(address);
            }
        }
        Self { addresses: kept, stun_servers, listening: Some(listening) }
    }
}

impl ExternalAddress {
    /// Whether the relay could only ever use one of the two.
    fn conflicts_with(&self, other: &Self) -> bool {
        self.private == other.private
            && match (&self.public, &other.public) {
                (Public::Ip(one), Public::Ip(other)) => one.is_ipv4() == other.is_ipv4(),
                (Public::Auto, Public::Auto) => true,
                // A name may stand for either kind.
                (Public::Ip(_) | Public::Name(_) | Public::Auto, _) => false,
            }
    }
}

impl From<IpAddr> for ExternalAddress {
    fn from(ip: IpAddr) -> Self {
        Self { public: Public::Ip(ip), private: None }
    }
}

impl fmt::Display for ExternalAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.public {
            Public::Ip(ip) => write!(f, "{ip}")?,
            Public::Name(name) => f.write_str(name)?,
            Public::Auto => f.write_str("auto")?,
        }
        self.private.map_or(Ok(()), |private| write!(f, "/{private}"))
    }
}

fn external_address(item: &str) -> Option<ExternalAddress> {
    let (public, private) = item.split_once('/').map_or((item, None), |(public, private)| (public, Some(private)));
    let private = match private {
        Some(private) => Some(unicast_address(private)?),
        None => None,
    };
    let public = match public.trim().parse::<IpAddr>() {
        Ok(_) => Public::Ip(unicast_address(public)?),
        Err(_) if public.eq_ignore_ascii_case("auto") => Public::Auto,
        Err(_) => match Host::parse(public.trim()).ok()? {
            Host::Domain(name) if is_plain(&name) => Public::Name(name),
            Host::Domain(_) | Host::Ipv4(_) | Host::Ipv6(_) => return None,
        },
    };
    let fits = match (&public, private) {
        (Public::Ip(public), Some(private)) => public.is_ipv4() == private.is_ipv4(),
        (Public::Auto, Some(_)) => false,
        (Public::Name(_), Some(_)) | (_, None) => true,
    };
    fits.then_some(ExternalAddress { public, private })
}

fn stun_server(item: &str) -> Option<StunServer> {
    let item = item.strip_prefix("stun:").unwrap_or(item);
    if let Ok(ip @ IpAddr::V6(_)) = item.parse() {
        return Some(StunServer { host: host_of(ip), port: STANDARD_PORT });
    }
    let (host, port) = match item.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, whole_number::read_in(port, &(1..=u16::MAX))?),
        Some(_) | None => (item, STANDARD_PORT),
    };
    let host = match Host::parse(host).ok()? {
        Host::Ipv6(ip) => host_of(ip.into()),
        Host::Domain(name) if !is_plain(&name) => return None,
        host @ (Host::Domain(_) | Host::Ipv4(_)) => host,
    };
    Some(StunServer { host, port })
}

/// Whether a name has only characters that names of hosts have.
fn is_plain(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
}

/// An IPv4-mapped address is IPv4.
fn host_of(ip: IpAddr) -> Host {
    match ip.to_canonical() {
        IpAddr::V4(ip) => Host::Ipv4(ip),
        IpAddr::V6(ip) => Host::Ipv6(ip),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Settings};

    fn read(external: &str, servers: &str) -> Result<ExternalConfig, String> {
        let settings = Settings { external_ip: Some(external.into()), stun_servers: Some(servers.into()), ..Settings::default() };
        Config::read(&settings).map(|config| config.relay.external).map_err(|problems| problems.to_string())
    }

    #[test]
    fn addresses_names_pairs_and_auto() {
        let shown = |text: &str| {
            let addresses = read(text, "stun.example.org").unwrap().addresses;
            addresses.iter().map(ExternalAddress::to_string).collect::<Vec<_>>().join(",")
        };
        for text in [
            "203.0.113.7",
            "203.0.113.7,2001:db8::7",
            "relay.example.org",
            "auto",
            "auto,203.0.113.7",
            "203.0.113.7/10.0.0.5,203.0.113.8/10.0.0.6",
            "relay.example.org/10.0.0.5,203.0.113.8",
        ] {
            assert_eq!(shown(text), text);
        }
        assert_eq!(shown("Relay.Example.ORG / 10.0.0.5 , AUTO"), "relay.example.org/10.0.0.5,auto");
    }

    #[test]
    fn an_unreachable_or_ambiguous_external_address_is_refused() {
        for bad in [
            "0.0.0.0",
            "::",
            "224.0.0.1",
            "203.0.113",
            "999.0.113.7",
            "https://example.org",
            "a b",
            "(relay.example.org)",
            "$HOST",
            "203.0.113.7/",
            "203.0.113.7/2001:db8::7",
            "203.0.113.7/10.0.0.0/8",
            "203.0.113.7:3478",
            "auto/10.0.0.5",
            "203.0.113.7,203.0.113.8",
            "203.0.113.7/10.0.0.5,203.0.113.8/10.0.0.5",
            "auto,auto",
        ] {
            let problems = read(bad, "stun.example.org").expect_err(bad);
            assert!(problems.contains("CASTWAY_EXTERNAL_IP"), "{problems}");
        }
        let problems = read("auto", "").expect_err("nobody to ask");
        assert!(problems.contains("CASTWAY_STUN_SERVERS"), "{problems}");
    }

    #[test]
    fn stun_servers_have_a_port_or_the_usual_one() {
        let servers = read("", "stun.example.org, stun:192.0.2.1:19302, 2001:db8::1, [2001:db8::2]:5000, [2001:db8::3]").unwrap();
        let shown: Vec<_> = servers.stun_servers.iter().map(|server| format!("{} {}", server.host, server.port)).collect();
        let expected =
            ["stun.example.org 3478", "192.0.2.1 19302", "[2001:db8::1] 3478", "[2001:db8::2] 5000", "[2001:db8::3] 3478"];
        assert_eq!(shown, expected);
        let mapped = read("", "::ffff:192.0.2.1, [::ffff:192.0.2.2]:5000").unwrap().stun_servers;
        let hosts: Vec<String> = mapped.iter().map(|server| server.host.to_string()).collect();
        assert_eq!(hosts, ["192.0.2.1", "192.0.2.2"]);
        for bad in ["stun.example.org:0", "stun.example.org:x", "a b", "$HOST", ":3478"] {
            assert!(read("", bad).is_err(), "{bad}");
        }
    }
}
