//! Handles the messages in a shard's mailbox.

use std::sync::Arc;
use std::time::Instant;

use crate::relay::shard::mailbox::{Handover, ShardMessage};
use crate::relay::shard::state::Shard;
use crate::relay::stats::labels::CloseReason;

/// Messages handled in a turn; sockets are served between two turns.
const MAX_MESSAGES_A_TURN: usize = 64;
/// Clients of other shards that are remembered; the packets of further ones are answered here, as those of unknown clients.
const MAX_MOVED_CLIENTS: usize = 65_536;

impl Shard {
    pub(super) fn handle_messages(&mut self, now: Instant) {
        for _ in 0..MAX_MESSAGES_A_TURN {
            let Some(message) = self.context.messages.next() else { return };
            self.handle_message(message, now);
            self.handle_outputs(now);
        }
        self.context.messages.wake();
    }

    fn handle_message(&mut self, message: ShardMessage, now: Instant) {
        match message {
            ShardMessage::CheckUsers => {
                self.walks.check_users();
                if !self.context.banned.is_empty() {
                    self.close_banned(now);
                }
            }
            ShardMessage::SettleAccounts => self.walks.settle_accounts(),
            ShardMessage::Addresses(addresses) => {
                Arc::make_mut(&mut self.context.settings).set_addresses(&addresses);
                self.context.policy.neighbours.clone_from(&addresses.neighbours);
                self.engine.replace_addresses(&addresses);
                self.walks.check_peers();
            }
            ShardMessage::Stop(at) => {
                self.context.stop_at = Some(self.context.stop_at.map_or(at, |before| before.min(at)));
                self.engine.refuse_allocations();
            }
            ShardMessage::ForwardToIngress(forwarding) => self.context.forwarding = Some(forwarding),
            ShardMessage::Restarted { shard } => self.moved_clients.retain(|_, other| *other != shard),
            ShardMessage::DisplaceAllocation(allocation) => self.engine.displace(allocation),
            ShardMessage::Displace(stream) => self.close_stream(stream, CloseReason::Displaced, now),
            ShardMessage::ListAllocations(request) => self.begin_listing(request),
            ShardMessage::EndAllocations(request) => self.end_allocations(request),
            ShardMessage::Handover(handover) => self.handle_handover(handover, now),
        }
    }

    fn handle_handover(&mut self, handover: Handover, now: Instant) {
        match handover {
            Handover::Datagram { from, bytes } => self.take_over_datagram(from, &bytes, now),
            Handover::ClientStream(stream) => self.take_over_stream(stream, now),
            Handover::ClientMoved { client, shard } => {
                if self.moved_clients.len() < MAX_MOVED_CLIENTS || self.moved_clients.contains_key(&client) {
                    self.moved_clients.insert(client, shard);
                }
            }
            Handover::ClientForgotten { client } => {
                self.moved_clients.remove(&client);
            }
            Handover::Accepted(connection, descriptor) => self.add_stream(connection, descriptor, false, now),
        }
    }
}
