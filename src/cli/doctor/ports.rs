//! Whether the listeners of the server answer on this machine, and who has their ports where they don't.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::inputs::{Inputs, NeededPort};
use super::line::{Line, Topic};
use super::probe;
use crate::addresses::port_holder;
use crate::control::facts::{Service, Transport};

/// Tries each listener.
pub(super) async fn look(inputs: &Inputs) -> Vec<Line> {
    let ports = inputs.ports();
    let Some(facts) = &inputs.facts else {
        // Who has the ports is most likely that server.
        return if inputs.unanswered { Vec::new() } else { of_stopped(&ports) };
    };
    if inputs.is_elsewhere() {
        let text = "the server runs in another network than this program (a container): run castway doctor there";
        return vec![Line::unknown(Topic::Ports, text).with_command("docker exec -it CONTAINER castway doctor")];
    }
    let mut lines: Vec<_> = facts.missing_listeners.iter().map(|missing| Line::warning(Topic::Ports, missing.clone())).collect();
    let mut working = Vec::new();
    for port in ports {
        match answers(port).await {
            Ok(()) => working.push(port),
            Err(why) => {
                let text = format!(
                    "{} {} is a listener of the server, but from this machine itself {why}",
                    port.protocol.name(),
                    port.address
                );
                lines.push(Line::failed(Topic::Ports, text));
            }
        }
    }
    if !working.is_empty() {
        lines.insert(0, Line::ok(Topic::Ports, listed(&working)));
    }
    lines
}

/// The first address that answers decides.
async fn answers(port: NeededPort) -> Result<(), &'static str> {
    let mut why = "it can't be reached";
    for address in probe::reachable(port.address) {
        let tried = match (port.protocol, port.serves) {
            (Transport::Udp, _) => probe::answers_stun(address).await,
            (Transport::Tcp, Service::Http | Service::Https | Service::Turn | Service::Turns | Service::Collider) => {
                probe::connects(address).await
            }
        };
        match tried {
            Ok(()) => return Ok(()),
            Err(error) => why = probe::in_words(&error),
        }
    }
    Err(why)
}

fn of_stopped(ports: &[NeededPort]) -> Vec<Line> {
    let taken = |port: &NeededPort| port_holder::port_in_use(port.protocol.name(), port.address);
    let lines: Vec<_> = ports.iter().filter(|port| port.address.port() != 0).filter_map(taken).collect();
    if lines.is_empty() && !ports.is_empty() {
        return vec![Line::unknown(Topic::Ports, format!("{}: free, since no server runs", listed(ports)))];
    }
    lines.into_iter().map(|taken| Line::failed(Topic::Ports, format!("{taken}, so the server can't have it"))).collect()
}

/// `TCP 80, 443; UDP and TCP 3478`.
fn listed(ports: &[NeededPort]) -> String {
    let mut by_port: BTreeMap<u16, (bool, bool)> = BTreeMap::new();
    for NeededPort { protocol, address, .. } in ports {
        let kinds = by_port.entry(SocketAddr::port(address)).or_default();
        match protocol {
            Transport::Tcp => kinds.0 = true,
            Transport::Udp => kinds.1 = true,
        }
    }
    let of = |wanted: (bool, bool)| {
        let found: Vec<_> = by_port.iter().filter(|(_, kinds)| **kinds == wanted).map(|(port, _)| port.to_string()).collect();
        (!found.is_empty()).then(|| found.join(", "))
    };
    let parts = [("TCP", (true, false)), ("UDP", (false, true)), ("UDP and TCP", (true, true))];
    let parts = parts.into_iter().filter_map(|(name, kinds)| Some(format!("{name} {}", of(kinds)?)));
    parts.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_listed_by_their_protocols() {
        let port =
            |protocol, port| NeededPort { protocol, address: SocketAddr::new([0, 0, 0, 0].into(), port), serves: Service::Turn };
        let all = [
            port(Transport::Tcp, 443),
            port(Transport::Udp, 3478),
            port(Transport::Tcp, 3478),
            port(Transport::Tcp, 80),
            port(Transport::Udp, 3479),
        ];
        assert_eq!(listed(&all), "TCP 80, 443; UDP 3479; UDP and TCP 3478");
    }
}
