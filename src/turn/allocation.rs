//! An allocation with its permissions and channels (RFC 8656 §6, §9, §12), and the table of an engine's allocations.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use super::codec::attribute::AddressFamily;
use super::codec::error_code::ErrorCode;
use super::codec::framing::ChannelNumber;
use super::codec::integrity::{IntegrityAlgorithm, LongTermKey};
use super::codec::message::TransactionId;
use super::five_tuple::{AllocationId, FiveTuple, PeerConnectionId, RelayedAddressId, TupleKey};
use super::ports::PortRequirement;
use super::shared::{ReservationToken, UserUsage};

/// What a relayed transport address speaks with its peers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PeerTransport {
    Udp,
    /// RFC 6062.
    Tcp,
}

/// How answers to a client are protected.
#[derive(Debug, Clone, Copy)]
pub(super) struct Signer {
    pub(super) key: LongTermKey,
    pub(super) integrity: IntegrityAlgorithm,
    /// The client sent FINGERPRINT, and so do we.
    pub(super) fingerprint: bool,
}

/// One relayed transport address.
#[derive(Debug, Clone, Copy)]
pub(super) struct RelayedAddress {
    /// What the client was told, for the allocation's whole life.
    pub(super) advertised: IpAddr,
    pub(super) port: u16,
    /// The shell has opened its socket.
    pub(super) live: bool,
    pub(super) tries: u8,
    pub(super) wish: PortRequirement,
    /// The port came with a RESERVATION-TOKEN: no other will do.
    pub(super) reserved: bool,
}

#[derive(Debug)]
pub(super) struct Allocation {
    pub(super) five_tuple: FiveTuple,
    pub(super) user: Arc<UserUsage>,
    /// Stands for the username that authenticated last.
    pub(super) username: u64,
    pub(super) signer: Signer,
    pub(super) credentials_expire: Option<Instant>,
    pub(super) expires: Instant,
    /// Of the Allocate, so that its retransmission gets the identical reply.
    pub(super) transaction: TransactionId,
    /// LIFETIME of that reply.
    pub(super) lifetime: u32,
    pub(super) token: Option<ReservationToken>,
    pub(super) address_error: Option<(AddressFamily, ErrorCode)>,
    pub(super) transport: PeerTransport,
    pub(super) relays: [Option<RelayedAddress>; 2],
    /// How often a mobile allocation has moved.
    pub(super) moves: Option<u32>,
    pub(super) to_peer: u64,
    pub(super) to_client: u64,
    pub(super) new_peers: u64,
    pub(super) peers: PeerTable,
    pub(super) connections: Vec<PeerConnectionId>,
}

impl Allocation {
    /// A relayed socket was asked for and is not there yet, so that the Allocate is unanswered.
    pub(super) fn is_opening(&self) -> bool {
        self.relays.iter().flatten().any(|relayed| !relayed.live)
    }

    /// The relayed transport address as the client and its peers know it.
    pub(super) fn relayed_address(&self, family: AddressFamily) -> Option<SocketAddr> {
        self.relayed(family).filter(|relayed| relayed.live).map(|relayed| SocketAddr::new(relayed.advertised, relayed.port))
    }

    pub(super) fn relayed(&self, family: AddressFamily) -> Option<&RelayedAddress> {
        self.relays[family.index()].as_ref()
    }

    /// The earliest thing that ends.
    pub(super) fn next_expiry(&self) -> Instant {
        self.peers.next_expiry().map_or(self.expires, |at| at.min(self.expires))
    }
}

#[derive(Debug, Clone, Copy)]
struct Permission {
    ip: IpAddr,
    expires: Instant,
}

#[derive(Debug, Clone, Copy)]
struct Channel {
    number: ChannelNumber,
    peer: SocketAddr,
    expires: Instant,
}

/// The permissions and channels of one allocation: sorted lists, for they are short, bounded, and empty while idle.
#[derive(Debug, Default)]
pub(super) struct PeerTable {
    permissions: Vec<Permission>,
    /// By number.
    channels: Vec<Channel>,
    /// The numbers by peer; holds exactly what `channels` holds.
    by_peer: Vec<(SocketAddr, ChannelNumber)>,
}

/// The number belongs to another peer, or the peer to another number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BoundElsewhere;

impl PeerTable {
    pub(super) fn permits(&self, ip: IpAddr, now: Instant) -> bool {
        self.find(ip).is_ok_and(|at| self.permissions[at].expires > now)
    }

    pub(super) fn permissions(&self) -> usize {
        self.permissions.len()
    }

    pub(super) fn channels(&self) -> usize {
        self.channels.len()
    }

    /// Installs a permission, or refreshes it.
    pub(super) fn permit(&mut self, ip: IpAddr, expires: Instant) {
        match self.find(ip) {
            Ok(at) => self.permissions[at].expires = expires,
            Err(at) => self.permissions.insert(at, Permission { ip, expires }),
        }
    }

    pub(super) fn channel_peer(&self, number: ChannelNumber, now: Instant) -> Option<SocketAddr> {
        let at = self.channels.binary_search_by_key(&number, |channel| channel.number).ok()?;
        Some(self.channels[at]).filter(|channel| channel.expires > now).map(|channel| channel.peer)
    }

    pub(super) fn channel_of(&self, peer: SocketAddr, now: Instant) -> Option<ChannelNumber> {
        let at = self.by_peer.binary_search_by_key(&peer, |(peer, _)| *peer).ok()?;
        let number = self.by_peer[at].1;
        self.channel_peer(number, now).map(|_| number)
    }

    /// Whether `number` may be bound to `peer`, and then whether it is bound already.
    pub(super) fn may_bind(&self, number: ChannelNumber, peer: SocketAddr, now: Instant) -> Result<bool, BoundElsewhere> {
        match (self.channel_peer(number, now), self.channel_of(peer, now)) {
            (None, None) => Ok(false),
            (Some(bound), Some(of)) if bound == peer && of == number => Ok(true),
            (None | Some(_), None | Some(_)) => Err(BoundElsewhere),
        }
    }

    /// Binds, or refreshes what [`Self::may_bind`] said is bound.
    pub(super) fn bind(&mut self, number: ChannelNumber, peer: SocketAddr, expires: Instant) {
        match self.channels.binary_search_by_key(&number, |channel| channel.number) {
            Ok(at) => self.channels[at].expires = expires,
            Err(at) => {
                self.channels.insert(at, Channel { number, peer, expires });
                let at = self.by_peer.partition_point(|(other, _)| *other < peer);
                self.by_peer.insert(at, (peer, number));
            }
        }
    }

    /// Drops what has expired, and what `permitted` refuses; tells each channel that goes.
    pub(super) fn sweep(
        &mut self,
        now: Instant,
        permitted: impl Fn(IpAddr) -> bool,
        mut unbound: impl FnMut(ChannelNumber, SocketAddr),
    ) {
        self.permissions.retain(|permission| permission.expires > now && permitted(permission.ip));
        let mut gone = false;
        self.channels.retain(|channel| {
            let keep = channel.expires > now && permitted(channel.peer.ip());
            if !keep {
                gone = true;
                unbound(channel.number, channel.peer);
            }
            keep
        });
        if gone {
            let channels = &self.channels;
            self.by_peer.retain(|(_, number)| channels.binary_search_by_key(number, |channel| channel.number).is_ok());
        }
    }

    pub(super) fn next_expiry(&self) -> Option<Instant> {
        let permissions = self.permissions.iter().map(|permission| permission.expires);
        permissions.chain(self.channels.iter().map(|channel| channel.expires)).min()
    }

    fn find(&self, ip: IpAddr) -> Result<usize, usize> {
        self.permissions.binary_search_by_key(&ip, |permission| permission.ip)
    }

    #[cfg(any(test, fuzzing))]
    fn audit(&self) -> Result<(), &'static str> {
        let sorted = self.permissions.is_sorted_by_key(|permission| permission.ip)
            && self.channels.is_sorted_by_key(|channel| channel.number)
            && self.by_peer.is_sorted();
        let agree = self.channels.len() == self.by_peer.len()
            && self.channels.iter().all(|channel| self.by_peer.contains(&(channel.peer, channel.number)));
        if sorted && agree { Ok(()) } else { Err("channels and peers disagree") }
    }
}

/// With an allocation, when the timer index has it.
#[derive(Debug, Default)]
struct Slot {
    generation: u32,
    allocation: Option<(Instant, Box<Allocation>)>,
}

/// Every allocation of one engine: by id, by five-tuple, by relay port, and by the time of its next expiry. Each stands in each index once.
#[derive(Debug, Default)]
pub(super) struct AllocationTable {
    slots: Vec<Slot>,
    free: Vec<u32>,
    by_tuple: HashMap<TupleKey, u32>,
    /// Live UDP relays.
    by_port: HashMap<(AddressFamily, u16), AllocationId>,
    timers: BTreeSet<(Instant, AllocationId)>,
}

impl AllocationTable {
    pub(super) fn len(&self) -> usize {
        self.by_tuple.len()
    }

    /// The five-tuple must be free.
    pub(super) fn insert(&mut self, allocation: Allocation) -> AllocationId {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            u32::try_from(self.slots.len() - 1).expect("there are fewer five-tuples than 2³²")
        });
        let slot = &mut self.slots[index as usize];
        let id = AllocationId { index, generation: slot.generation };
        self.timers.insert((allocation.expires, id));
        self.by_tuple.insert((&allocation.five_tuple).into(), index);
        slot.allocation = Some((allocation.expires, Box::new(allocation)));
        id
    }

    pub(super) fn remove(&mut self, id: AllocationId) -> Option<Box<Allocation>> {
        let slot = self.slots.get_mut(id.index as usize).filter(|slot| slot.generation == id.generation)?;
        let (scheduled, allocation) = slot.allocation.take()?;
        // 31 bits, for RelayId::token.
        slot.generation = (slot.generation + 1) & 0x7FFF_FFFF;
        self.free.push(id.index);
        self.by_tuple.remove(&(&allocation.five_tuple).into());
        self.timers.remove(&(scheduled, id));
        for family in AddressFamily::ALL {
            if let Some(relayed) = allocation.relayed(family) {
                self.by_port.remove(&(family, relayed.port));
            }
        }
        Some(allocation)
    }

    pub(super) fn find(&self, from: &FiveTuple) -> Option<AllocationId> {
        let index = *self.by_tuple.get(&from.into())?;
        Some(AllocationId { index, generation: self.slots[index as usize].generation })
    }

    pub(super) fn allocation(&self, id: AllocationId) -> Option<&Allocation> {
        let slot = self.slots.get(id.index as usize).filter(|slot| slot.generation == id.generation)?;
        slot.allocation.as_ref().map(|(_, allocation)| &**allocation)
    }

    pub(super) fn allocation_mut(&mut self, id: AllocationId) -> Option<&mut Allocation> {
        let slot = self.slots.get_mut(id.index as usize).filter(|slot| slot.generation == id.generation)?;
        slot.allocation.as_mut().map(|(_, allocation)| &mut **allocation)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (AllocationId, &Allocation)> {
        self.slots.iter().zip(0..).filter_map(|(slot, index)| {
            let id = AllocationId { index, generation: slot.generation };
            slot.allocation.as_ref().map(|(_, allocation)| (id, &**allocation))
        })
    }

    /// A relay's socket is open: it can be found by its port from now on.
    pub(super) fn set_live(&mut self, relay: RelayedAddressId) {
        let Some(allocation) = self.allocation_mut(relay.allocation) else { return };
        let udp = allocation.transport == PeerTransport::Udp;
        let Some(relayed) = &mut allocation.relays[relay.family.index()] else { return };
        relayed.live = true;
        let port = relayed.port;
        if udp {
            self.by_port.insert((relay.family, port), relay.allocation);
        }
    }

    /// Takes one family's relay away.
    pub(super) fn remove_relay(&mut self, relay: RelayedAddressId) -> Option<RelayedAddress> {
        let relayed = self.allocation_mut(relay.allocation)?.relays[relay.family.index()].take()?;
        if relayed.live {
            self.by_port.remove(&(relay.family, relayed.port));
        }
        Some(relayed)
    }

    pub(super) fn by_port(&self, family: AddressFamily, port: u16) -> Option<RelayedAddressId> {
        self.by_port.get(&(family, port)).map(|&allocation| RelayedAddressId { allocation, family })
    }

    /// The client has moved to a free five-tuple (RFC 8016).
    pub(super) fn move_to(&mut self, id: AllocationId, five_tuple: FiveTuple) {
        let Some(allocation) = self.allocation_mut(id) else { return };
        let old = std::mem::replace(&mut allocation.five_tuple, five_tuple);
        self.by_tuple.remove(&(&old).into());
        self.by_tuple.insert((&five_tuple).into(), id.index);
    }

    /// Makes the timer agree with what the allocation holds now. Later is left for when the timer fires: then this is called again.
    pub(super) fn reschedule(&mut self, id: AllocationId, force: bool) {
        let Some(slot) = self.slots.get_mut(id.index as usize).filter(|slot| slot.generation == id.generation) else { return };
        let Some((scheduled, allocation)) = &mut slot.allocation else { return };
        let next = allocation.next_expiry();
        if next < *scheduled || force {
            self.timers.remove(&(*scheduled, id));
            self.timers.insert((next, id));
            *scheduled = next;
        }
    }

    pub(super) fn next_timer(&self) -> Option<Instant> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// An allocation whose timer has fired. It fires again until [`Self::reschedule`] or [`Self::remove`].
    pub(super) fn due(&self, now: Instant) -> Option<AllocationId> {
        self.timers.first().filter(|(at, _)| *at <= now).map(|(_, id)| *id)
    }

    #[cfg(any(test, fuzzing))]
    pub(super) fn audit(&self) -> Result<(), &'static str> {
        let mut live = 0;
        for (id, allocation) in self.iter() {
            allocation.peers.audit()?;
            if self.find(&allocation.five_tuple) != Some(id) {
                return Err("a five-tuple does not lead to its allocation");
            }
            let scheduled = self.slots[id.index as usize].allocation.as_ref().map(|(scheduled, _)| *scheduled);
            if !scheduled.is_some_and(|at| self.timers.contains(&(at, id)) && at <= allocation.next_expiry()) {
                return Err("an allocation's timer is missing or late");
            }
            let relays =
                AddressFamily::ALL.into_iter().filter_map(|family| allocation.relayed(family).map(|relayed| (family, relayed)));
            for (family, relayed) in relays.filter(|(_, relayed)| relayed.live && allocation.transport == PeerTransport::Udp) {
                live += 1;
                if self.by_port(family, relayed.port) != Some(RelayedAddressId { allocation: id, family }) {
                    return Err("a port does not lead to its relay");
                }
            }
        }
        let count = self.iter().count();
        if count != self.by_tuple.len() || count != self.timers.len() || count + self.free.len() != self.slots.len() {
            return Err("an index holds more than the allocations");
        }
        if live == self.by_port.len() { Ok(()) } else { Err("a port leads nowhere") }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn channel(number: u16) -> ChannelNumber {
        ChannelNumber::new(number).expect("a channel number")
    }

    fn peer(last: u8) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, last], 5000))
    }

    #[test]
    fn r09_a_channel_and_its_peer_belong_together() {
        let now = Instant::now();
        let mut peers = PeerTable::default();
        peers.bind(channel(0x4000), peer(1), now + Duration::from_secs(600));
        assert_eq!(peers.may_bind(channel(0x4000), peer(1), now), Ok(true));
        assert_eq!(peers.may_bind(channel(0x4000), peer(2), now), Err(BoundElsewhere));
        assert_eq!(peers.may_bind(channel(0x4001), peer(1), now), Err(BoundElsewhere));
        assert_eq!(peers.may_bind(channel(0x4001), peer(2), now), Ok(false));
        peers.bind(channel(0x4001), peer(2), now + Duration::from_secs(600));
        assert_eq!(peers.may_bind(channel(0x4001), peer(1), now), Err(BoundElsewhere));
        assert_eq!(peers.channel_of(peer(2), now), Some(channel(0x4001)));
        assert_eq!(peers.channel_of(peer(2), now + Duration::from_secs(600)), None);
    }

    #[test]
    fn a_sweep_drops_both_directions_of_a_channel() {
        let now = Instant::now();
        let later = now + Duration::from_secs(9);
        let mut peers = PeerTable::default();
        for last in 1..=4 {
            peers.permit(peer(last).ip(), later);
            peers.bind(channel(0x4000 + u16::from(last)), peer(last), if last % 2 == 0 { later } else { now });
        }
        let mut gone = Vec::new();
        peers.sweep(now, |ip| ip != peer(4).ip(), |number, _| gone.push(number.number()));
        assert_eq!(gone, [0x4001, 0x4003, 0x4004]);
        assert_eq!(peers.audit(), Ok(()));
        assert_eq!((peers.permissions(), peers.channels(), peers.next_expiry()), (3, 1, Some(later)));
    }

    #[test]
    fn an_idle_allocation_is_small() {
        assert!(size_of::<Allocation>() <= 448, "{}", size_of::<Allocation>());
    }
}
