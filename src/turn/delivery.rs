//! The part of an allocation that other engines of the server use: they deliver to its client packets from their relayed addresses,
//! without involving its engine.
//!
//! Owner: the engine of the allocation, which publishes a [`Route`] whenever permissions, channels, contacts, the lifetime or the
//! client's address have changed. Other engines have the [`Delivery`] in their contacts, and read it for each packet without a lock.
//!
//! Invariants: a route allows nothing that the tables of the allocation do not allow, except for a moment after a change; times are
//! in the route itself, so that nothing has to be published when they pass. A client that uses a stream is reached through its
//! engine alone, because a stream has one owner.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwapOption;

use super::codec::framing::ChannelNumber;
use super::five_tuple::FiveTuple;
use super::ports::PortOwner;
use super::rate_limit::Bandwidth;
use super::stranger_table::StrangerSite;
use super::user_account::AllocationTraffic;
use super::user_usage::UserUsage;

/// See the module doc.
#[derive(Debug)]
pub(super) struct Delivery {
    /// What the packets of the allocation are charged to: its own buckets, its user, and the site where the user is a stranger.
    pub(super) bandwidth: Bandwidth,
    pub(super) user: Arc<UserUsage>,
    pub(super) traffic: AllocationTraffic,
    pub(super) site: Option<Arc<StrangerSite>>,
    /// [`super::UserKeys::group`].
    pub(super) group: Option<u64>,
    /// `None`: nothing is delivered to the client.
    route: ArcSwapOption<Route>,
}

/// The client of an allocation, and the relayed addresses that may send to it.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) to: FiveTuple,
    /// When the allocation expires.
    pub(super) expires: Instant,
    pub(super) senders: Vec<Sender>,
    /// As long as the client has contacted nobody, the others of its group may send to it from addresses with a permission: so the
    /// first check of ICE arrives, whichever side sends it. A client that has a contact has more to lose, and needs no other.
    pub(super) group: Vec<(IpAddr, Instant)>,
}

/// A relayed address of this server that the client has contacted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sender {
    pub(super) address: SocketAddr,
    pub(super) owner: PortOwner,
    /// When the permission for the address expires; `None`: there is none.
    pub(super) permitted_until: Option<Instant>,
    /// The channel of the sender, and when its binding expires.
    pub(super) channel: Option<(ChannelNumber, Instant)>,
}

impl Delivery {
    pub(super) fn new(user: Arc<UserUsage>, site: Option<Arc<StrangerSite>>, group: Option<u64>) -> Self {
        Self {
            bandwidth: Bandwidth::default(),
            user,
            traffic: AllocationTraffic::default(),
            site,
            group,
            route: ArcSwapOption::empty(),
        }
    }

    pub(super) fn publish(&self, route: Option<Route>) {
        self.route.store(route.map(Arc::new));
    }

    /// Adds the new bytes to the account of the user. For the engine of the allocation alone.
    pub(super) fn settle(&self) {
        self.traffic.settle(&self.user.account);
    }

    pub(super) fn route(&self) -> arc_swap::Guard<Option<Arc<Route>>> {
        self.route.load()
    }
}

/// Other engines may deliver until they have dropped their references, and a shard that has failed ends no allocation.
impl Drop for Delivery {
    fn drop(&mut self) {
        self.settle();
    }
}

impl Route {
    /// The sender with this address, as long as `owner` has it. `is_of_group` is asked only where that matters.
    pub(super) fn sender(&self, address: SocketAddr, owner: PortOwner, is_of_group: impl FnOnce() -> bool) -> Option<Sender> {
        let contact = self.senders.iter().find(|sender| sender.owner == owner && sender.address == address);
        contact.copied().or_else(|| {
            let permission = self.group.iter().find(|(ip, _)| *ip == address.ip()).filter(|_| is_of_group())?;
            Some(Sender { address, owner, permitted_until: Some(permission.1), channel: None })
        })
    }
}
