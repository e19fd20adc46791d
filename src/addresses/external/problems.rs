//! Finds advertised addresses that can't be right, and says for each what to set. PURE.

use std::net::{IpAddr, SocketAddr};

use super::state::{ExternalState, LookupResults, is_unicast};
use crate::addresses::interfaces::is_private;
use crate::config::{ExternalAddress, Public};
use crate::sentence::Sentence;
use crate::turn::{RelayedIp, STANDARD_PORT};

/// Ends of names that only their own network knows (RFC 6762, RFC 8375 and common use).
const LOCAL_NAME_ENDS: [&str; 6] = [".local", ".lan", ".internal", ".home.arpa", ".localhost", ".test"];

pub(super) fn problems(external: &ExternalState, found: &LookupResults) -> Vec<Sentence> {
    if external.is_without_address() {
        return vec![without_address()];
    }
    let relayed: Vec<RelayedIp> = external.relayed_ips(found).into_iter().flatten().collect();
    let items = external.config.addresses.iter().filter_map(|item| item_problem(item, &relayed, found));
    let mut problems: Vec<Sentence> = items.collect();
    if !external.config.addresses.iter().all(|item| found.knows(item)) {
        // The problems so far name the address that is advertised in the meantime.
        return problems;
    }
    let pages_domain = external.pages_domain().filter(|domain| is_public_name(domain));
    let own = relayed.iter().enumerate().filter(|(index, ip)| {
        // A second family that nobody has set is optional.
        *index == 0 || external.advertised_ip(found, ip.bound).is_some()
    });
    let listening = external.config.listening;
    let reach: Vec<Sentence> = own.filter_map(|(_, ip)| reach_problem(*ip, listening, pages_domain)).collect();
    let reachable = reach.is_empty();
    problems.extend(reach);
    problems.extend(pages_domain.filter(|_| reachable).and_then(|domain| pages_domain_problem(domain, &relayed, found)));
    problems
}

fn without_address() -> Sentence {
    Sentence::new(
        "This machine has no address that other machines can reach, so nobody else can use it now. Castway needs no restart: it uses an \
         address as soon as there is one",
        "此机器没有其他机器可以到达的地址，因此目前其他人无法使用。Castway 无需重启：一有地址就会使用",
    )
}

fn item_problem(item: &ExternalAddress, relayed: &[RelayedIp], found: &LookupResults) -> Option<Sentence> {
    let (bound, bound_zh) = listed(relayed.iter().map(|ip| ip.bound));
    if let Some(private) = item.private.filter(|private| relayed.iter().all(|ip| ip.bound != *private)) {
        return Some(Sentence::new(
            format!(
                "CASTWAY_EXTERNAL_IP={item}: relayed sockets are bound to {bound}, not to {private}; change it, or set \
                 CASTWAY_RELAY_IP={private} if that is an address of this machine"
            ),
            format!(
                "CASTWAY_EXTERNAL_IP={item}：中继套接字绑定在 {bound_zh}，而不是 {private}；请更改此设置，如果 {private} 是此机器的地址，请设置 \
                 CASTWAY_RELAY_IP={private}"
            ),
        ));
    }
    let family = |ip: IpAddr| if ip.is_ipv4() { "IPv4" } else { "IPv6" };
    match &item.public {
        Public::Ip(ip) => is_other_family(*ip, relayed).then(|| {
            let family = family(*ip);
            Sentence::new(
                format!(
                    "CASTWAY_EXTERNAL_IP={item} is {family}, but relayed sockets are bound to {bound} alone: remove it, or add an \
                     {family} address of this machine to CASTWAY_RELAY_IP"
                ),
                format!(
                    "CASTWAY_EXTERNAL_IP={item} 是 {family} 地址，而中继套接字只绑定在 {bound_zh}：请将其删除，或将此机器的 {family} 地址加入 \
                     CASTWAY_RELAY_IP"
                ),
            )
        }),
        Public::Name(name) => name_problem(item, name, relayed, found),
        Public::Auto => (found.unanswered || !found.knows(item)).then(|| {
            let (advertised, advertised_zh) = listed(relayed.iter().map(|ip| ip.advertised));
            Sentence::new(
                format!(
                    "No server of CASTWAY_STUN_SERVERS answers, and the relay is advertised as {advertised}: allow outgoing UDP to \
                     them, set other servers, or set CASTWAY_EXTERNAL_IP to the public address"
                ),
                format!(
                    "CASTWAY_STUN_SERVERS 中的服务器都没有应答，中继对外公布的地址是 {advertised_zh}：请允许发往它们的 UDP，改用其他服务器，或将 \
                     CASTWAY_EXTERNAL_IP 设为公网地址"
                ),
            )
        }),
    }
}

/// What is wrong with a `name` whose addresses are advertised.
fn name_problem(item: &ExternalAddress, name: &str, relayed: &[RelayedIp], found: &LookupResults) -> Option<Sentence> {
    let (advertised, advertised_zh) = listed(relayed.iter().map(|ip| ip.advertised));
    match (found.names.get(name), found.unresolved.get(name)) {
        (_, Some(error)) => Some(Sentence::new(
            format!(
                "CASTWAY_EXTERNAL_IP={item} can't be resolved now ({error}), and the relay is advertised as {advertised}: check the name \
                 and this machine's DNS"
            ),
            format!(
                "CASTWAY_EXTERNAL_IP={item} 目前无法解析（{error}），中继对外公布的地址是 {advertised_zh}：请检查该域名和此机器的 DNS"
            ),
        )),
        (None, None) => Some(Sentence::new(
            format!(
                "CASTWAY_EXTERNAL_IP={item} is not resolved yet, and the relay is advertised as {advertised}: check the name and this \
                 machine's DNS"
            ),
            format!("CASTWAY_EXTERNAL_IP={item} 尚未解析，中继对外公布的地址是 {advertised_zh}：请检查该域名和此机器的 DNS"),
        )),
        (Some(ips), None) => match ips.iter().find(|ip| !is_unicast(**ip)) {
            Some(ip) => Some(Sentence::new(
                format!("CASTWAY_EXTERNAL_IP={item} resolves to {ip}, which reaches nobody: correct its DNS record"),
                format!("CASTWAY_EXTERNAL_IP={item} 解析为 {ip}，该地址无法到达任何机器：请更正其 DNS 记录"),
            )),
            None => ips.iter().all(|ip| is_other_family(*ip, relayed)).then(|| {
                let (resolved, resolved_zh) = listed(ips.iter().copied());
                let (bound, bound_zh) = listed(relayed.iter().map(|ip| ip.bound));
                Sentence::new(
                    format!(
                        "CASTWAY_EXTERNAL_IP={item} resolves to {resolved}, but relayed sockets are bound to {bound} alone: add an \
                         address of the same kind to CASTWAY_RELAY_IP, or to the name"
                    ),
                    format!(
                        "CASTWAY_EXTERNAL_IP={item} 解析为 {resolved_zh}，而中继套接字只绑定在 {bound_zh}：请将同类地址加入 CASTWAY_RELAY_IP \
                         或该域名的记录"
                    ),
                )
            }),
        },
    }
}

/// No relayed socket is bound to an address of this family.
fn is_other_family(ip: IpAddr, relayed: &[RelayedIp]) -> bool {
    relayed.iter().all(|own| own.bound.is_ipv4() != ip.is_ipv4())
}

/// No advertised address leads others to sockets that are bound to loopback.
fn bound_to_loopback(bound: IpAddr, listening: Option<SocketAddr>) -> Sentence {
    let Some(listening) = listening.filter(|listening| listening.ip().is_loopback()) else {
        return Sentence::new(
            format!(
                "Relayed sockets are bound to {bound}, which other machines can't reach: remove {bound} from CASTWAY_RELAY_IP, or set an \
                 address of a network there"
            ),
            format!(
                "中继套接字绑定在 {bound}，其他机器无法到达：请从 CASTWAY_RELAY_IP 中删除 {bound}，或改为此机器在网络中的地址"
            ),
        );
    };
    let (ip, port) = (listening.ip(), if listening.port() == 0 { STANDARD_PORT } else { listening.port() });
    Sentence::new(
        format!("The relay listens on {ip} only: set CASTWAY_TURN_ADDR=[::]:{port} if other devices should use it"),
        format!("中继只监听 {ip}：要让其他设备使用，请设置 CASTWAY_TURN_ADDR=[::]:{port}"),
    )
}

fn reach_problem(ip: RelayedIp, listening: Option<SocketAddr>, pages_domain: Option<&str>) -> Option<Sentence> {
    let advertised = ip.advertised;
    if advertised.is_loopback() && ip.bound.is_loopback() {
        return Some(bound_to_loopback(ip.bound, listening));
    }
    if advertised.is_loopback() {
        return Some(Sentence::new(
            format!(
                "The relay is advertised as {advertised}, which on each machine is that machine itself: set CASTWAY_EXTERNAL_IP to the \
                 address under which others reach this one"
            ),
            format!(
                "中继对外公布的地址是 {advertised}，而它在每台机器上都指那台机器自己：请将 CASTWAY_EXTERNAL_IP 设为其他机器到达此机器所用的地址"
            ),
        ));
    }
    if !is_private(advertised) {
        return None;
    }
    Some(match pages_domain {
        Some(domain) => Sentence::new(
            format!(
                "The relay's address {advertised} is reachable in its own network only, while the pages are at {domain}. Casts and calls \
                 don't need it; for users and API keys whose peers may be anyone set CASTWAY_EXTERNAL_IP to the public address"
            ),
            format!(
                "中继的地址 {advertised} 只能在其所在网络内到达，而页面位于 {domain}。投屏和通话不需要它；如果用户和 API 密钥的对端可以是任何人，请将 \
                 CASTWAY_EXTERNAL_IP 设为公网地址"
            ),
        ),
        None => Sentence::new(
            format!(
                "The relay's address {advertised} is reachable in its own network only. Casts and calls don't need it; for users and API \
                 keys whose peers may be anyone set CASTWAY_EXTERNAL_IP to the public address"
            ),
            format!(
                "中继的地址 {advertised} 只能在其所在网络内到达。投屏和通话不需要它；如果用户和 API 密钥的对端可以是任何人，请将 CASTWAY_EXTERNAL_IP \
                 设为公网地址"
            ),
        ),
    })
}

fn pages_domain_problem(domain: &str, relayed: &[RelayedIp], found: &LookupResults) -> Option<Sentence> {
    if let Some(error) = found.unresolved.get(domain) {
        return Some(Sentence::new(
            format!(
                "{domain} of CASTWAY_PUBLIC_URL can't be resolved here ({error}): check that others can, and create its DNS record if not"
            ),
            format!(
                "CASTWAY_PUBLIC_URL 中的 {domain} 在此机器上无法解析（{error}）：请检查其他机器能否解析，如果不能，请为其创建 DNS 记录"
            ),
        ));
    }
    let resolved = found.names.get(domain)?;
    let advertised = || relayed.iter().map(|ip| ip.advertised);
    let elsewhere = !resolved.iter().any(|ip| advertised().any(|own| own == *ip));
    elsewhere.then(|| {
        let (resolved, resolved_zh) = listed(resolved.iter().copied());
        let (own, own_zh) = listed(advertised());
        Sentence::new(
            format!(
                "{domain} of CASTWAY_PUBLIC_URL is {resolved}, but the relay is advertised as {own}: set CASTWAY_EXTERNAL_IP to the \
                 former if that is this machine, or correct the DNS record; if it is a proxy in front, all is well"
            ),
            format!(
                "CASTWAY_PUBLIC_URL 中的 {domain} 是 {resolved_zh}，而中继对外公布的地址是 {own_zh}：如果前者就是此机器，请将 \
                 CASTWAY_EXTERNAL_IP 设为前者，否则请更正 DNS 记录；如果它是前面的代理，则一切正常"
            ),
        )
    })
}

/// Whether a name may be known outside its own network.
fn is_public_name(domain: &str) -> bool {
    domain.contains('.') && !LOCAL_NAME_ENDS.iter().any(|end| domain.ends_with(end))
}

/// The addresses in both languages.
fn listed(ips: impl Iterator<Item = IpAddr>) -> (String, String) {
    let ips: Vec<_> = ips.map(|ip| ip.to_string()).collect();
    (ips.join(" and "), ips.join(" 和 "))
}
