//! Whether other programs share the server's ports, and get some of its packets.

use super::inputs::Inputs;
use super::line::{Line, Topic};
use crate::addresses::port_holder::{self, Holder};

pub(super) fn look(inputs: &Inputs) -> Vec<Line> {
    let Some(facts) = inputs.facts.as_ref().filter(|_| !inputs.is_elsewhere()) else { return Vec::new() };
    let mut found: Vec<Line> = Vec::new();
    for port in inputs.ports() {
        let protocol = port.protocol.name();
        let holders = port_holder::holders(protocol, port.address);
        // Where the server's own process can't be seen, others can't be told from it.
        if !holders.iter().any(|holder| holder.process == facts.pid) {
            continue;
        }
        for Holder { address, process, name } in holders.into_iter().filter(|holder| holder.process != facts.pid) {
            let text =
                format!("{name} (process {process}) has {protocol} {address} too, and gets packets of this server: stop it");
            if found.iter().all(|line| line.text != text) {
                found.push(Line::failed(Topic::Programs, text));
            }
        }
    }
    found
}
