//! Whether the name that people type leads to this machine.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::time::timeout;

use super::inputs::{Inputs, NeededPort};
use super::line::{Line, State, Topic};
use super::probe;
use crate::addresses::interfaces;
use crate::control::facts::{Service, Transport};

/// How long the resolver may take.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Headers that a content delivery network adds to responses.
const CDN_HEADERS: [&str; 7] = ["via", "cf-ray", "x-cache", "x-served-by", "x-amz-cf-id", "fly-request-id", "x-azure-ref"];
/// A header that proxies add and Castway does not. Any other web server sends it, too.
const SERVER_HEADER: &str = "server";
/// The response of `/healthz` is no longer, even in chunks.
const MAX_HEALTH_BYTES: usize = 32;

/// What an address of the name is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Leads {
    /// This machine's own, or the one that it advertises.
    Here,
    /// Loopback: the resolver of this machine says something else than that of others.
    Loopback,
    /// STUN is answered there, as through a NAT.
    Answers,
    /// This server's pages come from there, and the relay has another host.
    Pages,
    /// This server's pages come from there, and nobody answers STUN; the header says that it is a proxy.
    Proxy(&'static str),
    /// The same without such a header.
    NoUdp,
    /// Pages come from there that may be another machine's, or a router's own.
    Others,
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
    let mut pages: Vec<(u16, bool)> = ports.iter().filter_map(page_port).collect();
    // A proxy may have the usual ports, whichever the server has.
    pages.extend([(443, true), (80, false)]);
    let asked = pages.into_iter().map(|(port, over_tls)| probe::http_response(SocketAddr::new(ip, port), name, over_tls));
    let responses: Vec<_> = futures_util::future::join_all(asked).await.into_iter().flatten().collect();
    let has_udp = ports.iter().any(|port| port.protocol == Transport::Udp);
    judge(&responses, has_udp && !relay_is_elsewhere(ip, name, inputs))
}

/// The port of a listener for pages, and whether it takes TLS.
fn page_port(port: &NeededPort) -> Option<(u16, bool)> {
    match port.serves {
        Service::Http => Some((port.address.port(), false)),
        Service::Https => Some((port.address.port(), true)),
        Service::Turn | Service::Turns | Service::Collider => None,
    }
}

/// Whether the settings give the relay another host than the name's.
fn relay_is_elsewhere(ip: IpAddr, name: &str, inputs: &Inputs) -> bool {
    let hosts: Vec<_> = inputs.facts.iter().flat_map(|facts| &facts.relay.hosts).collect();
    !hosts.is_empty() && !hosts.iter().any(|host| host.eq_ignore_ascii_case(name) || host.parse() == Ok(ip))
}

/// What the responses to `GET /healthz` say, in lower case. `needs_udp`: clients send UDP to the address that gave them.
fn judge(responses: &[String], needs_udp: bool) -> Leads {
    let head = |response: &str| response.split("\r\n\r\n").next().unwrap_or_default().to_owned();
    let has = |response: &str, wanted: &str| {
        head(response).lines().skip(1).any(|line| line.split_once(':').is_some_and(|(name, _)| name.trim() == wanted))
    };
    let of_cdn = CDN_HEADERS.into_iter().find(|header| responses.iter().any(|response| has(response, header)));
    let own = responses.iter().find(|response| is_own(response));
    match (of_cdn, own) {
        (None, None) if responses.is_empty() => Leads::Silent,
        (None, None) => Leads::Others,
        _ if !needs_udp => Leads::Pages,
        (Some(header), _) => Leads::Proxy(header),
        (None, Some(own)) if has(own, SERVER_HEADER) => Leads::Proxy(SERVER_HEADER),
        (None, Some(_)) => Leads::NoUdp,
    }
}

/// Whether it is Castway's response to `GET /healthz`.
fn is_own(response: &str) -> bool {
    let Some((head, body)) = response.split_once("\r\n\r\n") else { return false };
    let status = head.split_whitespace().nth(1);
    status == Some("200") && body.len() <= MAX_HEALTH_BYTES && body.lines().any(|line| line == "ok")
}

fn lines(name: &str, leads: &[(IpAddr, Leads)]) -> Vec<Line> {
    let is_here = |leads: &Leads| matches!(leads, Leads::Here | Leads::Answers | Leads::Pages);
    let here: Vec<_> = leads.iter().filter(|(_, leads)| is_here(leads)).map(|(ip, _)| ip.to_string()).collect();
    let mut lines: Vec<_> =
        (!here.is_empty()).then(|| Line::ok(Topic::Name, format!("{name} → {}", here.join(", ")))).into_iter().collect();
    for (ip, leads) in leads {
        let line = match leads {
            Leads::Here | Leads::Answers | Leads::Pages => continue,
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
            Leads::Silent | Leads::Others if ip.is_ipv6() && !here.is_empty() => Line::warning(
                Topic::Name,
                format!(
                    "{name} → {ip} (AAAA) is no address of this machine, and this server does not answer there: correct or remove that \
                     record"
                ),
            ),
            Leads::Others => Line::unknown(
                Topic::Name,
                format!(
                    "{name} → {ip} is no address of this machine, and other pages than this server's come from there. From behind a \
                     router they may be the router's own; the check from outside tells"
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
    use crate::control::facts::{RelayFacts, ServerFacts};

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
        assert_eq!(states(&[("203.0.113.7", Leads::Others)]), [(State::Unknown, None)], "a router's own pages");
        assert_eq!(states(&[("203.0.113.7", Leads::Pages)]), [(State::Ok, None)]);
        let stale = states(&[("203.0.113.7", Leads::Here), ("2001:db8::9", Leads::Silent)]);
        assert_eq!(stale, [(State::Ok, None), (State::Warning, None)]);
    }

    #[test]
    fn only_this_servers_pages_tell_of_a_proxy() {
        let judged =
            |responses: &[&str], needs_udp| judge(&responses.iter().map(|&text| text.to_owned()).collect::<Vec<_>>(), needs_udp);
        let own = "http/1.1 200 ok\r\ncache-control: no-store\r\n\r\nok\n";
        let nginx = "http/1.1 200 ok\r\nserver: nginx\r\ntransfer-encoding: chunked\r\n\r\n3\r\nok\n\r\n0\r\n\r\n";
        let redirect = "http/1.1 301 moved permanently\r\nserver: nginx\r\n\r\n";
        let cdn = "http/1.1 301 moved permanently\r\nserver: cloudflare\r\ncf-ray: 1\r\n\r\n";
        let router = "http/1.1 200 ok\r\nserver: lighttpd\r\n\r\n<title>router</title>ok, a page with more";
        assert_eq!(judged(&[own], true), Leads::NoUdp);
        assert_eq!(judged(&[redirect, nginx], true), Leads::Proxy("server"));
        assert_eq!(judged(&[cdn], true), Leads::Proxy("cf-ray"));
        assert_eq!(judged(&[router], true), Leads::Others);
        assert_eq!(judged(&[redirect], true), Leads::Others);
        assert_eq!(judged(&[], true), Leads::Silent);
        assert_eq!((judged(&[nginx], false), judged(&[cdn], false)), (Leads::Pages, Leads::Pages), "the relay has another host");
        assert_eq!(judged(&[router], false), Leads::Others);
    }

    #[test]
    fn the_relay_is_elsewhere_where_the_settings_give_it_another_host() {
        let with = |hosts: &[&str]| {
            let relay = RelayFacts { hosts: hosts.iter().map(|&host| host.to_owned()).collect(), ..RelayFacts::default() };
            let inputs = Inputs { facts: Some(ServerFacts { relay, ..ServerFacts::default() }), ..Inputs::default() };
            relay_is_elsewhere("203.0.113.7".parse().unwrap(), "cast.example.org", &inputs)
        };
        assert!(!with(&[]) && !with(&["Cast.Example.org"]) && !with(&["203.0.113.7"]));
        assert!(with(&["203.0.113.9"]) && with(&["turn.example.org"]));
    }
}
