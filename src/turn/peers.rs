//! The permissions and channels of an allocation (RFC 8656 §9, §12).

use std::net::{IpAddr, SocketAddr};
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Instant;

use super::codec::framing::ChannelNumber;
use super::delivery::{Delivery, Sender};
use super::ports::PortOwner;

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

/// The permissions and channels of one allocation, in sorted lists: they are short, bounded, and empty while the allocation is
/// idle.
#[derive(Debug, Default)]
pub(super) struct PeerTable {
    permissions: Vec<Permission>,
    /// By number.
    channels: Vec<Channel>,
    /// The numbers by peer; holds exactly what `channels` holds.
    by_peer: Vec<(SocketAddr, ChannelNumber)>,
    /// The relayed addresses of this server that the client has sent to, or bound a channel to; the earliest first.
    contacts: Vec<Contact>,
}

/// A relayed address of this server, as long as its owner has it.
#[derive(Debug, Clone)]
struct Contact {
    address: SocketAddr,
    owner: PortOwner,
    /// `None`: its allocation ends.
    delivery: Option<Arc<Delivery>>,
}

/// The peers of an allocation. An idle allocation takes no memory for them.
#[derive(Debug, Default)]
pub(super) struct Peers(Option<Box<PeerTable>>);

impl Deref for Peers {
    type Target = PeerTable;

    fn deref(&self) -> &PeerTable {
        static NONE: PeerTable =
            PeerTable { permissions: Vec::new(), channels: Vec::new(), by_peer: Vec::new(), contacts: Vec::new() };
        self.0.as_deref().unwrap_or(&NONE)
    }
}

impl DerefMut for Peers {
    fn deref_mut(&mut self) -> &mut PeerTable {
        self.0.get_or_insert_default()
    }
}

impl Peers {
    /// See [`PeerTable::sweep`].
    pub(super) fn sweep(&mut self, now: Instant, permitted: impl Fn(IpAddr) -> bool) -> bool {
        let Some(table) = &mut self.0 else { return false };
        let has_changed = table.sweep(now, permitted);
        self.0.take_if(|table| table.permissions.is_empty() && table.channels.is_empty());
        has_changed
    }
}

/// Relayed addresses of this server that one allocation exchanges data with at a time. Beyond them, the earliest has to be
/// contacted again.
const MAX_CONTACTS: usize = 64;

/// The channel number is bound to another peer, or the peer to another channel number.
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

    /// Installs a permission, or refreshes it, which never makes it end earlier.
    pub(super) fn permit(&mut self, ip: IpAddr, expires: Instant) {
        match self.find(ip) {
            Ok(at) => self.permissions[at].expires = self.permissions[at].expires.max(expires),
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

    /// `Ok` where `number` may be bound to `peer`; the value tells whether they are bound to each other already.
    pub(super) fn may_bind(&self, number: ChannelNumber, peer: SocketAddr, now: Instant) -> Result<bool, BoundElsewhere> {
        match (self.channel_peer(number, now), self.channel_of(peer, now)) {
            (None, None) => Ok(false),
            (Some(bound), Some(of)) if bound == peer && of == number => Ok(true),
            (None | Some(_), None | Some(_)) => Err(BoundElsewhere),
        }
    }

    /// Binds a channel, or refreshes one that [`Self::may_bind`] found bound already.
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

    /// The contact with this relayed address, as long as `owner` has it, and the way to its client.
    pub(super) fn contact(&self, address: SocketAddr, owner: PortOwner) -> Option<Option<&Arc<Delivery>>> {
        let contact = self.contacts.iter().find(|contact| contact.owner == owner && contact.address == address)?;
        Some(contact.delivery.as_ref())
    }

    /// Whether this is a contact, even one whose allocation has ended.
    pub(super) fn has_contacted(&self, address: SocketAddr) -> bool {
        self.contacts.iter().any(|contact| contact.address == address)
    }

    /// The client has named this relayed address of this server, with its port.
    pub(super) fn add_contact(&mut self, address: SocketAddr, owner: PortOwner, delivery: Option<Arc<Delivery>>) {
        self.contacts.retain(|contact| contact.address != address);
        if self.contacts.len() == MAX_CONTACTS {
            self.contacts.remove(0);
        }
        self.contacts.push(Contact { address, owner, delivery });
    }

    /// The addresses with a permission, and when each permission expires.
    pub(super) fn permitted(&self) -> Vec<(IpAddr, Instant)> {
        self.permissions.iter().map(|permission| (permission.ip, permission.expires)).collect()
    }

    /// The addresses with a permission that has not expired.
    pub(super) fn permitted_at(&self, now: Instant) -> impl Iterator<Item = IpAddr> {
        self.permissions.iter().filter(move |permission| permission.expires > now).map(|permission| permission.ip)
    }

    /// Whether the client has contacted any relayed address of this server.
    pub(super) fn has_contacts(&self) -> bool {
        !self.contacts.is_empty()
    }

    /// The relayed addresses that may send to the client. A permission is for an address with all of its ports, and all relayed
    /// addresses of this server share one, so only those that the client has named are among them.
    pub(super) fn senders(&self) -> Vec<Sender> {
        let sender = |contact: &Contact| {
            let address = contact.address;
            let permitted_until = self.find(address.ip()).ok().map(|at| self.permissions[at].expires);
            let number = self.by_peer.binary_search_by_key(&address, |(peer, _)| *peer).ok().map(|at| self.by_peer[at].1);
            let channel = number.and_then(|number| self.channels.binary_search_by_key(&number, |channel| channel.number).ok());
            let channel = channel.map(|at| (self.channels[at].number, self.channels[at].expires));
            Sender { address, owner: contact.owner, permitted_until, channel }
        };
        self.contacts.iter().map(sender).collect()
    }

    /// Removes the permissions and channels that have expired, or that `permitted` refuses. Returns whether this has changed anything.
    pub(super) fn sweep(&mut self, now: Instant, permitted: impl Fn(IpAddr) -> bool) -> bool {
        let count = |table: &Self| (table.permissions.len(), table.channels.len(), table.contacts.len());
        let all = count(self);
        self.permissions.retain(|permission| permission.expires > now && permitted(permission.ip));
        let before = self.channels.len();
        self.channels.retain(|channel| channel.expires > now && permitted(channel.peer.ip()));
        if self.channels.len() < before {
            let channels = &self.channels;
            self.by_peer.retain(|(_, number)| channels.binary_search_by_key(number, |channel| channel.number).is_ok());
        }
        if self.permissions.is_empty() {
            self.contacts = Vec::new();
        }
        count(self) != all
    }

    pub(super) fn next_expiry(&self) -> Option<Instant> {
        let permissions = self.permissions.iter().map(|permission| permission.expires);
        permissions.chain(self.channels.iter().map(|channel| channel.expires)).min()
    }

    fn find(&self, ip: IpAddr) -> Result<usize, usize> {
        self.permissions.binary_search_by_key(&ip, |permission| permission.ip)
    }

    #[cfg(any(test, fuzzing))]
    pub(super) fn audit(&self) -> Result<(), &'static str> {
        let sorted = self.permissions.is_sorted_by_key(|permission| permission.ip)
            && self.channels.is_sorted_by_key(|channel| channel.number)
            && self.by_peer.is_sorted();
        let agree = self.channels.len() == self.by_peer.len()
            && self.channels.iter().all(|channel| self.by_peer.contains(&(channel.peer, channel.number)));
        if sorted && agree { Ok(()) } else { Err("channels and peers disagree") }
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
        assert!(peers.sweep(now, |ip| ip != peer(4).ip()));
        assert!(!peers.sweep(now, |ip| ip != peer(4).ip()), "nothing is left to remove");
        let bound = |last: u8| peers.channel_peer(channel(0x4000 + u16::from(last)), now).is_some();
        assert_eq!([1, 2, 3, 4].map(bound), [false, true, false, false]);
        assert_eq!(peers.audit(), Ok(()));
        assert_eq!((peers.permissions(), peers.channels(), peers.next_expiry()), (3, 1, Some(later)));
    }
}
