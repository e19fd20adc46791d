//! Outcomes in words.

use std::time::Duration;

use super::connect::{Fault, Transport, Way};
use super::outcome::Outcome;
use super::tls::Doubt;
use crate::cli::doctor::line::{Line, Topic};

/// `unresolved`: URLs whose host has no address, with the reason as a clause.
pub(super) fn lines(outcomes: &[Outcome], unresolved: &[(String, String)]) -> Vec<Line> {
    let both = |v6: bool| outcomes.iter().any(|outcome| outcome.tested.advertised.address.is_ipv6() == v6);
    let names_family = both(false) && both(true);
    let (mut passed, mut lines) = (Vec::new(), Vec::new());
    for outcome in outcomes {
        let name = label(&outcome.tested.advertised, names_family);
        match (&outcome.advertised, &outcome.local) {
            (Ok((time, doubt)), _) => {
                passed.push(format!("{name} {}", milliseconds(*time)));
                lines.extend(doubt.as_ref().map(|doubt| certificate(doubt, &outcome.tested.url)));
            }
            (Err(fault), Some(Ok((time, doubt)))) if !outcome.tested.is_own && is_silence(fault) => {
                passed.push(format!("{name} {}", milliseconds(*time)));
                lines.push(from_inside(outcome));
                lines.extend(doubt.as_ref().map(|doubt| certificate(doubt, &outcome.tested.url)));
            }
            (Err(fault), local) => lines.push(failed(&name, outcome, fault, local.as_ref())),
        }
    }
    lines.extend(unresolved.iter().map(|(url, reason)| Line::failed(Topic::Relay, format!("{url}: {reason}"))));
    if !passed.is_empty() {
        lines.insert(0, Line::ok(Topic::Relay, format!("{} (allocated, permitted, echoed)", passed.join(" · "))));
    }
    lines
}

fn is_silence(fault: &Fault) -> bool {
    match fault {
        // A router may lead its own outer address to pages of its own.
        Fault::Unreachable(_) | Fault::NoAnswer | Fault::Handshake(_) | Fault::Other(_) => true,
        Fault::Refused { .. } | Fault::NoEcho => false,
    }
}

/// `UDP`, `TLS 443`; the port of UDP and TCP is named where it isn't 3478.
fn label(way: &Way, names_family: bool) -> String {
    let port = way.address.port();
    let name = match way.transport {
        Transport::Udp => "UDP",
        Transport::Tcp => "TCP",
        Transport::Tls => "TLS",
    };
    let port = if port == 3478 { String::new() } else { format!(" {port}") };
    let family = match (names_family, way.address.is_ipv6()) {
        (false, _) => "",
        (true, false) => " IPv4",
        (true, true) => " IPv6",
    };
    format!("{name}{port}{family}")
}

fn milliseconds(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}

fn certificate(doubt: &Doubt, url: &str) -> Line {
    match doubt {
        Doubt::UnknownIssuer => {
            let text = format!(
                "{url}: this machine doesn't know the authority of the certificate. Devices that don't know it either can't use TURN \
                 over TLS."
            );
            Line::warning(Topic::Relay, text).with_verdict("untrusted_certificate")
        }
        Doubt::Invalid(reason) => {
            let text = format!(
                "{url}: no device accepts the certificate, since {reason}. UDP and TCP work; networks where only 443 is open won't."
            );
            Line::failed(Topic::Relay, text).with_verdict("untrusted_certificate")
        }
    }
}

fn from_inside(outcome: &Outcome) -> Line {
    let (url, address) = (&outcome.tested.url, outcome.tested.advertised.address);
    let text = format!(
        "{url} can't be reached from inside: {address} is not an address of this machine, and its router may carry no packets back in. \
         Where the relay listens, it works; the check from outside tells the rest."
    );
    Line::unknown(Topic::Relay, text)
}

fn failed(name: &str, outcome: &Outcome, fault: &Fault, local: Option<&super::outcome::Result>) -> Line {
    let (url, address) = (&outcome.tested.url, outcome.tested.advertised.address);
    let elsewhere = match (local, &outcome.tested.local) {
        (Some(Ok(_)), Some(way)) => format!(" At {} it works.", way.address),
        _ => String::new(),
    };
    let tls = outcome.tested.advertised.transport == Transport::Tls;
    let closed = if outcome.tested.advertised.transport == Transport::Udp { "udp_closed" } else { "tcp_closed" };
    let (text, verdict) = match fault {
        Fault::Unreachable(reason) => (format!("{name}: {address} can't be reached ({reason})."), Some(closed)),
        Fault::Handshake(reason) => (format!("{name}: the TLS handshake with {address} fails ({reason})."), None),
        Fault::NoAnswer => (format!("{name}: nothing answers at {address} ({url})."), Some(closed)),
        Fault::Refused { code: 401, .. } => {
            let text = format!(
                "{name}: the relay at {address} refuses credentials that this server has just signed (401): another server answers \
                 there, or one with other secrets."
            );
            (text, Some("credentials_refused"))
        }
        Fault::Refused { code: 403, .. } => {
            (format!("{name}: the relay at {address} permits no peer at all (403)."), Some("relay_refused"))
        }
        Fault::Refused { code, .. } if matches!(code, 486 | 508) => {
            let text =
                format!("{name}: not tested, since the relay has no place left ({code}): a quota or its capacity is used up.");
            return Line::unknown(Topic::Relay, text).with_verdict("relay_refused");
        }
        Fault::Refused { code, words } => {
            (format!("{name}: the relay at {address} refuses a request ({code}: {words})."), Some("relay_refused"))
        }
        Fault::NoEcho => (format!("{name}: {address} gives an allocation, and no payload comes through it."), None),
        Fault::Other(reason) => {
            let what = if tls { "what answers there may be no TURN server" } else { "no TURN server seems to answer there" };
            (format!("{name}: {address}: {what} ({reason})."), None)
        }
    };
    let line = Line::failed(Topic::Relay, format!("{text}{elsewhere}"));
    match verdict {
        Some(code) => line.with_verdict(code),
        None => line,
    }
}
