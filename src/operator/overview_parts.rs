//! [`OverviewParts`]: what the overview is made from.

use std::time::Instant;

use serde::Serialize;

use super::relayed_rate::RelayedRate;
use crate::check::Checks;
use crate::relay::StatsReader;
use crate::sentence::Sentence;
use crate::tls::Certificates;

/// What the overview is made from, besides the gateways.
pub struct OverviewParts {
    pub relay: StatsReader,
    pub certificates: Option<Certificates>,
    pub checks: Checks,
    pub rate: RelayedRate,
    pub start: Instant,
    /// What still needs configuration, in sentences.
    pub warnings: Box<dyn Fn() -> Vec<Sentence> + Send + Sync>,
    pub last_check: LastCheckCache,
}

/// The last check of a device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LastCheck {
    /// In seconds since 1970.
    pub at: i64,
    pub address: String,
    /// The title of its verdict.
    pub verdict: Sentence,
    pub ok: bool,
}

/// The last check, and when it was read.
pub(super) type LastCheckCache = tokio::sync::Mutex<Option<(Instant, Option<LastCheck>)>>;
