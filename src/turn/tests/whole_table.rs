//! What a shell does to all allocations in parts, done in one.

use std::net::IpAddr;
use std::time::Instant;

use super::super::credentials::Scope;
use super::super::engine::Engine;
use super::super::policy::PeerPolicy;
use super::super::settings::MachineAddresses;

const ALL: std::ops::Range<usize> = 0..usize::MAX;

impl Engine {
    /// The user of each allocation; a user with several allocations appears several times.
    pub fn users(&self) -> impl Iterator<Item = (Scope, &str)> {
        self.allocations.iter().map(|(_, allocation)| (allocation.user.identity.scope, &*allocation.user.identity.name))
    }

    pub fn revoke(&mut self, scope: Scope, user: &str) {
        self.end_users(ALL, |other, name| (other, name) == (scope, user));
    }

    pub fn end_clients(&mut self, is_one: impl Fn(IpAddr) -> bool) {
        self.end_addresses(ALL, is_one);
    }

    pub fn settle_accounts(&mut self) {
        self.settle(ALL);
    }

    pub fn set_policy(&mut self, policy: PeerPolicy, now: Instant) {
        self.replace_policy(policy);
        self.close_denied(ALL, now);
    }

    pub fn set_addresses(&mut self, addresses: &MachineAddresses, now: Instant) {
        self.replace_addresses(addresses);
        self.close_denied(ALL, now);
    }
}
