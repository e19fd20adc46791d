//! The metrics that `/metrics` shows: `families` gives them names and help, and `CountedParts` reads the numbers.

pub mod families;
mod hook_families;

use std::sync::Arc;

use crate::api::metric_families::{MetricFamily, MetricsSource};
use crate::app::hooks::Hooks;
use crate::apprtc::gateway::AppRtcGateway;
use crate::cast::gateway::CastGateway;
use crate::limits::descriptors::DescriptorPools;
use crate::limits::guesses::GuessReports;
use crate::limits::kept_buffers::KeptBuffers;
use crate::limits::unfinished::UnfinishedMessages;
use crate::limits::waiting_bytes::Ledger;
use crate::multiconnection::gateway::MultiConnectionGateway;
use crate::outcomes::reporter::Reporter;
use crate::relay::StatsReader;
use crate::socketio::sessions::Sessions;
use crate::socketio::stream::Traffic;
use crate::tls::Certificates;

/// The parts of the server that count something.
pub(super) struct CountedParts {
    pub(super) cast: CastGateway,
    pub(super) multiconnection: MultiConnectionGateway,
    pub(super) traffic: Arc<Traffic>,
    pub(super) ledger: Ledger,
    pub(super) kept_buffers: KeptBuffers,
    pub(super) sessions: Sessions,
    pub(super) unfinished: UnfinishedMessages,
    pub(super) apprtc: AppRtcGateway,
    pub(super) relay_stats: StatsReader,
    pub(super) descriptors: DescriptorPools,
    pub(super) reports: GuessReports,
    pub(super) certificates: Option<Certificates>,
    pub(super) reporter: Reporter,
    pub(super) hooks: Hooks,
}

impl CountedParts {
    pub(super) fn into_metrics(self) -> MetricsSource {
        MetricsSource(Box::new(move || self.families()))
    }

    fn families(&self) -> Vec<MetricFamily> {
        let mut families = families::signaling(self.cast.counts(), self.multiconnection.counts());
        families.push(families::locks([
            ("cast", self.cast.locked_time()),
            ("multiconnection", self.multiconnection.locked_time()),
            ("apprtc", self.apprtc.locked_time()),
        ]));
        families.extend(families::websockets(&self.traffic));
        families.extend(families::waiting(&self.ledger));
        families.extend(families::kept(&self.kept_buffers));
        families.extend(families::incoming(&self.sessions.counts(), &self.unfinished.counts()));
        families.extend(families::calls(&self.apprtc.counts()));
        families.extend(families::outcomes(&self.reporter));
        families.extend(families::relay(&self.relay_stats.stats()));
        families.extend(families::process(&self.descriptors));
        families.push(families::wrong_guesses(&self.reports));
        families.extend(self.certificates.iter().flat_map(families::certificate));
        families.extend(hook_families::families(&self.hooks));
        families
    }
}
