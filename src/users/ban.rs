//! Whom a ban is for, checked.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net};

use super::name::{NameError, check_requested};
use crate::limits::ip_prefix;
use crate::sentence::Sentence;

/// Bans that the database keeps.
pub const MAX_BANS: usize = 10_000;
/// The prefix of a target that is a user.
pub(super) const USER_PREFIX: &str = "user:";
/// The shortest prefixes of a banned network: a slip of the keyboard must not shut out a quarter of the world.
const MIN_V4_PREFIX: u8 = 8;
const MIN_V6_PREFIX: u8 = 16;
/// The longest prefix of IPv6 that covers all IPv4-mapped addresses.
const MAPPED_PREFIX: u8 = 96;

/// Whom a ban is for. Two texts for the same are the same target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BanTarget {
    /// An address, or a network. A single IPv6 address that was given without a prefix stands for its /64.
    Network(IpNet),
    /// A user of the database, or a name of scope *anyone* that a key or another issuer signs.
    User(String),
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BanTargetError {
    #[error("{0:?} is no address, no network such as 198.51.100.0/24 and no user:NAME")]
    Unknown(String),
    #[error("the user's name in user:NAME can't be used: {0}")]
    Name(#[from] NameError),
    #[error(
        "{0} has too many addresses: a ban is for an IPv4 network of /{MIN_V4_PREFIX} or an IPv6 network of /{MIN_V6_PREFIX} at most"
    )]
    TooLarge(IpNet),
    #[error("{0} contains IPv4-mapped addresses and others: give the IPv4 network itself")]
    Mapped(IpNet),
    #[error("{0} is the address of nobody")]
    Nobody(IpNet),
}

/// Networks that a ban would shut out by accident, each with what it is.
#[derive(Debug, Clone, Default)]
pub struct ProtectedNetworks(Vec<(IpNet, Protected)>);

#[derive(Debug, Clone, Copy)]
enum Protected {
    Loopback,
    TrustedProxy,
    OwnAddress,
}

impl ProtectedNetworks {
    /// Loopback, the trusted proxies, and the machine's own addresses.
    #[must_use]
    pub fn new(trusted_proxies: &[IpNet], own: impl IntoIterator<Item = IpAddr>) -> Self {
        let loopback = ["127.0.0.0/8", "::1/128"].map(|network| network.parse().expect("it is a network"));
        let own = own.into_iter().map(|ip| IpNet::from(ip.to_canonical()));
        let protected = loopback.into_iter().map(|network| (network, Protected::Loopback));
        let protected = protected.chain(trusted_proxies.iter().map(|network| (*network, Protected::TrustedProxy)));
        Self(protected.chain(own.map(|network| (network, Protected::OwnAddress))).collect())
    }

    /// # Errors
    /// A sentence that says what the ban would hit.
    pub fn check(&self, target: &BanTarget) -> Result<(), Sentence> {
        let BanTarget::Network(banned) = target else { return Ok(()) };
        let hit = self.0.iter().find(|(network, _)| network.contains(banned) || banned.contains(network));
        let Some((network, what)) = hit else { return Ok(()) };
        let (network, target) = (BanTarget::Network(*network), target.to_string());
        let (en, zh) = what.in_words();
        if target == network.to_string() {
            return Err(Sentence::new(format!("{target} can't be blocked: it is {en}"), format!("不能封禁 {target}：它是{zh}")));
        }
        if banned.prefix_len() == banned.max_prefix_len() {
            return Err(Sentence::new(
                format!("{target} can't be blocked: it is in {network}, {en}"),
                format!("不能封禁 {target}：它在 {network}（{zh}）之内"),
            ));
        }
        Err(Sentence::new(
            format!("{target} can't be blocked: it has addresses in common with {network}, {en}; block a smaller network"),
            format!("不能封禁 {target}：它与 {network}（{zh}）有共同的地址；请封禁更小的网络"),
        ))
    }
}

impl Protected {
    /// In English and in Chinese.
    const fn in_words(self) -> (&'static str, &'static str) {
        match self {
            Self::Loopback => ("a loopback address", "回环地址"),
            Self::TrustedProxy => ("a trusted proxy, which brings many clients", "受信任的代理，许多客户端都经过它"),
            Self::OwnAddress => ("an address of this machine", "此机器的地址"),
        }
    }
}

impl BanTargetError {
    #[must_use]
    pub fn sentence(&self) -> Sentence {
        let in_chinese = match self {
            Self::Unknown(text) => format!("{text:?} 不是地址，不是 198.51.100.0/24 这样的网络，也不是 user:名称"),
            Self::Name(error) => format!("user:名称 中的用户名不可用：{}", error.sentence().zh),
            Self::TooLarge(network) => {
                format!("{network} 包含的地址太多：最大只能封禁 /{MIN_V4_PREFIX} 的 IPv4 网络或 /{MIN_V6_PREFIX} 的 IPv6 网络")
            }
            Self::Mapped(network) => format!("{network} 既包含 IPv4 映射地址又包含其他地址：请直接填写 IPv4 网络"),
            Self::Nobody(network) => format!("{network} 不是任何人的地址"),
        };
        Sentence::new(self.to_string(), in_chinese)
    }
}

impl BanTarget {
    /// The forms in which a ban of the same address may have been stored.
    #[must_use]
    pub fn alternatives(text: &str) -> Vec<Self> {
        let exact = text.parse::<IpAddr>().ok().map(|ip| Self::Network(ip.to_canonical().into()));
        text.parse().ok().into_iter().chain(exact).collect()
    }
}

impl FromStr for BanTarget {
    type Err = BanTargetError;

    fn from_str(text: &str) -> Result<Self, BanTargetError> {
        if let Some(name) = text.strip_prefix(USER_PREFIX) {
            check_requested(name)?;
            return Ok(Self::User(name.to_owned()));
        }
        let unknown = || {
            let shown: String = text.chars().take(80).collect();
            BanTargetError::Unknown(shown)
        };
        let network = match text.parse::<IpAddr>() {
            Ok(ip) => client_network(ip),
            Err(_) => canonical(text.parse::<IpNet>().map_err(|_| unknown())?.trunc())?,
        };
        let too_large = match network {
            IpNet::V4(network) => network.prefix_len() < MIN_V4_PREFIX,
            IpNet::V6(network) => network.prefix_len() < MIN_V6_PREFIX,
        };
        if network.addr().is_unspecified() && network.prefix_len() == network.max_prefix_len() {
            return Err(BanTargetError::Nobody(network));
        }
        if too_large { Err(BanTargetError::TooLarge(network)) } else { Ok(Self::Network(network)) }
    }
}

impl fmt::Display for BanTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(network) if network.prefix_len() == network.max_prefix_len() && network.addr().is_ipv4() => {
                network.addr().fmt(f)
            }
            Self::Network(network) => network.fmt(f),
            Self::User(name) => write!(f, "{USER_PREFIX}{name}"),
        }
    }
}

/// What counts as one client: an IPv4 address, or an IPv6 /64, in which a household chooses new addresses every day.
fn client_network(ip: IpAddr) -> IpNet {
    let prefix = if ip.to_canonical().is_ipv4() { 32 } else { 64 };
    IpNet::new(ip_prefix::of_client(ip), prefix).expect("the prefix fits the family")
}

/// An IPv4-mapped network as the IPv4 network that it is.
fn canonical(network: IpNet) -> Result<IpNet, BanTargetError> {
    let IpNet::V6(v6) = network else { return Ok(network) };
    let mapped: IpNet = "::ffff:0:0/96".parse().expect("it is a network");
    match v6.addr().to_ipv4_mapped() {
        Some(v4) if v6.prefix_len() >= MAPPED_PREFIX => {
            Ok(Ipv4Net::new(v4, v6.prefix_len() - MAPPED_PREFIX).expect("the prefix fits").into())
        }
        _ if v6.prefix_len() >= MIN_V6_PREFIX && network.contains(&mapped) => Err(BanTargetError::Mapped(network)),
        _ => Ok(network),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(text: &str) -> String {
        text.parse::<BanTarget>().map_or_else(|error| error.to_string(), |target| target.to_string())
    }

    #[test]
    fn two_texts_for_the_same_are_one_target() {
        for (text, expected) in [
            ("198.51.100.7", "198.51.100.7"),
            ("198.51.100.7/32", "198.51.100.7"),
            ("::ffff:198.51.100.7", "198.51.100.7"),
            ("::ffff:198.51.100.0/120", "198.51.100.0/24"),
            ("198.51.100.7/24", "198.51.100.0/24"),
            ("2001:DB8::5", "2001:db8::/64"),
            ("2001:db8::5/64", "2001:db8::/64"),
            ("2001:db8::5/128", "2001:db8::5/128"),
            ("user:alice", "user:alice"),
            ("user:@alice:example.org", "user:@alice:example.org"),
        ] {
            assert_eq!(target(text), expected, "{text}");
            assert_eq!(target(expected), expected, "{text}");
        }
        let found: Vec<_> = BanTarget::alternatives("2001:db8::5").iter().map(ToString::to_string).collect();
        assert_eq!(found, ["2001:db8::/64", "2001:db8::5/128"]);
        assert_eq!(BanTarget::alternatives("nonsense"), []);
    }

    #[test]
    fn what_no_ban_is_for_is_refused_with_a_sentence() {
        for (text, part) in [
            ("", "is no address"),
            ("alice", "is no address"),
            ("1.2.3.4:80", "is no address"),
            ("1.2.3.0/33", "is no address"),
            ("0.0.0.0/0", "too many addresses"),
            ("128.0.0.0/7", "too many addresses"),
            ("::/0", "too many addresses"),
            ("2000::/3", "too many addresses"),
            ("::ffff:0:0/96", "too many addresses"),
            ("::/80", "IPv4-mapped"),
            ("0.0.0.0", "nobody"),
            ("user:", "can't be empty"),
            ("user:al\u{1b}[2Jice", "control characters"),
            ("user:al\u{2028}ice", "control characters"),
        ] {
            assert!(target(text).contains(part), "{text}: {}", target(text));
        }
        assert!(target(&format!("user:{}", "x".repeat(129))).contains("128 characters"));
        assert!(target(&"9".repeat(100_000)).len() < 200, "a sentence has an end");
        assert_eq!(target("user:\u{202e}ecila"), "user:\u{202e}ecila", "a name that clients may have; who shows it escapes it");
    }

    #[test]
    fn a_ban_hits_no_proxy_no_loopback_and_not_this_machine() {
        let proxies: Vec<IpNet> = vec!["10.0.0.0/8".parse().unwrap(), "2001:db8:9::1/128".parse().unwrap()];
        let own: [IpAddr; 2] = ["203.0.113.7".parse().unwrap(), "2001:db8:1:2::7".parse().unwrap()];
        let protected = ProtectedNetworks::new(&proxies, own);
        let check = |text: &str| protected.check(&text.parse().unwrap());
        for (text, part) in [
            ("127.0.0.1", "127.0.0.1 can't be blocked: it is in 127.0.0.0/8, a loopback address"),
            ("127.0.0.0/8", "it is a loopback address"),
            ("::1/128", "a loopback address"),
            ("::ffff:127.0.0.1", "a loopback address"),
            ("10.9.8.7", "10.0.0.0/8, a trusted proxy"),
            ("10.0.0.0/8", "it is a trusted proxy"),
            ("2001:db8:9::/48", "2001:db8:9::1/128, a trusted proxy"),
            ("203.0.113.7", "it is an address of this machine"),
            ("203.0.113.0/24", "203.0.113.7, an address of this machine"),
            ("2001:db8:1:2::9", "block a smaller network"),
        ] {
            let refused = check(text).unwrap_err();
            assert!(refused.en.contains(part), "{text}: {refused}");
            let is_smallest = text.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_ipv4());
            assert!(!is_smallest || !refused.en.contains("smaller"), "{text}: {refused}");
        }
        for free in ["198.51.100.7", "11.0.0.0/8", "203.0.113.8", "2001:db8:1:2::9/128", "2001:db8:9:1::/64", "user:127.0.0.1"] {
            assert_eq!(check(free), Ok(()), "{free}");
        }
    }
}
