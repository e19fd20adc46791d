//! What can't be right about the advertised addresses, a sentence each. PURE.

use std::net::IpAddr;

use super::Inner;
use super::Seen;
use super::names_somebody;
use crate::addresses::interfaces::is_private;
use crate::config::{ExternalAddress, Public};
use crate::turn::RelayedIp;

/// Names that are no one's outside their own network (RFC 6762, RFC 8375 and habit).
const LOCAL: [&str; 6] = [".local", ".lan", ".internal", ".home.arpa", ".localhost", ".test"];

pub(super) fn problems(external: &Inner, seen: &Seen) -> Vec<String> {
    let relays: Vec<RelayedIp> = external.relays(seen).into_iter().flatten().collect();
    let items = external.config.addresses.iter().filter_map(|item| item_problem(item, &relays, seen));
    let mut problems: Vec<String> = items.collect();
    if !external.config.addresses.iter().all(|item| seen.knows(item)) {
        // What is advertised until it is known has been said above.
        return problems;
    }
    let site = external.site().filter(|domain| is_public_name(domain));
    let own = relays.iter().enumerate().filter(|(index, relay)| {
        // The second family is an extra, unless it was set.
        *index == 0 || external.chosen(seen, relay.bound).is_some()
    });
    let reach: Vec<String> = own.filter_map(|(_, relay)| reach_problem(relay.advertised, site)).collect();
    let reachable = reach.is_empty();
    problems.extend(reach);
    problems.extend(site.filter(|_| reachable).and_then(|domain| site_problem(domain, &relays, seen)));
    problems
}

fn item_problem(item: &ExternalAddress, relays: &[RelayedIp], seen: &Seen) -> Option<String> {
    let bound = listed(relays.iter().map(|relay| relay.bound));
    let advertised = listed(relays.iter().map(|relay| relay.advertised));
    if let Some(private) = item.private.filter(|private| relays.iter().all(|relay| relay.bound != *private)) {
        return Some(format!(
            "CASTWAY_EXTERNAL_IP={item}: relayed sockets are bound to {bound}, not to {private}; change it, or set \
             CASTWAY_RELAY_IP={private} if that is an address of this machine"
        ));
    }
    let family = |ip: IpAddr| if ip.is_ipv4() { "IPv4" } else { "IPv6" };
    let other_family = |ip: IpAddr| relays.iter().all(|relay| relay.bound.is_ipv4() != ip.is_ipv4());
    match &item.public {
        Public::Ip(ip) => other_family(*ip).then(|| {
            format!(
                "CASTWAY_EXTERNAL_IP={item} is {}, but relayed sockets are bound to {bound} alone: remove it, or add an {} address \
                 of this machine to CASTWAY_RELAY_IP",
                family(*ip),
                family(*ip)
            )
        }),
        Public::Name(name) => match (seen.names.get(name), seen.unresolved.get(name)) {
            (_, Some(error)) => Some(format!(
                "CASTWAY_EXTERNAL_IP={item} can't be resolved now ({error}), and the relay is advertised as {advertised}: check the \
                 name and this machine's DNS"
            )),
            (None, None) => Some(format!(
                "CASTWAY_EXTERNAL_IP={item} is not resolved yet, and the relay is advertised as {advertised}: check the name and \
                 this machine's DNS"
            )),
            (Some(ips), None) => match ips.iter().find(|ip| !names_somebody(**ip)) {
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
        Public::Auto => (seen.unanswered || !seen.knows(item)).then(|| {
            format!(
                "No server of CASTWAY_STUN_SERVERS answers, and the relay is advertised as {advertised}: let UDP out to them, name \
                 others, or set CASTWAY_EXTERNAL_IP to the public address"
            )
        }),
    }
}

fn reach_problem(advertised: IpAddr, site: Option<&str>) -> Option<String> {
    if advertised.is_loopback() {
        return Some(format!(
            "The relay is advertised as {advertised}, which on each machine is that machine itself: set CASTWAY_EXTERNAL_IP to \
             the address under which others reach this one"
        ));
    }
    if !is_private(advertised) {
        return None;
    }
    Some(match site {
        Some(site) => format!(
            "The relay's address {advertised} is reachable in its own network only, while the pages are at {site}: set \
             CASTWAY_EXTERNAL_IP to the public address"
        ),
        None => format!(
            "The relay's address {advertised} is reachable in its own network only. For casts across the internet set \
             CASTWAY_EXTERNAL_IP to the public address"
        ),
    })
}

fn site_problem(domain: &str, relays: &[RelayedIp], seen: &Seen) -> Option<String> {
    if let Some(error) = seen.unresolved.get(domain) {
        return Some(format!(
            "{domain} of CASTWAY_PUBLIC_URL can't be resolved here ({error}): check that others can, and create its DNS record if not"
        ));
    }
    let resolved = seen.names.get(domain)?;
    let advertised = || relays.iter().map(|relay| relay.advertised);
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

/// Whether the world knows such a name.
fn is_public_name(domain: &str) -> bool {
    domain.contains('.') && !LOCAL.iter().any(|end| domain.ends_with(end))
}

fn listed(ips: impl Iterator<Item = IpAddr>) -> String {
    ips.map(|ip| ip.to_string()).collect::<Vec<_>>().join(" and ")
}
