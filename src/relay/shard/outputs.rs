//! Carries out the engine's outputs.

use std::time::Instant;

use crate::relay::shard::mailbox::{Handover, ShardMessage};
use crate::relay::shard::state::Shard;
use crate::relay::stats::labels::DropCause;
use crate::turn::Output;

impl Shard {
    /// Sends the packets that a batch has led to, and carries out the engine's outputs.
    pub(super) fn finish_batch(&mut self, now: Instant) {
        self.flush(now);
        self.handle_outputs(now);
    }

    /// Drains the engine's outputs, and sends the packets that they lead to.
    pub(super) fn handle_outputs(&mut self, now: Instant) {
        loop {
            match self.engine.poll_output() {
                Some(output) => self.handle_output(output, now),
                None if self.flush(now) => {}
                None => break,
            }
        }
    }

    fn handle_output(&mut self, output: Output, now: Instant) {
        match output {
            Output::Transmit { to, bytes, answer } => {
                self.context.stats.count_answer(answer);
                self.note_late_answer(&to, answer, now);
                self.transmit(to, &bytes);
            }
            Output::Refused(refused) => {
                self.context.stats.count_refused(refused.reason);
                self.context.refusals.note_refused(&refused, now);
                self.note_refused(&refused, now);
            }
            Output::Displaced { client, user } => {
                self.context.stats.displaced_allocations.add(1);
                self.context.refusals.note_displaced(&client, &user, now);
            }
            Output::OpenRelayedAddress { relayed, address, transport } => {
                let result = self.relayed_sockets.open(relayed, address, transport, &self.context.poller);
                self.engine.handle_relayed_address_opened(relayed, result, now);
                self.report_descriptors();
            }
            Output::CloseRelayedAddress { relayed } => {
                self.relayed_sockets.close(relayed);
                self.report_descriptors();
            }
            Output::DisplaceAllocation { shard, allocation } => {
                if let Some(mailbox) = self.context.mailboxes.get(usize::from(shard)) {
                    mailbox.send(ShardMessage::DisplaceAllocation(allocation));
                }
            }
            Output::ClientMoved { from, to } => {
                self.offer_to_others(|| Handover::ClientForgotten { client: from });
                // A stream has come to this shard as a whole.
                if !to.transport.is_stream() {
                    self.offer_to_others(|| Handover::ClientMoved { client: to, shard: self.context.index });
                }
            }
            Output::MovedClientEnded { client } => self.offer_to_others(|| Handover::ClientForgotten { client }),
            Output::ConnectPeer { relayed, connection, peer } => self.connect_peer(relayed, connection, peer, now),
            Output::Splice { connection, client } => self.splice(connection, client, now),
            Output::ClosePeerConnection { connection } => {
                self.peer_connections.remove(connection);
            }
        }
    }

    /// Tells the engines how many descriptors of relayed sockets are in use.
    fn report_descriptors(&self) {
        let pool = &self.context.admission.relayed;
        self.context.shared.set_relayed_descriptors(pool.taken(), pool.most());
    }

    /// Tells the other shards, where the kernel may bring a client's packets. A shard whose mailbox is full answers those packets
    /// itself, and the client allocates again.
    fn offer_to_others(&self, handover: impl Fn() -> Handover) {
        let refused = self.context.other_mailboxes().filter(|mailbox| mailbox.offer(handover()).is_err()).count();
        self.context.stats.count_lost(DropCause::UnsentBufferFull, refused as u64);
    }
}
