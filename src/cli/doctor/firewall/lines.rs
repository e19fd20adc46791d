//! Which ports clients need, and what the firewall does with them in words.

use std::net::{IpAddr, SocketAddr};

use super::needed::{Closed, Need, Needed, Report, in_words};
use crate::addresses::interfaces;
use crate::cli::doctor::inputs::{Inputs, NeededPort, RangeUse};
use crate::cli::doctor::line::{Line, State, Topic};
use crate::control::facts::{Service, Transport};

/// Firewalls that nobody can see from the machine behind them.
const BEFORE: &str = "Firewalls in front of this machine, such as a cloud's security group, can't be seen from here.";

pub(super) fn needed(inputs: &Inputs) -> Vec<Needed> {
    let ports = inputs.ports();
    let has_https = ports.iter().any(|port| port.serves == Service::Https);
    let mut all: Vec<Needed> = Vec::new();
    for port in &ports {
        if port.address.ip().is_loopback() {
            continue;
        }
        let Some(need) = need(inputs, port, has_https) else { continue };
        let (v4, v6) = families(port.address);
        let number = port.address.port();
        add(&mut all, Needed { transport: port.protocol, ports: (number, number), need, v4, v6 });
    }
    if let Some((ports, usage)) = inputs.relayed_ports() {
        let need = match usage {
            RangeUse::Everybody => Need::Required,
            RangeUse::Others => Need::Users,
            RangeUse::Nobody => Need::Optional,
        };
        let bound = inputs.facts.as_ref().map(|facts| facts.relay.bound.as_slice()).unwrap_or_default();
        let has = |v6: bool| bound.is_empty() || bound.iter().any(|ip| ip.is_ipv6() == v6 || *ip == IpAddr::from([0_u16; 8]));
        add(&mut all, Needed { transport: Transport::Udp, ports, need, v4: has(false), v6: has(true) });
    }
    all
}

/// How much depends on a listener, as the start-up report says it; `None`: clients do without it.
fn need(inputs: &Inputs, port: &NeededPort, has_https: bool) -> Option<Need> {
    let number = port.address.port();
    let facts = inputs.facts.as_ref();
    let is_advertised = |beginning: &str, end: &str| {
        let end = format!(":{number}?transport={end}");
        facts.is_none_or(|facts| facts.relay.urls.iter().any(|url| url.starts_with(beginning) && url.ends_with(&end)))
    };
    match (port.serves, port.protocol) {
        (Service::Turn, Transport::Udp) => is_advertised("turn:", "udp").then_some(Need::Required),
        // Networks without UDP may have another way, over TLS.
        (Service::Turn, Transport::Tcp) => is_advertised("turn:", "tcp").then_some(Need::Wanted),
        (Service::Collider, _) => Some(Need::Wanted),
        (Service::Turns, _) => None,
        (Service::Http | Service::Https, _) => {
            // A proxy on this machine may serve the pages instead.
            let public = inputs.config.as_ref().and_then(|config| config.http.public_url.as_ref()?.port_or_known_default());
            // Most TVs don't open pages with a certificate that they don't trust.
            let distrusted = facts.and_then(|facts| facts.certificate.as_ref()).is_some_and(|certificate| !certificate.trusted);
            let serves_pages = match public {
                Some(public) => public == number,
                None => port.serves == Service::Https || !has_https || distrusted,
            };
            serves_pages.then_some(Need::Required)
        }
    }
}

fn families(address: SocketAddr) -> (bool, bool) {
    match address.ip() {
        IpAddr::V4(_) => (true, false),
        IpAddr::V6(ip) => (ip.is_unspecified(), true),
    }
}

/// Adds ports, or families to the same ports.
fn add(all: &mut Vec<Needed>, more: Needed) {
    match all.iter_mut().find(|known| (known.transport, known.ports) == (more.transport, more.ports)) {
        Some(known) => (known.v4, known.v6) = (known.v4 || more.v4, known.v6 || more.v6),
        None => all.push(more),
    }
}

/// The addresses of this machine that clients reach, as far as they are known.
pub(super) fn addresses(inputs: &Inputs) -> Vec<IpAddr> {
    let relay = inputs.facts.as_ref().map(|facts| &facts.relay);
    relay.into_iter().flat_map(|relay| relay.bound.iter().chain(&relay.advertised)).copied().collect()
}

/// `addresses`: those that clients reach.
pub(super) fn lines(report: &Report, addresses: &[IpAddr]) -> Vec<Line> {
    let is_private = !addresses.is_empty() && addresses.iter().all(|ip| interfaces::is_private(*ip));
    let (mut lines, mut remarks) = (Vec::new(), Vec::new());
    for closed in &report.closed {
        // A server of a private network is open to that, and to no one else.
        if closed.need == Need::Optional {
            let ports = in_words(closed.transport, closed.ports);
            remarks.push(format!("{ports} is closed, which only relayed addresses of users and API keys need."));
        } else if is_private && !closed.admitted.is_empty() {
            let ports = in_words(closed.transport, closed.ports);
            remarks.push(format!("{ports} is open from {} only.", closed.admitted.join(", ")));
        } else {
            lines.push(closed_line(closed));
        }
    }
    remarks.dedup();
    lines.extend(report.unknown.iter().map(|sentence| Line::unknown(Topic::Firewall, sentence.clone())));
    if lines.is_empty() {
        let filters = report.filters.join(" and ");
        let first =
            if filters.is_empty() { "This machine drops no packets.".to_owned() } else { format!("{filters} lets clients in.") };
        remarks.insert(0, first);
        remarks.push(BEFORE.to_owned());
        return vec![Line::ok(Topic::Firewall, remarks.join(" "))];
    }
    lines
}

fn closed_line(closed: &Closed) -> Line {
    let partly = !closed.admitted.is_empty() || closed.need != Need::Required;
    let state = if partly { State::Warning } else { State::Failed };
    let hint = closed.hint.as_ref().map(|hint| format!(" {hint}")).unwrap_or_default();
    let told = match closed.need {
        Need::Wanted => " Clients are told of that port and try it in vain.",
        Need::Users => " Casts and calls do without these ports; relayed addresses of users and API keys need them.",
        Need::Required | Need::Optional => "",
    };
    let code = match (closed.transport, closed.ports) {
        (Transport::Udp, (first, last)) if first != last => "range_closed",
        (Transport::Udp, _) => "udp_closed",
        (Transport::Tcp, _) => "tcp_closed",
    };
    let line = Line::new(Topic::Firewall, state, format!("{}.{told}{hint}", closed.text)).with_verdict(code);
    match &closed.command {
        Some(command) => line.with_command(command.clone()),
        None => line,
    }
}
