//! Finds advertised addresses that can't be right, and says for each what to set. PURE.

use std::net::IpAddr;

use super::state::{ExternalState, LookupResults, is_unicast};
use crate::addresses::interfaces::is_private;
use crate::config::{ExternalAddress, Public};
use crate::turn::RelayedIp;

/// Ends of names that only their own network knows (RFC 6762, RFC 8375 and common use).
const LOCAL_NAME_ENDS: [&str; 6] = [".local", ".lan", ".internal", ".home.arpa", ".localhost", ".test"];

const WITHOUT_ADDRESS: &str = "This machine has no address that other machines can reach, so nobody else can use it now. Castway needs no restart: \
                               it uses an address as soon as there is one";

pub(super) fn problems(external: &ExternalState, found: &LookupResults) -> Vec<String> {
    if external.is_without_address() {
        return vec![WITHOUT_ADDRESS.to_owned()];
    }
    let relayed: Vec<RelayedIp> = external.relayed_ips(found).into_iter().flatten().collect();
    let items = external.config.addresses.iter().filter_map(|item| item_problem(item, &relayed, found));
    let mut problems: Vec<String> = items.collect();
    if !external.config.addresses.iter().all(|item| found.knows(item)) {
        // The problems so far name the address that is advertised in the meantime.
        return problems;
    }
    let pages_domain = external.pages_domain().filter(|domain| is_public_name(domain));
    let own = relayed.iter().enumerate().filter(|(index, ip)| {
        // A second family that nobody has set is optional.
        *index == 0 || external.advertised_ip(found, ip.bound).is_some()
    });
    let reach: Vec<String> = own.filter_map(|(_, ip)| reach_problem(ip.advertised, pages_domain)).collect();
    let reachable = reach.is_empty();
    problems.extend(reach);
    problems.extend(pages_domain.filter(|_| reachable).and_then(|domain| pages_domain_problem(domain, &relayed, found)));
    problems
}

fn item_problem(item: &ExternalAddress, relayed: &[RelayedIp], found: &LookupResults) -> Option<String> {
    let bound = listed(relayed.iter().map(|ip| ip.bound));
    let advertised = listed(relayed.iter().map(|ip| ip.advertised));
    if let Some(private) = item.private.filter(|private| relayed.iter().all(|ip| ip.bound != *private)) {
        return Some(format!(
            "CASTWAY_EXTERNAL_IP={item}: relayed sockets are bound to {bound}, not to {private}; change it, or set \
             CASTWAY_RELAY_IP={private} if that is an address of this machine"
        ));
    }
    let family = |ip: IpAddr| if ip.is_ipv4() { "IPv4" } else { "IPv6" };
    let other_family = |ip: IpAddr| relayed.iter().all(|own| own.bound.is_ipv4() != ip.is_ipv4());
    match &item.public {
        Public::Ip(ip) => other_family(*ip).then(|| {
            format!(
                "CASTWAY_EXTERNAL_IP={item} is {}, but relayed sockets are bound to {bound} alone: remove it, or add an {} address \
                 of this machine to CASTWAY_RELAY_IP",
                family(*ip),
                family(*ip)
            )
        }),
        Public::Name(name) => match (found.names.get(name), found.unresolved.get(name)) {
            (_, Some(error)) => Some(format!(
                "CASTWAY_EXTERNAL_IP={item} can't be resolved now ({error}), and the relay is advertised as {advertised}: check the \
                 name and this machine's DNS"
            )),
            (None, None) => Some(format!(
                "CASTWAY_EXTERNAL_IP={item} is not resolved yet, and the relay is advertised as {advertised}: check the name and \
                 this machine's DNS"
            )),
            (Some(ips), None) => match ips.iter().find(|ip| !is_unicast(**ip)) {
                Some(ip) => Some(format!("CASTWAY_EXTERNAL_IP={item} resolves to {ip}, which reaches nobody: correct its DNS record")),
                None => ips.iter().all(|ip| other_family(*ip)).then(|| {
                    format!(
                        "CASTWAY_EXTERNAL_IP={item} resolves to {}, but relayed sockets are bound to {bound} alone: add an address \
                         of the same kind to CASTWAY_RELAY_IP, or to the name",
                        listed(ips.iter().copied())
                    )
                }),
            },
        },
        Public::Auto => (found.unanswered || !found.knows(item)).then(|| {
            format!(
                "No server of CASTWAY_STUN_SERVERS answers, and the relay is advertised as {advertised}: allow outgoing UDP to them, \
                 set other servers, or set CASTWAY_EXTERNAL_IP to the public address"
            )
        }),
    }
}

fn reach_problem(advertised: IpAddr, pages_domain: Option<&str>) -> Option<String> {
    if advertised.is_loopback() {
        return Some(format!(
            "The relay is advertised as {advertised}, which on each machine is that machine itself: set CASTWAY_EXTERNAL_IP to \
             the address under which others reach this one"
        ));
    }
    if !is_private(advertised) {
        return None;
    }
    Some(match pages_domain {
        Some(domain) => format!(
            "The relay's address {advertised} is reachable in its own network only, while the pages are at {domain}. Casts and calls \
             don't need it; for users and API keys whose peers may be anyone set CASTWAY_EXTERNAL_IP to the public address"
        ),
        None => format!(
            "The relay's address {advertised} is reachable in its own network only. Casts and calls don't need it; for users and API \
             keys whose peers may be anyone set CASTWAY_EXTERNAL_IP to the public address"
        ),
    })
}

fn pages_domain_problem(domain: &str, relayed: &[RelayedIp], found: &LookupResults) -> Option<String> {
    if let Some(error) = found.unresolved.get(domain) {
        return Some(format!(
            "{domain} of CASTWAY_PUBLIC_URL can't be resolved here ({error}): check that others can, and create its DNS record if not"
        ));
    }
    let resolved = found.names.get(domain)?;
    let advertised = || relayed.iter().map(|ip| ip.advertised);
    let elsewhere = !resolved.iter().any(|ip| advertised().any(|own| own == *ip));
    elsewhere.then(|| {
        format!(
            "{domain} of CASTWAY_PUBLIC_URL is {}, but the relay is advertised as {}: set CASTWAY_EXTERNAL_IP to the former if \
             that is this machine, or correct the DNS record; if it is a proxy in front, all is well",
            listed(resolved.iter().copied()),
            listed(advertised())
        )
    })
}

/// Whether a name may be known outside its own network.
fn is_public_name(domain: &str) -> bool {
    domain.contains('.') && !LOCAL_NAME_ENDS.iter().any(|end| domain.ends_with(end))
}

fn listed(ips: impl Iterator<Item = IpAddr>) -> String {
    ips.map(|ip| ip.to_string()).collect::<Vec<_>>().join(" and ")
}
