//! The value of a setting that means the same as an option.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::Path;
use std::str::FromStr;

use super::config_file::GivenOption;
use super::facts::{Facts, flag, ip, server};
use super::outcome::{Assignment, Outcome};
use super::peer_range::{is_mapped, listed, networks};
use crate::config::HTTPS_PORT;
use crate::turn::PeerPolicy;
use crate::whole_number;

/// What the value must be, in words.
pub(super) type Expected = Cow<'static, str>;

const EXPECTED_FLAG: &str = "expected nothing, true or false";
const EXPECTED_PORT: &str = "expected a port from 1 to 65535";
const EXPECTED_IP: &str = "expected an IP address";
/// Threads of the largest relay here.
const MAX_THREADS: u64 = 64;
/// Ports below are not used for relayed addresses here.
const LOWEST_RELAYED_PORT: u64 = 1024;

/// What the option becomes, whose setting is `variable`.
pub(super) fn outcome(option: &GivenOption, variable: &'static str, facts: &Facts) -> Result<Outcome, Expected> {
    let text = option.bare();
    match option.name.as_str() {
        "listening-port" | "listening-ip" => listener(option, variable, facts),
        "tls-listening-port" => tls_listener(text, variable, facts),
        "alt-listening-port" => Ok(Outcome::set(variable, number::<u16>(text, EXPECTED_PORT)?.to_string())),
        "external-ip" => external_ip(text, variable),
        "relay-ip" => relay_ip(text, variable, facts),
        "min-port" | "max-port" => {
            let port = u64::from(number::<u16>(text, EXPECTED_PORT)?);
            Ok(within(variable, port, LOWEST_RELAYED_PORT..=u64::from(u16::MAX)))
        }
        "cpus" if facts.has("relay-threads") => Ok(Outcome::Nothing("relay-threads is set, too.".to_owned())),
        "relay-threads" | "cpus" => Ok(within(variable, number(text, "expected a number of threads")?, 1..=MAX_THREADS)),
        "allocation-default-address-family" => Ok(Outcome::set(variable, text)),
        "keep-address-family" => Ok(match flag(text).ok_or(EXPECTED_FLAG)? {
            true => Outcome::set(variable, "keep"),
            false => Outcome::Nothing("It is off.".to_owned()),
        }),
        "no-tls" => Ok(no_tls(flag(text).ok_or(EXPECTED_FLAG)?, variable)),
        "no-udp" | "no-tcp" | "no-tcp-relay" | "mobility" | "software-attribute" => {
            Ok(Outcome::set(variable, flag(text).ok_or(EXPECTED_FLAG)?.to_string()))
        }
        "rfc5780" => Ok(rfc5780(flag(text).ok_or(EXPECTED_FLAG)?, variable, facts)),
        "no-rfc5780" | "no-software-attribute" | "prod" => {
            Ok(Outcome::set(variable, (!flag(text).ok_or(EXPECTED_FLAG)?).to_string()))
        }
        "stale-nonce" => Ok(stale_nonce(or_default(text, 600)?, variable)),
        "max-allocate-lifetime" => Ok(within(variable, or_default(text, 3600)?, 600..=86_400)),
        "user-quota" | "total-quota" => {
            Ok(Outcome::set(variable, number::<u32>(text, "expected a number of allocations")?.to_string()))
        }
        "max-bps" | "bps-capacity" => {
            Ok(Outcome::set(variable, number::<u64>(text, "expected a number of bytes per second")?.to_string()))
        }
        "allowed-peer-ip" | "denied-peer-ip" => peers(text, variable),
        "allow-loopback-peers" => Ok(match flag(text).ok_or(EXPECTED_FLAG)? {
            true => Outcome::set(variable, "127.0.0.0/8,::1"),
            false => Outcome::Nothing("It is off.".to_owned()),
        }),
        "static-auth-secret" => Ok(with_comment(option, secret(&option.value, variable))),
        "cert" | "pkey" => Ok(file(&option.value, variable, facts)),
        "alternate-server" => alternate(text, variable, facts),
        "log-min-level" => log_level(text, variable),
        // realm, which is any text.
        _ => Ok(with_comment(option, Outcome::set(variable, &*option.value))),
    }
}

/// An outcome of any text, with a sentence where somebody may have meant a part of it as a comment.
fn with_comment(option: &GivenOption, outcome: Outcome) -> Outcome {
    let has_comment = option.bare() != option.value;
    if has_comment { outcome.noted("turnserver takes the comment behind the value for a part of it.") } else { outcome }
}

fn number<N: FromStr>(text: &str, expected: &'static str) -> Result<N, Expected> {
    whole_number::read(text).ok_or_else(|| expected.into())
}

/// A number of seconds, or the default of an option without a value.
fn or_default(text: &str, default: u64) -> Result<u64, Expected> {
    if text.is_empty() { Ok(default) } else { number(text, "expected a number of seconds") }
}

/// The nearest value in `range`, with a sentence where it is another one.
fn within(variable: &'static str, value: u64, range: RangeInclusive<u64>) -> Outcome {
    let nearest = value.clamp(*range.start(), *range.end());
    let set = Outcome::set(variable, nearest.to_string());
    if nearest == value { set } else { set.noted(format!("The setting is from {} to {}.", range.start(), range.end())) }
}

fn addr(ip: impl Into<std::net::IpAddr>, port: u16) -> String {
    SocketAddr::new(ip.into(), port).to_string()
}

fn listener(option: &GivenOption, variable: &'static str, facts: &Facts) -> Result<Outcome, Expected> {
    let own = ip(option.bare());
    if option.name == "listening-ip" {
        own.ok_or(EXPECTED_IP)?;
    } else {
        let port: u16 = number(option.bare(), EXPECTED_PORT)?;
        if port == 0 {
            return Err(EXPECTED_PORT.into());
        }
    }
    let (ip, is_wider) = facts.listening_ip();
    let mut assignments = vec![Assignment { variable, value: addr(ip, facts.port()) }];
    if let Some(relayed) = own.filter(|own| facts.implied_relay_ips().contains(own)) {
        assignments.push(Assignment { variable: "CASTWAY_RELAY_IP", value: relayed.to_string() });
    }
    let set = Outcome::Set(assignments, None);
    let wider = is_wider && option.name == "listening-ip";
    Ok(if wider { set.noted("The relay listens at one address, or at all of them.") } else { set })
}

fn tls_listener(text: &str, variable: &'static str, facts: &Facts) -> Result<Outcome, Expected> {
    let port: u16 = number(text, EXPECTED_PORT)?;
    let set = Outcome::set(variable, addr(facts.listening_ip().0, port));
    Ok(match port {
        0 => return Err(EXPECTED_PORT.into()),
        HTTPS_PORT => set.noted(
            "To have the pages at port 443, too, write this address to CASTWAY_HTTPS_ADDR instead: it takes both HTTPS and TURN.",
        ),
        _ => set,
    })
}

fn external_ip(text: &str, variable: &'static str) -> Result<Outcome, Expected> {
    let is_coturns = !text.is_empty() && !text.eq_ignore_ascii_case("auto") && !text.contains(',');
    is_coturns.then(|| Outcome::set(variable, text)).ok_or("expected an address or a host name, or PUBLIC/PRIVATE".into())
}

fn relay_ip(text: &str, variable: &'static str, facts: &Facts) -> Result<Outcome, Expected> {
    let ip = ip(text).ok_or(EXPECTED_IP)?;
    Ok(match facts.is_first_of_family(ip) {
        true => Outcome::set(variable, ip.to_string()),
        false => Outcome::Nothing(format!("{variable} has one IPv4 and one IPv6 address.")),
    })
}

fn no_tls(is_off: bool, variable: &'static str) -> Outcome {
    let set = Outcome::set(variable, is_off.to_string());
    match is_off {
        true => set.noted("It turns off HTTPS of the pages, too: leave it out unless a proxy in front has TLS."),
        false => set,
    }
}

fn rfc5780(is_on: bool, variable: &'static str, facts: &Facts) -> Outcome {
    let set = Outcome::set(variable, is_on.to_string());
    match is_on && facts.listening_ips.len() > 1 {
        true => set.noted("Name the second address of this machine in CASTWAY_ALT_IP."),
        false => set,
    }
}

fn stale_nonce(seconds: u64, variable: &'static str) -> Outcome {
    let longest = 3600;
    match seconds {
        0 => Outcome::set(variable, longest.to_string()).noted("Every nonce expires; this is the longest life."),
        _ => within(variable, seconds, 10..=longest),
    }
}

/// The peers of one option or row, for the setting with the allowed or the denied ones.
pub(super) fn peers(text: &str, variable: &'static str) -> Result<Outcome, Expected> {
    let networks = networks(text).ok_or("expected an IP address or a range such as 10.0.0.0-10.255.255.255")?;
    if variable == "CASTWAY_ALLOWED_PEER_IP" && networks.iter().any(is_mapped) {
        return Err("expected IPv4 addresses as such: the relay takes IPv4-mapped addresses for those of IPv4".into());
    }
    if variable == "CASTWAY_DENIED_PEER_IP" && networks.iter().all(PeerPolicy::denies_by_default) {
        return Ok(Outcome::Nothing("These addresses are always denied unless CASTWAY_ALLOWED_PEER_IP names them.".to_owned()));
    }
    Ok(Outcome::set(variable, listed(&networks).join(",")))
}

fn secret(value: &str, variable: &'static str) -> Outcome {
    match value.contains(',') {
        true => Outcome::ByHand(
            "CASTWAY_STATIC_AUTH_SECRET_FILE",
            "The secret has a comma, which separates secrets: write all secrets into a file, one a line, and name the file there."
                .to_owned(),
        ),
        false => Outcome::set(variable, value),
    }
}

fn file(value: &str, variable: &'static str, facts: &Facts) -> Outcome {
    if !(facts.has("cert") && facts.has("pkey")) {
        return Outcome::Nothing("cert and pkey belong together, and the other one is missing.".to_owned());
    }
    let mut notes = Vec::new();
    if !value.starts_with('/') {
        notes.push("The path begins at the folder that the server is started in.");
    }
    // certbot writes both, and the former has no intermediate certificates.
    if variable == "CASTWAY_CERT" && Path::new(value).file_name().is_some_and(|name| name == "cert.pem") {
        notes.push("If certbot wrote this file, it lacks the chain: use fullchain.pem of the same folder.");
    }
    let set = Outcome::set(variable, value);
    if notes.is_empty() { set } else { set.noted(notes.join(" ")) }
}

fn alternate(text: &str, variable: &'static str, facts: &Facts) -> Result<Outcome, Expected> {
    let server = server(text).ok_or("expected an IP address, perhaps with a port")?;
    Ok(match facts.is_first_alternate(server) {
        true => Outcome::set(variable, server.to_string()),
        false => Outcome::Nothing(format!("{variable} has one IPv4 and one IPv6 address.")),
    })
}

fn log_level(text: &str, variable: &'static str) -> Result<Outcome, Expected> {
    let levels = [("debug", "debug"), ("info", "info"), ("warning", "warn"), ("error", "error")];
    let level = levels.iter().find(|(theirs, _)| theirs.eq_ignore_ascii_case(text));
    level.map(|(_, ours)| Outcome::set(variable, *ours)).ok_or("expected debug, info, warning or error".into())
}

/// For a realm's options in a database.
pub(super) fn of_realm_option(name: &str, value: &str) -> Option<Assignment> {
    let variable = match name {
        "max-bps" => "CASTWAY_MAX_BPS",
        "user-quota" => "CASTWAY_USER_QUOTA",
        "total-quota" => "CASTWAY_TOTAL_QUOTA",
        _ => return None,
    };
    let value: u64 = whole_number::read(value.trim())?;
    let fits = variable == "CASTWAY_MAX_BPS" || u32::try_from(value).is_ok();
    fits.then(|| Assignment { variable, value: value.to_string() })
}
