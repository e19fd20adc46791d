//! The packets that wait for a shard because their receiver uses a stream of this shard, and their sender, another relayed address of
//! this server, belongs to another shard.
//!
//! Owner: each shard has one queue, which the other shards push to. A push and a take each hold its lock for one copy or one swap.
//! Inputs: the payloads of [`Verdict::ToRelayedAddress`](crate::turn::Verdict::ToRelayedAddress). Output: [`PacketQueue::take`],
//! all that waits, in order. Invariants: no more than [`MAX_WAITING_BYTES`] wait, and no more than [`MAX_SENDER_BYTES`] of one
//! relayed address, so that no client fills the queue of others; a packet beyond these bounds is dropped, as on any network.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Bytes that may wait for one shard: what a shard sends in a few milliseconds.
const MAX_WAITING_BYTES: usize = 2 << 20;
/// Bytes of one relayed address that may wait: four trains of the largest size.
const MAX_SENDER_BYTES: usize = 256 << 10;
/// Bytes that a packet counts besides its payload.
const PACKET_OVERHEAD_BYTES: usize = size_of::<Packet>();
/// A buffer that has grown beyond this is given back when it is empty.
const MAX_KEPT_BYTES: usize = 256 << 10;

/// The addresses of a packet, and where its payload ends.
#[derive(Debug, Clone, Copy)]
struct Packet {
    from: SocketAddr,
    to: SocketAddr,
    end: usize,
}

/// Packets in the order in which they were pushed.
#[derive(Debug, Default)]
pub(in crate::relay) struct PacketBatch {
    packets: Vec<Packet>,
    payloads: Vec<u8>,
    /// The waiting bytes of each sender.
    senders: HashMap<SocketAddr, usize>,
}

impl PacketBatch {
    /// The packets with their senders and receivers, in order.
    pub(in crate::relay) fn iter(&self) -> impl Iterator<Item = (SocketAddr, SocketAddr, &[u8])> {
        let starts = std::iter::once(0).chain(self.packets.iter().map(|packet| packet.end));
        self.packets.iter().zip(starts).map(|(packet, start)| (packet.from, packet.to, &self.payloads[start..packet.end]))
    }

    /// Forgets the packets, and keeps memory for some more.
    pub(in crate::relay) fn clear(&mut self) {
        self.packets.clear();
        self.payloads.clear();
        self.senders.clear();
        self.payloads.shrink_to(MAX_KEPT_BYTES);
        self.packets.shrink_to(MAX_KEPT_BYTES / PACKET_OVERHEAD_BYTES);
        self.senders.shrink_to(MAX_KEPT_BYTES / PACKET_OVERHEAD_BYTES);
    }

    fn waiting_bytes(&self) -> usize {
        self.payloads.len() + self.packets.len() * PACKET_OVERHEAD_BYTES
    }

    /// Returns false where the packet does not fit.
    fn push(&mut self, from: SocketAddr, to: SocketAddr, payload: &[u8]) -> bool {
        let cost = payload.len() + PACKET_OVERHEAD_BYTES;
        let fits = self.waiting_bytes() + cost <= MAX_WAITING_BYTES;
        let of_sender = self.senders.entry(from).or_default();
        if !fits || *of_sender + cost > MAX_SENDER_BYTES {
            return false;
        }
        *of_sender += cost;
        self.payloads.extend_from_slice(payload);
        self.packets.push(Packet { from, to, end: self.payloads.len() });
        true
    }
}

/// The packet does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::relay) struct QueueFull;

/// See the module's documentation.
#[derive(Debug, Default)]
pub(in crate::relay) struct PacketQueue(Mutex<PacketBatch>);

impl PacketQueue {
    /// Adds a packet. Returns whether it is the first one, so that the caller has to wake the shard.
    ///
    /// # Errors
    /// The packet does not fit, and is dropped.
    pub(in crate::relay) fn push(&self, from: SocketAddr, to: SocketAddr, payload: &[u8]) -> Result<bool, QueueFull> {
        let mut waiting = self.lock();
        let is_first = waiting.packets.is_empty();
        if waiting.push(from, to, payload) { Ok(is_first) } else { Err(QueueFull) }
    }

    /// Exchanges the waiting packets for `empty`.
    pub(in crate::relay) fn take(&self, empty: &mut PacketBatch) {
        std::mem::swap(&mut *self.lock(), empty);
    }

    /// No code panics while it holds the lock, so that a poisoned lock still guards consistent data.
    fn lock(&self) -> MutexGuard<'_, PacketBatch> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The shards that a shard has to wake at the end of a batch, because packets wait for them: a bit for each.
#[derive(Debug, Default)]
pub(in crate::relay) struct PendingWakes(u64);

impl PendingWakes {
    /// Gives a packet to another shard.
    ///
    /// # Errors
    /// The packet does not fit, and is dropped.
    pub(in crate::relay) fn push(
        &mut self,
        queues: &[PacketQueue],
        shard: u8,
        from: SocketAddr,
        to: SocketAddr,
        payload: &[u8],
    ) -> Result<(), QueueFull> {
        let is_first = queues.get(usize::from(shard)).ok_or(QueueFull)?.push(from, to, payload)?;
        self.0 |= u64::from(is_first) << shard;
        Ok(())
    }

    /// Calls `wake` with the index of each shard to wake, and forgets them.
    pub(in crate::relay) fn take(&mut self, wake: impl Fn(usize)) {
        let mut shards = std::mem::take(&mut self.0);
        while shards != 0 {
            wake(shards.trailing_zeros() as usize);
            shards &= shards - 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], port))
    }

    #[test]
    fn r70_packets_keep_their_order_and_the_first_one_wakes() {
        let (queue, mut batch) = (PacketQueue::default(), PacketBatch::default());
        for round in 0..3 {
            let wakes: Vec<_> = (0..9u16).map(|n| queue.push(address(n % 2), address(9), &[n as u8, round])).collect();
            assert_eq!(wakes.iter().filter(|wakes| **wakes == Ok(true)).count(), 1);
            assert_eq!(wakes[0], Ok(true));
            queue.take(&mut batch);
            let taken: Vec<_> = batch.iter().map(|(from, to, payload)| (from.port(), to, payload.to_vec())).collect();
            let pushed: Vec<_> = (0..9u16).map(|n| (n % 2, address(9), vec![n as u8, round])).collect();
            assert_eq!(taken, pushed);
            batch.clear();
        }
    }

    #[test]
    fn r70_a_flood_of_one_sender_leaves_room_for_others() {
        let (queue, mut batch) = (PacketQueue::default(), PacketBatch::default());
        let payload = [0; 1200];
        let flood = (0..10_000).filter(|n| queue.push(address(1 + n % 2), address(9), &payload).is_ok()).count();
        let most = MAX_SENDER_BYTES / (1200 + PACKET_OVERHEAD_BYTES);
        assert_eq!(flood, 2 * most, "two senders, who take turns");
        assert_eq!(queue.push(address(3), address(9), &payload), Ok(false));
        for sender in 4..100 {
            let pushed = (0..1000).filter(|_| queue.push(address(sender), address(9), &payload).is_ok()).count();
            assert!(pushed <= most);
        }
        assert_eq!(queue.push(address(200), address(9), &payload), Err(QueueFull));
        queue.take(&mut batch);
        assert!(batch.waiting_bytes() <= MAX_WAITING_BYTES && batch.waiting_bytes() > MAX_WAITING_BYTES - 2000);
        batch.clear();
        assert!(batch.payloads.capacity() <= MAX_KEPT_BYTES);
        assert_eq!(queue.push(address(1), address(9), &payload), Ok(true), "nothing is charged for packets that were taken");
    }
}
