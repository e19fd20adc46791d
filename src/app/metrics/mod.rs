//! What `/metrics` shows: where each number is read.

pub mod families;

use std::sync::Arc;

use crate::api::{Family, Numbers};
use crate::apprtc::hub::Hub;
use crate::cast::gateway::Gateway;
use crate::limits::descriptors::Shares;
use crate::limits::guesses::Reports;
use crate::limits::kept_buffers::KeptBuffers;
use crate::limits::unfinished::Unfinished;
use crate::limits::waiting_bytes::Ledger;
use crate::multiconnection::gateway::Gateway as MultiGateway;
use crate::relay::StatsReader;
use crate::socketio::{Sessions, Traffic};
use crate::tls::Certificates;

/// Whoever counts.
pub(super) struct Sources {
    pub(super) gateway: Gateway,
    pub(super) multi: MultiGateway,
    pub(super) traffic: Arc<Traffic>,
    pub(super) ledger: Ledger,
    pub(super) kept_buffers: KeptBuffers,
    pub(super) sessions: Sessions,
    pub(super) unfinished: Unfinished,
    pub(super) hub: Hub,
    pub(super) relay_stats: StatsReader,
    pub(super) shares: Shares,
    pub(super) reports: Reports,
    pub(super) certificates: Option<Certificates>,
}

impl Sources {
    pub(super) fn numbers(self) -> Numbers {
        Numbers(Box::new(move || self.families()))
    }

    fn families(&self) -> Vec<Family> {
        let mut families = families::signaling(self.gateway.counts(), self.multi.counts());
        families.extend(families::websockets(&self.traffic));
        families.extend(families::waiting(&self.ledger));
        families.extend(families::kept(&self.kept_buffers));
        families.extend(families::inward(&self.sessions.census(), &self.unfinished.census()));
        families.extend(families::calls(&self.hub.census()));
        families.extend(families::relay(&self.relay_stats.stats()));
        families.extend(families::process(&self.shares));
        families.push(families::wrong(&self.reports));
        families.extend(self.certificates.iter().flat_map(families::certificate));
        families
    }
}
