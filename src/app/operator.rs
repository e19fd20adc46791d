//! Hands all parts to the operator.

use std::time::Instant;

use super::server::App;
use crate::operator::{Operator, OperatorParts, OverviewParts};

impl App {
    /// What an operator sees and does.
    pub(super) fn operator(&self) -> Operator {
        Operator::new(OperatorParts {
            cast: self.cast.clone(),
            apprtc: self.apprtc.clone(),
            multiconnection: self.multiconnection.clone(),
            allocations: self.relay.live_allocations(),
            directory: self.directory.clone(),
            store: self.store.clone(),
            overview: self.overview_parts(),
            realm: self.config.relay.realm.clone(),
            reports: self.relay.reports().clone(),
            trusted_proxies: self.config.http.trusted_proxies.clone(),
            external: self.external.clone(),
        })
    }

    fn overview_parts(&self) -> OverviewParts {
        let warnings = self.warnings();
        OverviewParts {
            relay: self.relay.stats_reader(),
            certificates: self.certificates.clone(),
            checks: self.checks.clone(),
            rate: self.relayed_rate.clone(),
            start: Instant::now(),
            warnings: Box::new(move || warnings.list()),
            last_check: Default::default(),
        }
    }
}
