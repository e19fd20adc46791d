//! Why a client has no relayed address.

use std::time::SystemTime;

use super::evidence::{Evidence, recent};
use super::server;
use crate::diagnosis::observation::{Facts, Path};
use crate::diagnosis::verdict::{Fault, Finding, Side};

/// When clients of other networks last used a path.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Elsewhere {
    pub(super) udp: Option<SystemTime>,
    pub(super) tcp: Option<SystemTime>,
}

impl Elsewhere {
    pub(super) fn of(facts: &Facts) -> Self {
        Self { udp: recent(facts.last_udp_elsewhere, facts), tcp: recent(facts.last_tcp_elsewhere, facts) }
    }
}

/// The causes that explain why no path gave this client a relayed address: one, two of which one is true, or none.
pub(super) fn causes(client: &Evidence<'_>, facts: &Facts, elsewhere: Elsewhere) -> Vec<Finding> {
    if let Some(refused) = refusal(client, facts) {
        return vec![refused];
    }
    let lost = answers_lost(client, facts, elsewhere);
    if !lost.is_empty() {
        return lost;
    }
    let tried = client.tried(facts);
    // What arrived and came to nothing, without a refusal, proves nothing: the client may have changed its mind.
    if client.witness.unwatched || tried.is_empty() || client.witness.has_seen() {
        return Vec::new();
    }
    nothing_arrived(client, &tried, facts, elsewhere)
}

/// What the relay refused.
pub(super) fn refusal(client: &Evidence<'_>, facts: &Facts) -> Option<Finding> {
    let credentials =
        client.refused_credentials().map(|reason| Fault::CredentialsRefused { reason, static_secret: facts.static_secret });
    let allocation = || client.refused_allocation().map(|(reason, code)| Fault::RelayRefused { reason, code });
    credentials.or_else(allocation).map(|fault| Finding::of_server(fault, client.end))
}

/// UDP requests arrived and were challenged, and the client never went on. Over TCP and TLS, the handshake shows that answers arrive.
pub(super) fn answers_lost(client: &Evidence<'_>, facts: &Facts, elsewhere: Elsewhere) -> Vec<Finding> {
    let (seen, page) = (client.seen(Path::Udp), client.page(Path::Udp));
    let repeated = seen.challenged >= 2 && seen.authenticated == 0 && seen.refused.is_none();
    // A page that got no code (browsers without `icecandidateerror`) or made no report leaves the repetitions as the evidence.
    if !repeated || page.worked || page.refused.is_some() {
        return Vec::new();
    }
    let Some(port) = facts.udp_port else { return Vec::new() };
    let lost = Finding::of_server(Fault::AnswersLost { from: client.address, path: Path::Udp }, client.end);
    let Some(last) = elsewhere.udp else { return vec![lost] };
    vec![lost, blocks_udp(client, port, Some(last), facts)]
}

/// Nothing of this client came over UDP, while another path works for it.
pub(super) fn udp_missing(client: &Evidence<'_>, facts: &Facts, elsewhere: Elsewhere) -> Vec<Finding> {
    let Some(port) = facts.udp_port.filter(|_| client.is_missing(Path::Udp)) else { return Vec::new() };
    let visitor = || blocks_udp(client, port, elsewhere.udp, facts);
    let closed = || closed_udp(client, port, facts);
    let elsewhere_named = server::leads_elsewhere(facts);
    if let Some(proxy) = elsewhere_named.proxy(facts) {
        let proxy = doubted(Finding::of_server(proxy, client.end), client);
        return if elsewhere_named.is_certain() || elsewhere.udp.is_some() { vec![proxy] } else { vec![proxy, closed()] };
    }
    match elsewhere.udp {
        Some(_) => vec![visitor()],
        None => vec![closed(), visitor()],
    }
}

/// Nothing of this client came over any of the paths that it tried.
fn nothing_arrived(client: &Evidence<'_>, tried: &[(Path, u16)], facts: &Facts, elsewhere: Elsewhere) -> Vec<Finding> {
    // Others have found the relay at its address.
    let is_found = elsewhere.udp.is_some() || elsewhere.tcp.is_some();
    if let Some(wrong) = server::wrong_host(facts).filter(|_| !is_found) {
        return vec![Finding::of_server(wrong, client.end)];
    }
    let port_of = |path| tried.iter().find(|(each, _)| *each == path).map(|(_, port)| *port);
    if port_of(Path::Udp).is_some() && server::leads_elsewhere(facts).proxy(facts).is_some() {
        return udp_missing(client, facts, elsewhere);
    }
    let blocks_all = || {
        let last_elsewhere = elsewhere.udp.max(elsewhere.tcp);
        let fault = Fault::VisitorBlocksAll { paths: tried.to_vec(), last_elsewhere, tried: client.reported };
        doubted(Finding::new(fault, client.end, client.end), client)
    };
    // A front end that makes no report may not use this relay at all.
    if !client.reported {
        return vec![blocks_all()];
    }
    // A path that others use is not closed.
    let udp = port_of(Path::Udp).filter(|_| elsewhere.udp.is_none());
    let tcp = port_of(Path::Tcp).filter(|_| elsewhere.tcp.is_none());
    // Clients that trust no certificate of this server have no TLS: it failed, or it was not offered.
    let untrusted = facts.certificate_trusted == Some(false);
    let tls = port_of(Path::Tls).filter(|_| tried.len() == 1 && !untrusted);
    let closed = udp.map(|port| closed_udp(client, port, facts));
    let closed = closed.or_else(|| tcp.map(|port| server_fault(client, Fault::TcpClosed { port, tls: false })));
    let closed = closed.or_else(|| tls.map(|port| server_fault(client, Fault::TcpClosed { port, tls: true })));
    let other = if untrusted {
        server_fault(client, Fault::UntrustedCertificate { known: true, others_work: false })
    } else {
        blocks_all()
    };
    closed.into_iter().chain([other]).collect()
}

fn closed_udp(client: &Evidence<'_>, port: u16, facts: &Facts) -> Finding {
    let tcp = facts.tcp_port.filter(|_| client.reported && client.is_missing(Path::Tcp));
    server_fault(client, Fault::UdpClosed { port, tcp })
}

fn blocks_udp(client: &Evidence<'_>, port: u16, last_elsewhere: Option<SystemTime>, facts: &Facts) -> Finding {
    let ports = [(Path::Tcp, facts.tcp_port), (Path::Tls, facts.tls_port)];
    let instead = ports.into_iter().rev().find_map(|(path, port)| Some((path, port.filter(|_| client.works(path))?)));
    doubted(Finding::new(Fault::VisitorBlocksUdp { port, last_elsewhere, instead }, client.end, client.end), client)
}

fn server_fault(client: &Evidence<'_>, fault: Fault) -> Finding {
    doubted(Finding::of_server(fault, client.end), client)
}

/// That nothing arrived is doubtful where the client may have come from another address.
fn doubted(finding: Finding, client: &Evidence<'_>) -> Finding {
    Finding { doubt: client.doubt, ..finding }
}

/// Two ends in different networks miss the same: their networks are not the cause.
pub(super) fn of_both(first: &Finding, second: &Finding) -> Option<Finding> {
    let same = first.fault.code() == second.fault.code() && first.side == Side::Server && second.side == Side::Server;
    same.then(|| Finding { seen_by: Side::Both, doubt: first.doubt || second.doubt, ..first.clone() })
}
