//! Counts casts and calls by route, protocol and result, and failures by verdict. The labels are fixed, so no page can add time series.

use std::sync::atomic::{AtomicU64, Ordering};

use super::output::{CastResult, Ended};
use crate::diagnosis::report::{Protocol, Route};

const RESULTS: usize = ROUTES.len() + 2;
/// The routes of casts that have connected: only those that exist, and those of which a part is not known.
const ROUTES: [(Option<Route>, Option<Protocol>); 8] = [
    (Some(Route::Direct), Some(Protocol::Udp)),
    (Some(Route::Direct), Some(Protocol::Tcp)),
    (Some(Route::Direct), None),
    (Some(Route::Relay), Some(Protocol::Udp)),
    (Some(Route::Relay), Some(Protocol::Tcp)),
    (Some(Route::Relay), Some(Protocol::Tls)),
    (Some(Route::Relay), None),
    (None, None),
];

/// The casts, or the calls, that have ended.
#[derive(Debug, Default)]
pub struct ResultCounts([AtomicU64; RESULTS]);

impl ResultCounts {
    pub(super) fn count(&self, ended: &Ended) {
        let of_route = |route, protocol| ROUTES.iter().position(|known| *known == (route, protocol));
        let place = match ended.result {
            CastResult::Connected => of_route(ended.route, ended.protocol)
                // A page may name a pair that does not exist.
                .or_else(|| of_route(ended.route, None))
                .unwrap_or(ROUTES.len() - 1),
            CastResult::Failed => ROUTES.len(),
            CastResult::Unknown => ROUTES.len() + 1,
        };
        self.0[place].fetch_add(1, Ordering::Relaxed);
    }

    /// The labels `route`, `protocol` and `result` with their counts.
    pub fn all(&self) -> impl Iterator<Item = ([&'static str; 3], u64)> {
        let connected = ROUTES.map(|(route, protocol)| [route_label(route), protocol_label(protocol), "connected"]);
        let others = [CastResult::Failed, CastResult::Unknown].map(|result| ["unknown", "unknown", result.label()]);
        let labels = connected.into_iter().chain(others);
        labels.zip(&self.0).map(|(labels, count)| (labels, count.load(Ordering::Relaxed)))
    }
}

const fn route_label(route: Option<Route>) -> &'static str {
    match route {
        Some(Route::Direct) => "direct",
        Some(Route::Relay) => "relay",
        None => "unknown",
    }
}

const fn protocol_label(protocol: Option<Protocol>) -> &'static str {
    match protocol {
        Some(Protocol::Udp) => "udp",
        Some(Protocol::Tcp) => "tcp",
        Some(Protocol::Tls) => "tls",
        None => "unknown",
    }
}
