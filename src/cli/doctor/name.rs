//! Whether the name that people type leads to this machine.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::time::timeout;

use super::inputs::Inputs;
use super::line::{Line, State, Topic};
use super::probe;
use crate::addresses::interfaces;
use crate::control::facts::{Service, Transport};

/// How long the resolver may take.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Headers that a proxy or a content delivery network adds to responses. Castway sends none of them.
const PROXY_HEADERS: [&str; 8] =
    ["server", "via", "cf-ray", "x-cache", "x-served-by", "x-amz-cf-id", "fly-request-id", "x-azure-ref"];

/// What an address of the name is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Leads {
    /// This machine's own, or the one that it advertises.
    Here,
    /// Loopback: the resolver of this machine says something else than that of others.
    Loopback,
    /// STUN is answered there, as through a NAT.
    Answers,
    /// Something answers HTTP, and nobody answers STUN; the header says that it is a proxy.
    Proxy(&'static str),
    /// The same without such a header.
    NoUdp,
    Silent,
}

/// Also returns the addresses of the name that are not a proxy's.
pub(super) async fn look(inputs: &Inputs) -> (Vec<Line>, Vec<IpAddr>) {
    let Some(name) = inputs.public_name() else {
        return (vec![Line::ok(Topic::Name, "none is set: devices use the address of this machine")], Vec::new());
    };
    let addresses = match resolve(&name).await {
        Ok(addresses) => addresses,
        Err(line) => return (vec![line], Vec::new()),
    };
    let mut leads = Vec::new();
    for ip in addresses {
        leads.push((ip, where_to(ip, &name, inputs).await));
    }
    let is_proxy = |leads: &Leads| matches!(leads, Leads::Proxy(_) | Leads::NoUdp);
    let own = leads.iter().filter(|(_, leads)| !is_proxy(leads)).map(|(ip, _)| *ip);
    (lines(&name, &leads), own.collect())
}

async fn resolve(name: &str) -> Result<Vec<IpAddr>, Line> {
    let unknown = |why: &str| Err(Line::unknown(Topic::Name, format!("{name}: the resolver of this machine {why}")));
    let found = match timeout(RESOLVE_TIMEOUT, tokio::net::lookup_host((name, 0))).await {
        Ok(Ok(found)) => found,
        Ok(Err(error)) if error.to_string().contains("Temporary failure") => return unknown("gives no answer"),
        Ok(Err(_)) => return Err(without_address(name)),
        Err(_) => return unknown("is too slow"),
    };
    let mut addresses: Vec<IpAddr> = Vec::new();
    for address in found {
        let ip = address.ip().to_canonical();
        if !addresses.contains(&ip) {
            addresses.push(ip);
        }
    }
    if addresses.is_empty() { Err(without_address(name)) } else { Ok(addresses) }
}

fn without_address(name: &str) -> Line {
    let text = format!(
        "{name} has no address (A or AAAA record): add one that leads to this machine, or change the setting that names it"
    );
    Line::failed(Topic::Name, text)
}

async fn where_to(ip: IpAddr, name: &str, inputs: &Inputs) -> Leads {
    let advertised = inputs.facts.iter().flat_map(|facts| &facts.relay.advertised);
    if ip.is_loopback() {
        return Leads::Loopback;
    }
    if interfaces::addresses().contains(&ip) || advertised.clone().any(|own| *own == ip) {
        return Leads::Here;
    }
    let ports = inputs.ports();
    for port in ports.iter().filter(|port| port.protocol == Transport::Udp) {
        if probe::answers_stun(SocketAddr::new(ip, port.address.port())).await.is_ok() {
            return Leads::Answers;
        }
    }
    let has_udp = ports.iter().any(|port| port.protocol == Transport::Udp);
    let mut pages: Vec<u16> = ports.iter().filter(|port| port.serves == Service::Http).map(|port| port.address.port()).collect();
    // A proxy may have the usual port, whichever the server has.
    pages.push(80);
    for port in pages {
        let Ok(head) = probe::http_head(SocketAddr::new(ip, port), name).await else { continue };
        let headers: Vec<_> = head.lines().skip(1).filter_map(|line| Some(line.split_once(':')?.0.trim())).collect();
        return match PROXY_HEADERS.into_iter().find(|header| headers.contains(header)) {
            Some(header) if has_udp => Leads::Proxy(header),
            None if has_udp => Leads::NoUdp,
            Some(_) | None => Leads::Answers,
        };
    }
    Leads::Silent
}

fn lines(name: &str, leads: &[(IpAddr, Leads)]) -> Vec<Line> {
    let is_here = |leads: &Leads| matches!(leads, Leads::Here | Leads::Answers);
    let here: Vec<_> = leads.iter().filter(|(_, leads)| is_here(leads)).map(|(ip, _)| ip.to_string()).collect();
    let mut lines: Vec<_> =
        (!here.is_empty()).then(|| Line::ok(Topic::Name, format!("{name} → {}", here.join(", ")))).into_iter().collect();
    for (ip, leads) in leads {
        let line = match leads {
            Leads::Here | Leads::Answers => continue,
            Leads::Loopback if !here.is_empty() => continue,
            Leads::Loopback => Line::unknown(
                Topic::Name,
                format!("{name} → {ip} on this machine (/etc/hosts); what others get can't be found out from here"),
            ),
            Leads::Proxy(header) => {
                let text = format!(
                    "{name} → {ip} leads to a proxy (its responses have the header {header}) that carries no UDP. Point a name \
                     straight at this machine"
                );
                Line::failed(Topic::Name, text).with_verdict("proxy_before_name")
            }
            Leads::NoUdp => {
                let text = format!(
                    "{name} → {ip} answers HTTP, and nothing there answers STUN over UDP. Either a proxy is in between, which carries \
                     no UDP: then point a name straight at this machine. Or a router forwards only TCP: then have it forward UDP, too"
                );
                Line::new(Topic::Name, State::Failed, text).with_verdict("proxy_before_name_or_udp_closed")
            }
            Leads::Silent if ip.is_ipv6() && !here.is_empty() => Line::warning(
                Topic::Name,
                format!(
                    "{name} → {ip} (AAAA) is no address of this machine, and nothing answers there: correct or remove that record"
                ),
            ),
            Leads::Silent => Line::unknown(
                Topic::Name,
                format!(
                    "{name} → {ip} is no address of this machine, and nothing answers there from here. Behind a router that is usual; \
                     the check from outside tells"
                ),
            ),
        };
        lines.push(line);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn states(leads: &[(&str, Leads)]) -> Vec<(State, Option<String>)> {
        let leads: Vec<_> = leads.iter().map(|(ip, leads)| (ip.parse().unwrap(), leads.clone())).collect();
        lines("cast.example.org", &leads).into_iter().map(|line| (line.state, line.verdict)).collect()
    }

    #[test]
    fn a_name_that_leads_here_is_in_order() {
        assert_eq!(states(&[("203.0.113.7", Leads::Here), ("2001:db8::7", Leads::Answers)]), [(State::Ok, None)]);
        assert_eq!(states(&[("203.0.113.7", Leads::Here), ("127.0.1.1", Leads::Loopback)]), [(State::Ok, None)]);
    }

    #[test]
    fn only_what_was_seen_is_blamed() {
        assert_eq!(states(&[("203.0.113.7", Leads::Silent)]), [(State::Unknown, None)], "a router without hairpin");
        assert_eq!(states(&[("127.0.1.1", Leads::Loopback)]), [(State::Unknown, None)]);
        let proxy = states(&[("203.0.113.7", Leads::Proxy("cf-ray"))]);
        assert_eq!(proxy, [(State::Failed, Some("proxy_before_name".to_owned()))]);
        let either = states(&[("203.0.113.7", Leads::NoUdp)]);
        assert_eq!(either, [(State::Failed, Some("proxy_before_name_or_udp_closed".to_owned()))]);
        let stale = states(&[("203.0.113.7", Leads::Here), ("2001:db8::9", Leads::Silent)]);
        assert_eq!(stale, [(State::Ok, None), (State::Warning, None)]);
    }
}
