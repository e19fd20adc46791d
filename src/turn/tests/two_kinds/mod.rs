//! Requirements 69 and 70: between relayed addresses of one server, clients see no difference between the two kinds of relayed
//! addresses, those with a socket (scope anyone) and those without (scope clients), nor between one engine and two.
//!
//! Input: random bytes, from `fuzz/` or from proptest. [`run`] reads a history of clients from them and applies it to three
//! servers: scope anyone, scope clients, and scope clients with two engines. After each operation the answers, the payloads with
//! their framing and sender, the reasons of losses, and what the servers hold are the same; at the end nothing is left.

mod history;
mod server;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};
use std::time::Instant;

use history::Op;
use server::{Answered, Effects, Holdings, Sender, Server};

use crate::turn::{CredentialSource, Scope};

/// What a history has reached.
#[derive(Debug, Default)]
pub struct Reached {
    pub operations: usize,
    /// Error codes; 0 is success.
    pub codes: BTreeMap<u16, usize>,
    /// The names of drop reasons.
    pub drops: BTreeSet<String>,
    pub channel_messages: usize,
    pub data_indications: usize,
    /// Payloads that one engine has passed to the other.
    pub passed_on: usize,
}

impl Reached {
    fn count(&mut self, effects: &Effects) {
        self.operations += 1;
        for answer in &effects.answers {
            match answer {
                Answered::Response { code, .. } => *self.codes.entry(code.unwrap_or(0)).or_default() += 1,
                Answered::Dropped(reason) => drop(self.drops.insert(format!("{reason:?}"))),
            }
        }
        self.drops.extend(effects.drops.iter().map(|(_, reason)| format!("{reason:?}")));
        for delivery in &effects.deliveries {
            match delivery.sender {
                Sender::Channel(_) => self.channel_messages += 1,
                Sender::Address(_) => self.data_indications += 1,
            }
        }
    }
}

/// Applies the history in `bytes` to the three servers.
///
/// # Panics
/// Where the servers differ, or something is left at the end.
pub fn run(bytes: &[u8]) -> Reached {
    static USERS: LazyLock<Arc<dyn CredentialSource>> = LazyLock::new(|| Arc::new(super::users()));
    let epoch = Instant::now();
    let mut servers = [(Scope::Anyone, 1), (Scope::Clients, 1), (Scope::Clients, 2)]
        .map(|(scope, engines)| Server::new(scope, engines, &USERS, epoch));
    let mut reached = Reached::default();
    for op in history::read(bytes) {
        let [with_sockets, without_sockets, with_two_engines] = servers.each_mut().map(|server| server.apply(&op));
        // From there on, one port means another client in each server.
        if servers.iter().any(|server| server.has_reused_a_port) {
            break;
        }
        assert_same("scope clients", &op, &with_sockets, &without_sockets);
        assert_same("two engines", &op, &with_sockets, &with_two_engines);
        reached.count(&with_sockets.0);
    }
    reached.passed_on = servers[2].passed_on;
    servers.iter_mut().for_each(Server::finish);
    reached
}

fn assert_same(server: &str, op: &Op, expected: &(Effects, Holdings), found: &(Effects, Holdings)) {
    // The payloads are long, so that only their number is shown.
    let show = |(effects, holdings): &(Effects, Holdings)| {
        format!("{:?}, {:?}, {} payloads; {holdings:?}", effects.answers, effects.drops, effects.deliveries.len())
    };
    assert!(expected == found, "{server} after {op:?}: {}\nbut with sockets: {}", show(found), show(expected));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::*;
    use crate::turn::tests::properties::config;

    proptest! {
        #![proptest_config(config())]

        #[test]
        fn r70_clients_see_no_difference_between_relayed_addresses_with_and_without_a_socket(
            bytes in prop::collection::vec(any::<u8>(), 0..256)
        ) {
            run(&bytes);
        }
    }

    /// Histories that never succeed would show nothing.
    #[test]
    fn histories_reach_every_outcome_that_two_relayed_addresses_can_have() {
        let mut rng = StdRng::seed_from_u64(70);
        let mut all = Reached::default();
        for _ in 0..100 {
            let mut bytes = [0; 256];
            rng.fill_bytes(&mut bytes);
            let reached = run(&bytes);
            all.operations += reached.operations;
            reached.codes.iter().for_each(|(code, count)| *all.codes.entry(*code).or_default() += count);
            all.drops.extend(reached.drops);
            all.channel_messages += reached.channel_messages;
            all.data_indications += reached.data_indications;
            all.passed_on += reached.passed_on;
        }
        for code in [0, 400, 403, 437, 440, 441, 442, 443, 486, 508] {
            assert!(all.codes.contains_key(&code), "{code}: {all:?}");
        }
        for reason in ["NoAllocation", "NoPermission", "NoChannel", "DeniedPeer", "NotContacted", "Bandwidth", "TooLong"] {
            assert!(all.drops.contains(reason), "{reason}: {all:?}");
        }
        assert!(all.channel_messages.min(all.data_indications).min(all.passed_on) > 100, "{all:?}");
    }
}
