//! What a shard does with what it is told from outside.

use std::sync::Arc;
use std::time::Instant;

use crate::relay::setup::Surroundings;
use crate::relay::shard::event_loop::Shard;
use crate::relay::shard::mailbox::{Caused, Control};
use crate::relay::stats::Close;

/// Messages taken in a turn; the sockets' turn comes in between.
const CONTROLS: usize = 64;
/// Clients of other shards that are remembered; beyond it, their packets are answered as anybody's.
const MAX_MOVED: usize = 65_536;

impl Shard {
    pub(in crate::relay) fn controls(&mut self, now: Instant) {
        for _ in 0..CONTROLS {
            let Some(control) = self.core.controls.next() else { return };
            self.control(control, now);
            self.outputs(now);
        }
        self.core.controls.wake();
    }

    fn control(&mut self, control: Control, now: Instant) {
        match control {
            Control::CheckUsers => {
                let accounts = Arc::clone(&self.core.accounts);
                let gone = self.engine.allocations().filter(|allocation| !accounts.is_live(allocation.user));
                let gone: std::collections::BTreeSet<String> = gone.map(|allocation| allocation.user.to_owned()).collect();
                for user in gone {
                    self.engine.revoke(&user);
                }
            }
            Control::Addresses { advertised, surroundings: Surroundings { own, neighbours } } => {
                Arc::make_mut(&mut self.core.settings).set_addresses(advertised, &own);
                self.core.policy.neighbours = neighbours.to_vec();
                self.engine.set_addresses(advertised, &own, &neighbours, now);
            }
            Control::Stop(at) => {
                self.core.stop_at = Some(self.core.stop_at.map_or(at, |before| before.min(at)));
                self.engine.refuse_allocations();
            }
            Control::Divert(diversion) => self.core.diversion = Some(diversion),
            Control::Restarted { shard } => self.moved.retain(|_, other| *other != shard),
            Control::Displace(stream) => self.close_stream(stream, Close::Displaced, now),
            Control::Caused(caused) => self.caused(caused, now),
        }
    }

    fn caused(&mut self, caused: Caused, now: Instant) {
        match caused {
            Caused::Datagram { from, bytes } => self.handed_over(from, &bytes, now),
            Caused::Stream(stream) => self.stream_handed_over(stream, now),
            Caused::Moved { client, shard } => {
                if self.moved.len() < MAX_MOVED || self.moved.contains_key(&client) {
                    self.moved.insert(client, shard);
                }
            }
            Caused::Forget { client } => {
                self.moved.remove(&client);
            }
            Caused::Adopt(connection, descriptor) => self.adopt(connection, descriptor, now),
        }
    }
}
