//! Whether the relay is advertised under an address that leads here.

use std::net::IpAddr;

use super::inputs::Inputs;
use super::line::{Line, State, Topic};
use crate::addresses::interfaces;
use crate::control::facts::RelayFacts;

/// `name`: the addresses that the public name leads to.
pub(super) fn look(inputs: &Inputs, name: &[IpAddr]) -> Vec<Line> {
    let Some(facts) = &inputs.facts else { return Vec::new() };
    let relay = &facts.relay;
    if relay.advertised.is_empty() {
        return vec![Line::failed(Topic::Address, "this machine has no address that others reach, so nobody can use the relay")];
    }
    let state = if may_stay_private(relay, name) { State::Unknown } else { State::Warning };
    let mut lines: Vec<_> = relay.problems.iter().map(|problem| Line::new(Topic::Address, state, problem.clone())).collect();
    for (advertised, bound) in relay.advertised.iter().zip(&relay.bound) {
        // A name may lead to an address of the other family only.
        let public = name.iter().find(|ip| ip.is_ipv4() == advertised.is_ipv4() && !interfaces::is_private(**ip));
        // A public address that is neither this machine's nor that of the name may be another one of its router's.
        let contradicts = interfaces::is_private(*advertised) || name.contains(bound);
        match public.filter(|_| contradicts && !name.contains(advertised)) {
            Some(public) => {
                let is_translated = advertised != bound && public != bound;
                let text = format!(
                    "the name leads to {public}, but the relay advertises {advertised}. Set CASTWAY_EXTERNAL_IP={public}{}",
                    if is_translated { format!("/{bound}") } else { String::new() }
                );
                // Clients reach each other inside the relay, whatever it advertises.
                let state = if relay.clients_need_range { State::Failed } else { State::Warning };
                lines.push(Line::new(Topic::Address, state, text).with_verdict("wrong_external_address"));
            }
            None if !relay.problems.is_empty() => {}
            // Machines behind a router have a private address.
            None if advertised != bound && name.is_empty() && !bound.is_unspecified() && !interfaces::is_private(*bound) => {
                lines.push(Line::unknown(
                    Topic::Address,
                    format!(
                        "advertised {advertised}, but this machine has the public address {bound}. The check from outside tells whether {advertised} leads here; if not, set CASTWAY_EXTERNAL_IP={bound}"
                    ),
                ));
            }
            None => lines.push(Line::ok(Topic::Address, advertised_in_words(*advertised, *bound))),
        }
    }
    lines
}

/// The relay's address is that of a private network, no setting says otherwise, and nothing here says that others need it: casts and calls
/// don't, nor do users of that network.
fn may_stay_private(relay: &RelayFacts, name: &[IpAddr]) -> bool {
    let in_own_network = |ip: &IpAddr| interfaces::is_private(*ip) && !ip.is_loopback();
    !relay.clients_need_range
        && relay.hosts.is_empty()
        && relay.advertised.iter().all(in_own_network)
        && name.iter().all(|ip| interfaces::is_private(*ip))
}

fn advertised_in_words(advertised: IpAddr, bound: IpAddr) -> String {
    if advertised == bound { format!("advertised {advertised}") } else { format!("advertised {advertised}, bound {bound} (NAT)") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::facts::ServerFacts;

    fn look_at(advertised: &str, bound: &str, name: &[&str]) -> Vec<(State, String)> {
        let relay = RelayFacts {
            advertised: vec![advertised.parse().unwrap()],
            bound: vec![bound.parse().unwrap()],
            ..RelayFacts::default()
        };
        let inputs = Inputs { facts: Some(ServerFacts { relay, ..ServerFacts::default() }), ..Inputs::default() };
        let name: Vec<IpAddr> = name.iter().map(|ip| ip.parse().unwrap()).collect();
        look(&inputs, &name).into_iter().map(|line| (line.state, line.text)).collect()
    }

    #[test]
    fn an_address_that_the_name_contradicts_is_named_with_what_to_set() {
        let found = look_at("10.0.0.5", "10.0.0.5", &["8.8.4.4"]);
        assert_eq!(found[0].0, State::Warning);
        assert!(found[0].1.contains("Set CASTWAY_EXTERNAL_IP=8.8.4.4"), "{found:?}");
        assert_eq!(look_at("1.1.1.1", "8.8.4.4", &[])[0].0, State::Unknown);
        let found = look_at("1.1.1.1", "8.8.4.4", &["8.8.4.4"]);
        assert!(found[0].0 == State::Warning && found[0].1.ends_with("Set CASTWAY_EXTERNAL_IP=8.8.4.4"), "{found:?}");
    }

    #[test]
    fn a_nat_a_lan_and_a_name_of_another_family_are_in_order() {
        let nat = look_at("8.8.4.4", "10.0.0.5", &["8.8.4.4"]);
        assert_eq!(nat, [(State::Ok, "advertised 8.8.4.4, bound 10.0.0.5 (NAT)".to_owned())]);
        assert_eq!(look_at("192.168.1.5", "192.168.1.5", &[]).len(), 1);
        assert_eq!(look_at("192.168.1.5", "192.168.1.5", &["192.168.1.5"])[0].0, State::Ok);
        assert_eq!(look_at("10.0.0.5", "10.0.0.5", &["2606:4700::1"])[0].0, State::Ok);
        assert_eq!(look_at("8.8.8.8", "10.0.0.5", &["8.8.4.4"])[0].0, State::Ok, "a router may have several addresses");
    }

    #[test]
    fn a_private_address_is_a_warning_only_where_others_need_a_public_one() {
        let state = |relay: RelayFacts| {
            let (advertised, bound) = (vec!["10.0.0.5".parse().unwrap()], vec!["10.0.0.5".parse().unwrap()]);
            let relay = RelayFacts { advertised, bound, problems: vec!["a sentence".to_owned()], ..relay };
            let inputs = Inputs { facts: Some(ServerFacts { relay, ..ServerFacts::default() }), ..Inputs::default() };
            look(&inputs, &[]).into_iter().map(|line| line.state).collect::<Vec<_>>()
        };
        assert_eq!(state(RelayFacts::default()), [State::Unknown]);
        assert_eq!(state(RelayFacts { clients_need_range: true, ..RelayFacts::default() }), [State::Warning]);
        assert_eq!(state(RelayFacts { hosts: vec!["10.0.0.5".to_owned()], ..RelayFacts::default() }), [State::Warning]);
    }
}
