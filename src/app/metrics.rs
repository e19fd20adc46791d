//! What `/metrics` shows: where each number is read.

use std::sync::Arc;

use crate::api::{Family, Numbers};
use crate::apprtc::hub::Hub;
use crate::cast::gateway::Gateway;
use crate::kept_buffers::KeptBuffers;
use crate::limits::descriptors::Shares;
use crate::limits::guesses::Reports;
use crate::limits::unfinished::Unfinished;
use crate::multiconnection::gateway::Gateway as MultiGateway;
use crate::numbers;
use crate::relay::Meter;
use crate::socket_io::{Sessions, Traffic};
use crate::tls::Certificates;
use crate::waiting::Ledger;

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
    pub(super) meter: Meter,
    pub(super) shares: Shares,
    pub(super) reports: Reports,
    pub(super) certificates: Option<Certificates>,
}

impl Sources {
    pub(super) fn numbers(self) -> Numbers {
        Numbers(Box::new(move || self.families()))
    }

    fn families(&self) -> Vec<Family> {
        let mut families = numbers::signaling(self.gateway.counts(), self.multi.counts());
        families.extend(numbers::websockets(&self.traffic));
        families.extend(numbers::waiting(&self.ledger));
        families.extend(numbers::kept(&self.kept_buffers));
        families.extend(numbers::inward(&self.sessions.census(), &self.unfinished.census()));
        families.extend(numbers::calls(&self.hub.census()));
        families.extend(numbers::relay(&self.meter.stats()));
        families.extend(numbers::process(&self.shares));
        families.push(numbers::wrong(&self.reports));
        families.extend(self.certificates.iter().flat_map(numbers::certificate));
        families
    }
}
