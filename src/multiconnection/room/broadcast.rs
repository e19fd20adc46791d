//! Scalable broadcasts: which member relays the broadcaster's stream to which others. PURE.
//!
//! Owner: [`Rooms`](super::rooms::Rooms). A broadcast is a forest: a member receives from one other member and relays to a few. The
//! broadcaster is the member whose id is the broadcast's. Invariants: `receivers` and `source` agree; no member receives from itself,
//! directly or through others.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

use std::collections::{HashMap, HashSet};

use super::users::UserKey;

pub(super) struct Member<J> {
    pub(super) broadcast: String,
    pub(super) types: J,
    pub(super) initiator: bool,
    source: Option<UserKey>,
    receivers: Vec<UserKey>,
    can_relay: bool,
}

pub(super) struct Broadcasts<J> {
    members: HashMap<UserKey, Member<J>>,
    broadcasts: HashMap<String, Broadcast>,
}

#[derive(Default)]
struct Broadcast {
    /// In the order in which they came.
    members: Vec<UserKey>,
    last_forwarder: Option<UserKey>,
}

/// What a member's leaving leads to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum LeaveEffect {
    /// The broadcaster left: the broadcast is over for these.
    BroadcastStopped { broadcast: String, members: Vec<UserKey> },
    /// A viewer left: the orphans received from it and have to join again.
    ViewerLeft { broadcast: String, orphans: Vec<UserKey> },
}

impl<J> Default for Broadcasts<J> {
    fn default() -> Self {
        Self { members: HashMap::new(), broadcasts: HashMap::new() }
    }
}

impl<J> Broadcasts<J> {
    pub(super) fn member(&self, user: UserKey) -> Option<&Member<J>> {
        self.members.get(&user)
    }

    pub(super) fn member_mut(&mut self, user: UserKey) -> Option<&mut Member<J>> {
        self.members.get_mut(&user)
    }

    /// Adds a user, unless it is in a broadcast already.
    pub(super) fn join(&mut self, user: UserKey, broadcast: &str, types: J) {
        if self.members.contains_key(&user) {
            return;
        }
        let broadcast = broadcast.to_owned();
        self.broadcasts.entry(broadcast.clone()).or_default().members.push(user);
        let member = Member { broadcast, types, initiator: false, source: None, receivers: Vec::new(), can_relay: false };
        self.members.insert(user, member);
    }

    /// Finds the member that `user` receives from; `None`: `user` is the broadcaster. `root` is the broadcaster, `limit` the number of
    /// viewers that one member relays to.
    pub(super) fn assign(&mut self, user: UserKey, root: Option<UserKey>, limit: usize) -> Option<UserKey> {
        self.leave_source(user);
        let source = if root == Some(user) { None } else { self.source_for(user, root, limit) };
        let member = self.members.get_mut(&user)?;
        let broadcast = self.broadcasts.get_mut(&member.broadcast)?;
        match source {
            Some(source) => {
                member.source = Some(source);
                broadcast.last_forwarder = Some(source);
                self.members.get_mut(&source)?.receivers.push(user);
            }
            None => member.initiator = true,
        }
        source
    }

    fn source_for(&self, user: UserKey, root: Option<UserKey>, limit: usize) -> Option<UserKey> {
        let broadcast = &self.broadcasts[&self.members[&user].broadcast];
        let below = self.below(user);
        let free = |candidate: &UserKey| !below.contains(candidate) && self.members[candidate].receivers.len() < limit;
        let root = root.filter(|root| !below.contains(root));
        root.filter(free)
            .or_else(|| broadcast.last_forwarder.filter(|last| self.members.contains_key(last)).filter(free))
            .or_else(|| broadcast.members.iter().copied().find(|member| self.members[member].can_relay && free(member)))
            // No member has room, so the broadcaster takes one more.
            .or(root)
    }

    /// `user` and all members that receive through it: none of them can be its source.
    fn below(&self, user: UserKey) -> HashSet<UserKey> {
        let (mut found, mut open) = (HashSet::from([user]), vec![user]);
        while let Some(next) = open.pop() {
            open.extend(self.members[&next].receivers.iter().filter(|receiver| found.insert(**receiver)));
        }
        found
    }

    fn leave_source(&mut self, user: UserKey) {
        let source = self.members.get_mut(&user).and_then(|member| member.source.take());
        if let Some(source) = source.and_then(|source| self.members.get_mut(&source)) {
            source.receivers.retain(|receiver| *receiver != user);
        }
    }

    pub(super) fn leave(&mut self, user: UserKey) -> Option<LeaveEffect> {
        self.leave_source(user);
        let member = self.members.remove(&user)?;
        let broadcast = self.broadcasts.get_mut(&member.broadcast)?;
        broadcast.members.retain(|other| *other != user);
        if member.initiator {
            let members = self.broadcasts.remove(&member.broadcast)?.members;
            members.iter().for_each(|member| drop(self.members.remove(member)));
            return Some(LeaveEffect::BroadcastStopped { broadcast: member.broadcast, members });
        }
        if broadcast.last_forwarder == Some(user) {
            broadcast.last_forwarder = None;
        }
        if broadcast.members.is_empty() {
            self.broadcasts.remove(&member.broadcast);
        }
        for orphan in &member.receivers {
            if let Some(orphan) = self.members.get_mut(orphan) {
                (orphan.source, orphan.can_relay) = (None, false);
            }
        }
        Some(LeaveEffect::ViewerLeft { broadcast: member.broadcast, orphans: member.receivers })
    }

    pub(super) fn set_can_relay(&mut self, user: UserKey, can_relay: bool) {
        if let Some(member) = self.members.get_mut(&user) {
            member.can_relay = can_relay;
        }
    }

    /// All members, the broadcaster included, in the order in which they came.
    pub(super) fn members(&self, broadcast: &str) -> &[UserKey] {
        self.broadcasts.get(broadcast).map_or(&[], |broadcast| &broadcast.members)
    }

    /// Members of all broadcasts.
    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    #[cfg(test)]
    pub(super) fn agree(&self) -> bool {
        let listed: usize = self.broadcasts.values().map(|broadcast| broadcast.members.len()).sum();
        listed == self.members.len()
            && self.broadcasts.values().all(|broadcast| !broadcast.members.is_empty())
            && self.members.iter().all(|(key, member)| {
                self.broadcasts[&member.broadcast].members.contains(key)
                    && member.source.is_none_or(|source| self.members[&source].receivers.contains(key))
                    && member.receivers.iter().all(|receiver| self.members[receiver].source == Some(*key))
                    && !member.receivers.iter().any(|receiver| self.below(*receiver).contains(key))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A broadcaster 1 and as many viewers, each assigned as it comes, all willing to relay.
    fn broadcast(viewers: UserKey, limit: usize) -> (Broadcasts<&'static str>, Vec<Option<UserKey>>) {
        let mut broadcasts = Broadcasts::default();
        let mut sources = Vec::new();
        for user in 1..=viewers + 1 {
            broadcasts.join(user, "show", "video");
            sources.push(broadcasts.assign(user, Some(1), limit));
            broadcasts.set_can_relay(user, true);
            assert!(broadcasts.agree());
        }
        (broadcasts, sources)
    }

    #[test]
    fn each_member_relays_to_as_many_as_it_may() {
        let (_, sources) = broadcast(6, 2);
        assert_eq!(sources, [None, Some(1), Some(1), Some(2), Some(2), Some(3), Some(3)]);
    }

    #[test]
    fn without_anybody_to_relay_the_broadcaster_takes_more_than_its_share() {
        let mut broadcasts = Broadcasts::default();
        for user in 1..=4 {
            broadcasts.join(user, "show", "video");
            let source = broadcasts.assign(user, Some(1), 2);
            assert_eq!(source, (user > 1).then_some(1));
        }
        assert!(broadcasts.agree());
    }

    #[test]
    fn orphans_never_receive_through_themselves() {
        let (mut broadcasts, _) = broadcast(6, 2);
        let gone = broadcasts.leave(2);
        assert_eq!(gone, Some(LeaveEffect::ViewerLeft { broadcast: "show".into(), orphans: vec![4, 5] }));
        assert_eq!(broadcasts.assign(4, Some(1), 2), Some(1));
        assert_eq!(broadcasts.assign(5, Some(1), 2), Some(6), "4 has yet to say that it relays again");
        assert!(broadcasts.agree());
    }

    #[test]
    fn a_member_that_joins_again_leaves_its_source_first() {
        let (mut broadcasts, _) = broadcast(2, 2);
        assert_eq!(broadcasts.assign(3, Some(1), 2), Some(1));
        assert_eq!(broadcasts.members[&1].receivers, [2, 3]);
        assert!(broadcasts.agree());
    }

    #[test]
    fn a_broadcast_ends_with_the_one_who_began_it() {
        let (mut broadcasts, _) = broadcast(3, 2);
        let gone = broadcasts.leave(1);
        assert_eq!(gone, Some(LeaveEffect::BroadcastStopped { broadcast: "show".into(), members: vec![2, 3, 4] }));
        assert_eq!((broadcasts.len(), broadcasts.members("show").len()), (0, 0));
        assert!(broadcasts.agree());
    }

    #[test]
    fn the_last_viewer_of_an_absent_broadcaster_takes_the_broadcast_along() {
        let mut broadcasts = Broadcasts::default();
        broadcasts.join(5, "show", "video");
        assert_eq!(broadcasts.assign(5, None, 2), None);
        assert!(matches!(broadcasts.leave(5), Some(LeaveEffect::BroadcastStopped { .. })));
        assert!(broadcasts.agree() && broadcasts.broadcasts.is_empty());
    }
}
